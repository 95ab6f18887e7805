"""`hyper run`: from the command line to a process in a guest and back."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import wal
from tests.support.daemon import Daemon, Result

Hyper = Callable[..., Result]


def test_prints_what_the_container_prints(hyper: Hyper) -> None:
    assert hyper("run", "--rm", "busybox", "echo", "hi").stdout == "hi\n"


def test_the_guest_has_its_own_kernel(hyper: Hyper) -> None:
    release = hyper("run", "--rm", "busybox", "uname", "-r").stdout.strip()
    assert release and release != os.uname().release


def test_stdout_and_stderr_stay_apart(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exits_with_the_status_of_the_process(hyper: Hyper, status: int) -> None:
    hyper("run", "--rm", "busybox", "sh", "-c", f"exit {status}", status=status)


def test_exits_with_128_and_the_signal(daemon: Daemon) -> None:
    process = daemon.popen("run", "--name", "victim", "busybox", "sh", "-c", "echo up; sleep 600")
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    daemon.hyper("kill", "victim")
    assert process.wait(60) == 128 + signal.SIGKILL
    process.communicate()


def test_command_not_found_is_127(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "busybox", "no-such-command", status=127)
    assert "no-such-command" in result.stderr
    assert "not found" in result.stderr


def test_command_not_executable_is_126(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "busybox", "/etc/passwd", status=126)
    assert "permission denied" in result.stderr


def test_stdin_reaches_the_process(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "-i", "busybox", "cat", input="one\ntwo\n")
    assert result.stdout == "one\ntwo\n"


def test_a_megabyte_goes_there_and_back(hyper: Hyper) -> None:
    text = "".join(f"{number:07}\n" for number in range(131072))
    assert hyper("run", "--rm", "-i", "busybox", "cat", input=text).stdout == text


def test_environment_working_directory_and_user(hyper: Hyper) -> None:
    script = 'echo "$WORD|$EMPTY|$PWD|$(id -u):$(id -g)|$HOME"'
    options = ("-e", "WORD=two words", "-e", "EMPTY=", "-w", "/new/folder", "-u", "www-data")
    result = hyper("run", "--rm", *options, "busybox", "sh", "-c", script)
    assert result.stdout == "two words||/new/folder|33:33|/var/www\n"


def test_the_whole_host_is_shared_with_what_is_mounted_in_it(hyper: Hyper, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")
    shown = f"cat /host{tmp_path}/file /host/proc/version /other/version"
    script = f"{shown}; stat -c %u:%g /host{tmp_path}; echo x > /host{tmp_path}/new"
    binds = ("-v", "/:/host:ro", "-v", "/proc:/other:ro")
    result = hyper("run", "--rm", *binds, "busybox", "sh", "-c", script, status=1)
    version = Path("/proc/version").read_text()
    assert result.stdout == f"from the host\n{version}{version}{os.getuid()}:{os.getgid()}\n"
    assert "Read-only file system" in result.error
    if os.geteuid() == 0:  # who owns what in proc cannot be shown to a VM
        refused = hyper("run", "--rm", "-v", "/proc:/other", "busybox", "true", status=125)
        assert "/proc: its file system cannot show a VM who owns what" in refused.error


def test_a_guest_that_lifts_read_only_cannot_write_to_the_host(
    hyper: Hyper, tmp_path: Path
) -> None:
    writable = tmp_path / "writable"
    writable.mkdir()
    script = """
        for place in /etc /tmp /in /old; do
            mount -o remount,rw,bind $place && ! touch $place/no && touch /rw/lifted$place || exit 1
        done
        ls /etc/passwd
        cat /old/kept
        stat -c %a /tmp
    """
    hyper("run", "--rm", "-v", "old:/v", "busybox", "sh", "-c", "echo kept > /v/kept")
    binds = ("-v", f"{tmp_path}:/in:ro", "-v", f"{writable}:/rw")
    # What the image has is put into an empty volume, also into one that is only read, before
    # anything runs that could write there too.
    volumes = ("-v", "old:/old:ro", "-v", "fresh:/etc:ro", "-v", "none:/tmp:ro")
    own = ("--cap-add", "SYS_ADMIN", "busybox", "sh", "-c", f"mkdir /rw/lifted; {script}")
    shown = hyper("run", "--rm", *binds, *volumes, *own)
    assert shown.stderr.count("Read-only file system") == 4
    assert shown.lines == ["/etc/passwd", "kept", "1777"]
    lifted = {path.name for path in writable.rglob("*")}
    assert lifted == {"lifted", "in", "old", "etc", "tmp"}
    assert list(tmp_path.iterdir()) == [writable]
    hyper("volume", "rm", "old", "fresh", "none")


def test_groups_of_the_image_are_taken(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "-u", "www-data", "busybox", "id", "-G")
    assert set(result.stdout.split()) == {"33", "100"}


def test_unknown_user_is_refused(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "-u", "nosuch", "busybox", "true", status=None)
    assert result.status in (125, 126)
    assert "nosuch" in result.stderr


def test_entrypoint_is_replaced(hyper: Hyper) -> None:
    assert hyper("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b").stdout == "a b\n"


def test_hostname(hyper: Hyper) -> None:
    for name in ("host7", "my_app.example.org"):
        result = hyper("run", "--rm", "--hostname", name, "busybox", "hostname")
        assert result.stdout == f"{name}\n"


def test_hostname_is_the_short_id_by_default(hyper: Hyper) -> None:
    shown = hyper("run", "--name", "named", "busybox", "hostname").stdout.strip()
    assert shown == json.loads(hyper("inspect", "named").stdout)[0]["Id"][:12]


def test_read_only_root(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "--read-only", "busybox", "touch", "/file", status=1)
    assert "Read-only file system" in result.stderr


def test_terminal(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "-t", "busybox", "sh", "-c", "test -t 0 && test -t 1 && tty")
    assert result.stdout.startswith("/dev/")


def test_memory_limit_is_the_cgroups(hyper: Hyper) -> None:
    script = "cat /sys/fs/cgroup/memory.max"
    result = hyper("run", "--rm", "-m", "64m", "busybox", "sh", "-c", script)
    assert result.stdout.strip() == str(64 * 1024 * 1024)


def test_out_of_memory_ends_the_container_only(hyper: Hyper) -> None:
    script = "x=a; while true; do x=$x$x; done"
    name = "eater"
    options = ("--name", name, "-m", "32m", "--memory-swap", "32m")
    hyper("run", *options, "busybox", "sh", "-c", script, status=137)
    state = json.loads(hyper("inspect", name).stdout)[0]["State"]
    assert state["OOMKilled"] is True


def test_mounts_look_like_dockers(hyper: Hyper) -> None:
    lines = hyper("run", "--rm", "busybox", "cat", "/proc/mounts").lines
    kinds = {line.split()[1]: line.split()[2] for line in lines}
    assert kinds["/"] == "overlay"
    assert kinds["/proc"] == "proc"
    assert kinds["/sys"] == "sysfs"
    assert kinds["/dev"] == "tmpfs"
    assert kinds["/dev/pts"] == "devpts"
    assert kinds["/dev/shm"] == "tmpfs"
    assert kinds["/dev/mqueue"] == "mqueue"
    assert {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} <= set(kinds)


def test_the_files_of_all_layers_are_of_one_device(hyper: Hyper) -> None:
    """Programs take another device for a mount (tar --one-file-system, du -x)."""
    try:
        hyper("run", "--name", "second", "busybox", "sh", "-c", "echo 2 > /two; ln /two /twin")
        hyper("commit", "second", "layers")
        script = (
            "echo 3 > /three; ln /three /also; mkdir /dir; chmod 600 /etc/passwd;"
            "stat -c '%d %i %n' / /bin /bin/busybox /etc/passwd /two /twin /three /also /dir"
        )
        found = [line.split() for line in hyper("run", "--rm", "layers", "sh", "-c", script).lines]
    finally:
        hyper("rm", "--force", "second", status=None)
        hyper("rmi", "--force", "layers", status=None)
    assert len({device for device, _, _ in found}) == 1
    inodes = {name: int(inode) for _, inode, name in found}
    assert max(inodes.values()) < 1 << 32, "a 32-bit program cannot stat() it"
    assert inodes.pop("/also") == inodes["/three"]
    assert inodes.pop("/twin") == inodes["/two"]
    assert len({*inodes.values()}) == len(inodes) == 7


def test_capabilities_are_dockers_default(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "busybox", "grep", "CapEff", "/proc/self/status")
    assert result.stdout.split() == ["CapEff:", "00000000a80425fb"]


def test_seccomp_filter_is_on(hyper: Hyper) -> None:
    script = "grep -w Seccomp /proc/self/status"
    assert hyper("run", "--rm", "busybox", "sh", "-c", script).stdout.split()[1] == "2"


def test_seccomp_denies_what_docker_denies(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "busybox", "unshare", "-m", "true", status=None)
    assert result.status != 0
    assert "Operation not permitted" in result.stderr


def test_default_limits_are_those_of_a_container_not_of_a_small_machine(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -u")
    assert result.lines == ["1024", "524288", "unlimited"]


def test_processes_of_others_are_not_seen(hyper: Hyper) -> None:
    lines = hyper("run", "--rm", "busybox", "ps", "-o", "pid,args").lines
    assert lines[1].split() == ["1", "ps", "-o", "pid,args"]
    assert len(lines) == 2


def test_orphans_are_reaped(hyper: Hyper) -> None:
    script = "(sleep 0.2 &) ; sleep 1; ps -o stat | grep -c Z"
    result = hyper("run", "--rm", "--init", "busybox", "sh", "-c", script, status=None)
    assert result.stdout.strip() == "0"


def test_named_volume_survives_its_container(hyper: Hyper) -> None:
    try:
        hyper("run", "--rm", "-v", "kept:/data", "busybox", "sh", "-c", "echo 7 > /data/file")
        result = hyper("run", "--rm", "-v", "kept:/data", "busybox", "cat", "/data/file")
        assert result.stdout == "7\n"
    finally:
        hyper("volume", "rm", "--force", "kept", status=None)


def test_wall_clock_is_right(hyper: Hyper) -> None:
    before = time.time()
    shown = int(hyper("run", "--rm", "busybox", "date", "+%s").stdout)
    assert int(before) - 1 <= shown <= time.time() + 1


def test_container_is_gone_after_rm(hyper: Hyper) -> None:
    hyper("run", "--rm", "--name", "gone", "busybox", "true")
    assert hyper("ps", "--all", "--quiet").stdout == ""


def test_name_taken_is_a_conflict(hyper: Hyper) -> None:
    hyper("create", "--name", "taken", "busybox", "true")
    result = hyper("run", "--name", "taken", "busybox", "true", status=125)
    assert "already in use" in result.stderr


def test_a_run_waits_for_four_transactions(daemon: Daemon, hyper: Hyper) -> None:
    log = daemon.root / "state.db-wal"
    counts: list[int] = []
    while len(counts) < 3:  # something left from another test may be stored in between
        before, then = wal.commits(log)
        hyper("run", "--rm", "busybox", "true")
        after, now = wal.commits(log)
        if before == after:
            counts.append(now - then)
    # Made with its pod; its VM; its start; its end and removal.
    assert min(counts) == 4


def test_several_at_once_all_answer(daemon: Daemon) -> None:
    running = [
        daemon.popen("run", "--rm", "busybox", "sh", "-c", f"echo number {number}")
        for number in range(6)
    ]
    answers = [process.communicate(timeout=120)[0].decode() for process in running]
    assert answers == [f"number {number}\n" for number in range(6)]
    assert [process.returncode for process in running] == [0] * 6


def test_interrupt_reaches_the_container(daemon: Daemon) -> None:
    script = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done"
    process = daemon.popen("run", "--rm", "busybox", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == b"caught\n"
    assert process.wait(60) == 7
