"""hyperstart's processes: how they start, what they are, how they end."""

import signal
import time

import pytest
from hyperstart_client import Host, Refused, start
from hyperstart_guest import create, needs_busybox, needs_root, run, shell

from hyper.agent import messages as m

pytestmark = [needs_root, needs_busybox]


@pytest.mark.parametrize("code", [0, 1, 127, 255])
def test_exit_code_is_reported(host: Host, code: int) -> None:
    create(host)
    exited = run(host, 1, "sh", "-c", f"exit {code}", main=True)
    assert (exited.exit_code, exited.signal, exited.container) == (code, 0, "c1")
    assert abs(exited.exited_ns - time.time_ns()) < 60e9


def test_death_by_a_signal_is_reported(running: Host) -> None:
    running.request(start(2, "sleep", "600"))
    running.request(m.ProcessSignal(2, "", signal.SIGTERM))
    exited = running.exited(2)
    assert (exited.exit_code, exited.signal) == (0, signal.SIGTERM)


def test_signal_to_an_ended_process_is_refused(running: Host) -> None:
    run(running, 2, "true")
    with pytest.raises(Refused, match="kill process 2"):
        running.request(m.ProcessSignal(2, "", signal.SIGTERM))


def test_first_process_ends_the_others(running: Host) -> None:
    running.request(start(2, "sleep", "600"))
    running.request(m.ProcessSignal(1, "", signal.SIGKILL))
    assert running.exited(1).signal == signal.SIGKILL
    assert running.exited(2).signal == signal.SIGKILL


def test_exit_follows_the_last_byte(running: Host) -> None:
    running.request(start(2, "sh", "-c", "seq 20000; echo end >&2"))
    running.exited(2)
    assert running.ended >= {9, 10}
    assert running.stdout(2).endswith(b"20000\n")
    assert running.stderr(2) == b"end\n"


def test_background_child_does_not_keep_an_exec_from_ending(running: Host) -> None:
    exited = run(running, 2, "sh", "-c", "sleep 600 & echo started")
    assert exited.exit_code == 0
    assert running.stdout(2) == b"started\n"


@pytest.mark.parametrize(
    ("program", "error"),
    [("missing", "No such file"), ("/missing", "No such file"), ("/etc/passwd", "Permission")],
)
def test_exec_that_fails_says_why(running: Host, program: str, error: str) -> None:
    with pytest.raises(Refused, match=f"exec {program}: {error}"):
        running.request(start(2, program))
    assert run(running, 2, "true").exit_code == 0


def test_failed_first_process_leaves_the_container_startable(host: Host) -> None:
    create(host)
    with pytest.raises(Refused, match="exec missing"):
        host.request(start(1, "missing", main=True))
    assert run(host, 2, "true", main=True).exit_code == 0


def test_second_first_process_is_refused(running: Host) -> None:
    with pytest.raises(Refused, match="is running"):
        running.request(start(2, "true", main=True))


def test_exec_in_a_stopped_container_is_refused(host: Host) -> None:
    create(host)
    with pytest.raises(Refused, match="is not running"):
        host.request(start(1, "true"))


def test_container_can_be_started_again_with_its_files(host: Host) -> None:
    create(host)
    run(host, 1, "sh", "-c", "echo kept > /file", main=True)
    assert shell(host, 2, "cat /file", main=True) == "kept\n"


def test_many_processes_at_once(running: Host) -> None:
    numbers = range(10, 110)
    ids = [running.request_async(start(n, "sh", "-c", f"echo {n}; exit {n}")) for n in numbers]
    for request_id in ids:
        running.reply(request_id)
    for number in numbers:
        assert running.exited(number).exit_code == number
        assert running.stdout(number) == b"%d\n" % number


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", (), "uid=0(root) gid=0(root)"),
        ("bob", (), "uid=1000(bob) gid=1000(bob) groups=1000(bob),2000(extra)"),
        ("1000", (), "uid=1000(bob) gid=1000(bob) groups=1000(bob),2000(extra)"),
        ("1000:2000", (), "uid=1000(bob) gid=2000(extra)"),
        ("4242", (), "uid=4242 gid=0(root)"),
        ("4242:4343", (), "uid=4242 gid=4343"),
        ("bob:root", ("extra", "77"), "uid=1000(bob) gid=0(root) groups=0(root),77,2000(extra)"),
    ],
)
def test_user_is_resolved_in_the_image(
    running: Host, user: str, groups: tuple[str, ...], expected: str
) -> None:
    run(running, 2, "id", user=user, groups=groups)
    assert running.stdout(2).decode().strip().startswith(expected)


@pytest.mark.parametrize(("user", "step"), [("nobody", "user nobody"), ("0:nogroup", "group")])
def test_unknown_user_is_refused(running: Host, user: str, step: str) -> None:
    with pytest.raises(Refused, match=step):
        running.request(start(2, "true", user=user))


def test_root_has_its_capabilities_and_others_have_none(running: Host) -> None:
    script = "sed -n 's/^Cap\\(.*\\):\\t/\\1 /p' /proc/self/status"
    wanted = 0xA80425FB
    root = dict(line.split() for line in shell(running, 2, script).splitlines())
    bob = dict(line.split() for line in shell(running, 3, script, user="bob").splitlines())
    assert {int(root[name], 16) for name in ("Prm", "Eff", "Bnd")} == {wanted}
    assert int(root["Inh"], 16) == int(root["Amb"], 16) == 0
    assert int(bob["Prm"], 16) == int(bob["Eff"], 16) == 0
    assert int(bob["Bnd"], 16) == wanted


def test_ambient_capabilities_survive_a_user(running: Host) -> None:
    script = "sed -n 's/^CapEff:\\t//p' /proc/self/status"
    assert int(shell(running, 2, script, user="bob", ambient=1 << 10), 16) == 1 << 10


def test_no_new_privileges_and_seccomp_hold(running: Host) -> None:
    script = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status"
    allow_all = bytes.fromhex("0600000000 00ff7f".replace(" ", ""))  # BPF_RET | SECCOMP_RET_ALLOW
    out = shell(running, 2, script, no_new_privileges=True, seccomp=allow_all)
    assert out.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    assert shell(running, 3, script, seccomp=allow_all).split()[1::2] == ["0", "2"]


def test_limits_umask_and_directory_are_set(running: Host) -> None:
    nofile = m.Rlimit(7, 100, 200)
    script = "ulimit -Sn; ulimit -Hn; umask; pwd; echo $HOME"
    out = shell(running, 2, script, rlimits=(nofile,), umask=0o027, cwd="/tmp", user="bob")
    assert out.split() == ["100", "200", "0027", "/tmp", "/home/bob"]


def test_missing_directory_is_made_only_on_request(running: Host) -> None:
    with pytest.raises(Refused, match="chdir /new/dir"):
        running.request(start(2, "pwd", cwd="/new/dir"))
    assert shell(running, 2, "pwd", cwd="/new/dir", create_cwd=True) == "/new/dir\n"


def test_ordinary_user_can_open_its_output_again(running: Host) -> None:
    assert shell(running, 2, "echo again > /dev/stdout", user="bob") == "again\n"


def test_signals_and_descriptors_are_clean(running: Host) -> None:
    run(running, 2, "ls", "/proc/self/fd")
    assert running.stdout(2).split() == [b"0", b"1", b"2", b"3"]  # 3: the directory itself
    run(running, 3, "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    assert running.stdout(3).split()[1::2] == [b"0" * 16, b"0" * 16]
