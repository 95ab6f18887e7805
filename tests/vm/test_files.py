"""Files of containers from outside: cp, export; diff and commit are shown in transcripts."""

import contextlib
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon import HYPER, Daemon, Result

Hyper = Callable[..., Result]
SPARSE_BYTES = 64 << 20
ODD_NAMES = ("plain", " space ", "new\nline", "-dash", "ünï", "quote'\"", "x" * 200, ".hidden")


def binary(daemon: Daemon, *arguments: str, data: bytes = b"") -> bytes:
    """Run a hyper command with bytes on both sides."""
    done = subprocess.run(
        [str(HYPER), *arguments],
        input=data,
        capture_output=True,
        env=daemon.environment_of_commands(),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tree(folder: Path) -> Path:
    """Make a tree with names, links and holes of every kind."""
    top = folder / "tree"
    (top / "sub/deep").mkdir(parents=True)
    for number, name in enumerate(ODD_NAMES):
        (top / name).write_bytes(os.urandom(1000 * number))
        (top / name).chmod((0o600, 0o644, 0o755)[number % 3])
    os.link(top / "plain", top / "sub/hard")
    (top / "sub/soft").symlink_to("../plain")
    (top / "sub/dangling").symlink_to("/no/such/place")
    with (top / "sub/deep/sparse").open("wb") as file:
        file.truncate(SPARSE_BYTES)
        file.seek(SPARSE_BYTES // 2)
        file.write(b"middle")
    return top


def digests(top: Path) -> dict[str, str]:
    """Return what each path below a folder is: its bytes' digest, its target, or a folder."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@contextlib.contextmanager
def container(daemon: Daemon, state: str, *options: str) -> Iterator[str]:
    """Give a container in a state: created, running, paused, or exited."""
    name = f"files-{state}"
    verb = ("create",) if state == "created" else ("run", "--detach")
    command = ("true",) if state == "exited" else ("sleep", "600")
    daemon.hyper(*verb, "--name", name, *options, "busybox", *command)
    if state == "exited":
        daemon.hyper("wait", name)
    if state == "paused":
        daemon.hyper("pause", name)
    try:
        yield name
    finally:
        daemon.hyper("rm", "--force", "--volumes", name)


@pytest.mark.parametrize("state", ["created", "running", "paused", "exited"])
def test_a_tree_goes_in_and_comes_back(daemon: Daemon, tmp_path: Path, state: str) -> None:
    top = tree(tmp_path)
    with container(daemon, state) as name:
        daemon.hyper("cp", str(top), f"{name}:/tmp/there")
        daemon.hyper("cp", f"{name}:/tmp/there", str(tmp_path / "back"))
        daemon.hyper("cp", f"{name}:/tmp/there/.", str(tmp_path / "again"))
    assert digests(tmp_path / "back") == digests(top)
    assert digests(tmp_path / "again") == digests(top)
    back = tmp_path / "back"
    assert (back / "plain").stat().st_ino == (back / "sub/hard").stat().st_ino
    assert (back / "-dash").stat().st_mode & 0o777 == 0o600


@pytest.mark.root
def test_a_container_sees_what_was_copied_into_it(daemon: Daemon, tmp_path: Path) -> None:
    top = tree(tmp_path)
    with container(daemon, "running") as name:
        os.chown(top / "plain", 1234, 4321)
        daemon.hyper("cp", str(top), f"{name}:/root")
        script = "cd /root/tree; sha256sum plain sub/deep/sparse; stat -c '%h %u' sub/hard; "
        shown = daemon.hyper("exec", name, "sh", "-c", script + "du -k sub/deep/sparse").lines
    found = digests(top)
    assert shown[0].split()[0] == found["plain"]
    assert shown[1].split()[0] == found["sub/deep/sparse"]
    assert shown[2].split() == ["2", "1234"]
    assert int(shown[3].split()[0]) < 1024


def test_a_stopped_container_keeps_what_was_copied_into_it(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo from the script\n")
    daemon.hyper("create", "--name", "later", "busybox", "sh", "/script")
    daemon.hyper("cp", str(tmp_path / "script"), "later:/script")
    assert daemon.hyper("start", "--attach", "later").stdout == "from the script\n"
    (tmp_path / "script").write_text("echo another\n")
    daemon.hyper("cp", str(tmp_path / "script"), "later:/script")
    assert daemon.hyper("start", "--attach", "later").stdout == "another\n"


def test_cp_as_an_archive(daemon: Daemon) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("dir/file")
        info.size, info.uid, info.gid, info.mode = 5, 33, 44, 0o640
        archive.addfile(info, io.BytesIO(b"hello"))
    with container(daemon, "exited") as name:
        binary(daemon, "cp", "-", f"{name}:/tmp", data=out.getvalue())
        data = binary(daemon, "cp", f"{name}:/tmp/dir", "-")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["dir", "dir/file"]
        found = archive.getmember("dir/file")
        assert (found.uid, found.gid, found.mode, found.size) == (33, 44, 0o640, 5)


@pytest.mark.parametrize("state", ["running", "exited"])
def test_copying_reaches_volumes(daemon: Daemon, tmp_path: Path, state: str) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "of-the-host").write_text("host\n")
    options = ("-v", f"{shared}:/bind", "-v", "named:/volume", "-v", "reading:/reading:ro")
    with container(daemon, state, *options) as name:
        (tmp_path / "sent").write_text("sent\n")
        daemon.hyper("cp", str(tmp_path / "sent"), f"{name}:/bind/sent")
        daemon.hyper("cp", str(tmp_path / "sent"), f"{name}:/volume/")
        assert (shared / "sent").read_text() == "sent\n"
        daemon.hyper("cp", f"{name}:/bind/of-the-host", str(tmp_path / "fetched"))
        assert (tmp_path / "fetched").read_text() == "host\n"
        refused = daemon.hyper("cp", str(tmp_path / "sent"), f"{name}:/reading", status=1)
        assert "mounted volume is marked read-only" in refused.stderr
    shown = daemon.hyper("run", "--rm", "-v", "named:/v", "busybox", "cat", "/v/sent").stdout
    assert shown == "sent\n"
    daemon.hyper("volume", "rm", "named", "reading")


def test_links_of_a_container_lead_nowhere_else(daemon: Daemon, tmp_path: Path) -> None:
    up = "/".join([".."] * 20)
    script = (
        f"mkdir /h; ln -s / /h/root; ln -s {up}/etc /h/up; ln -s /proc/1/root /h/magic;"
        "mkdir /x; echo inside > /x/passwd; ln -s ../../x /h/x; ln -s /h/loop /h/loop"
    )
    daemon.hyper("run", "--name", "hostile", "busybox", "sh", "-c", script)
    inside = daemon.hyper("export", "hostile", "--output", str(tmp_path / "all.tar"))
    assert inside.status == 0
    daemon.hyper("cp", "hostile:/h/up/passwd", str(tmp_path / "passwd"))
    assert "nobody:x:65534" in (tmp_path / "passwd").read_text()
    assert (tmp_path / "passwd").read_text() != Path("/etc/passwd").read_text()
    daemon.hyper("cp", "hostile:/h/magic/etc/shadow", str(tmp_path / "s"), status=1)
    daemon.hyper("cp", "hostile:/h/loop/x", str(tmp_path / "s"), status=1)
    daemon.hyper("cp", str(tmp_path / "passwd"), "hostile:/h/x/planted")
    assert daemon.hyper("diff", "hostile").lines[-2:] == ["A /x/passwd", "A /x/planted"]


def test_a_start_or_removal_ends_the_use_of_the_files(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x\n")
    daemon.hyper("create", "--name", "quick", "busybox", "sleep", "600")
    for _ in range(2):
        daemon.hyper("cp", str(tmp_path / "file"), "quick:/file")
        daemon.hyper("start", "quick")
        assert daemon.hyper("exec", "quick", "cat", "/file").stdout == "x\n"
        assert len(daemon.vmms()) == 1
        daemon.hyper("kill", "quick")
        daemon.hyper("wait", "quick")
    daemon.hyper("cp", "quick:/file", str(tmp_path / "back"))
    daemon.hyper("rm", "quick")
    assert not daemon.vmms()


def test_a_reader_that_leaves_ends_the_work(daemon: Daemon) -> None:
    with container(daemon, "running") as name:
        daemon.hyper("exec", name, "sh", "-c", "head -c 50000000 /dev/zero > /large")
        reader = daemon.popen("cp", f"{name}:/large", "-")
        assert reader.stdout is not None
        assert len(reader.stdout.read(100_000)) == 100_000
        reader.kill()
        reader.communicate()
        assert daemon.hyper("exec", name, "echo", "still here").stdout == "still here\n"
        daemon.hyper("cp", f"{name}:/etc/passwd", "-")


def test_a_daemon_that_dies_leaves_no_vm_with_the_disk(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept\n")
    daemon.hyper("create", "--name", "orphan", "busybox", "cat", "/file")
    daemon.hyper("cp", str(tmp_path / "file"), "orphan:/file")
    before = daemon.vmms()
    assert len(before) == 1
    daemon.kill()
    daemon.start()
    assert not daemon.vmms() & before
    assert daemon.hyper("start", "--attach", "orphan").stdout == "kept\n"
