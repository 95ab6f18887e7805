"""Named volumes that are disk images: their size is a limit, one pod writes, snapshots."""

from tests.support.pods import Hyper

DELETED = "remove data: it has snapshots (live, off): remove them, or use force"


def test_a_volume_with_a_size(hyper: Hyper) -> None:
    hyper("volume", "create", "--opt", "size=32m", "data")
    loop = "echo one > /d/x; sync; echo begun; while echo >> /d/n; do :; done"
    hyper("run", "-d", "--name", "writer", "-v", "data:/d", "busybox", "sh", "-c", loop)
    hyper("exec", "writer", "sh", "-c", "until [ -s /d/x ]; do sleep 0.1; done")

    for mode in ("", ":ro"):
        refused = hyper("run", "-v", f"data:/d{mode}", "busybox", "true", status=125)
        assert "volume data: container writer writes to it: one pod at a time" in refused.stderr
    same_pod = ("--network", "container:writer", "-v", "data:/d:ro")
    assert hyper("run", "--rm", *same_pod, "busybox", "cat", "/d/x").stdout == "one\n"
    hyper("volume", "resize", "data", "48m")
    grown = "df -m /d | tail -n 1 | awk '{ print ($2 > 35) }'; cat /d/x"
    assert hyper("exec", "writer", "sh", "-c", grown).lines == ["1", "one"]
    refused = hyper("volume", "resize", "data", "40m", status=1)
    assert "it has 50331648 bytes: a volume can only be made larger" in refused.error

    assert hyper("volume", "snapshot", "create", "data", "live").stdout == "live\n"
    hyper("exec", "writer", "sh", "-c", "echo two > /d/x")  # who was held up goes on
    hyper("rm", "--force", *hyper("ps", "--all", "--quiet").lines)

    hyper("volume", "snapshot", "create", "data", "off")
    hyper("volume", "snapshot", "restore", "data", "live")
    hyper("volume", "resize", "data", "64m")
    check = "cat /d/x; df -m /d | tail -n 1 | awk '{ print ($2 > 40) }'; dd if=/dev/zero of=/d/z"
    shown = hyper("run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", check, status=1)
    assert shown.lines == ["one", "1"]
    assert "No space left on device" in shown.stderr

    assert hyper("volume", "snapshot", "ls", "--quiet", "data").lines == ["live", "off"]
    assert hyper("volume", "rm", "data", status=1).error.endswith(DELETED)
    hyper("volume", "rm", "--force", "data")


def test_a_qcow2_volume_keeps_what_was_written(hyper: Hyper) -> None:
    hyper("volume", "create", "--driver", "qcow2", "--opt", "size=64m", "data")
    hyper("run", "-d", "--name", "writer", "-v", "data:/d", "busybox", "sleep", "600")
    hyper("exec", "writer", "sh", "-c", "echo kept > /d/x")
    hyper("volume", "resize", "data", "1g")
    grown = "df -m /d | tail -n 1 | awk '{ print ($2 > 700) }'"
    assert hyper("exec", "writer", "sh", "-c", grown).lines == ["1"]
    hyper("rm", "-f", "writer")

    reader = ("run", "-d", "--name", "reader", "-v", "data:/d:ro", "busybox", "sleep", "600")
    hyper(*reader)
    refused = hyper("volume", "resize", "data", "3g", status=1)
    assert "container reader uses it, and a change of its size is possible only" in refused.error
    hyper("rm", "-f", "reader")
    hyper("volume", "resize", "data", "3g")
    script = "cat /d/x; df -m /d | tail -n 1 | awk '{ print ($2 > 2000) }'"
    assert hyper("run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", script).lines == [
        "kept",
        "1",
    ]
    hyper("volume", "rm", "data")
