"""hyperstart's processes, streams and containers, below a test directory on the host."""

import hashlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hyperstart_client import Host, Refused, start
from hyperstart_guest import (
    build,
    create,
    greeted_host,
    hyperstart,
    make_layer,
    needs_busybox,
    needs_musl,
    needs_root,
)

from hyper.agent import messages as m

pytestmark = [needs_root, needs_busybox]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with greeted_host(tmp_path) as host:
        yield host


@pytest.fixture
def running(host: Host) -> Host:
    """A host with a container whose first process, 1, sleeps."""
    create(host)
    host.request(start(1, "sleep", "600", main=True))
    return host


@pytest.fixture
def init_host(tmp_path: Path) -> Iterator[Host]:
    """A host of a hyperstart that uses the release build as containers' init."""
    shutil.copy(build("all") / "hyperstart", tmp_path / "init")
    with greeted_host(tmp_path) as host:
        yield host


def run(host: Host, number: int, *args: str, **fields: object) -> m.ProcessExited:
    host.request(start(number, *args, **fields))  # type: ignore[arg-type]
    return host.exited(number)


def shell(host: Host, number: int, script: str, **fields: object) -> str:
    run(host, number, "sh", "-c", script, **fields)
    return host.stdout(number).decode()


def await_window(host: Host, stream: int, acked: int) -> None:
    host.wait_for(lambda: host.windows.get(stream, 0) >= acked)


def send_input(host: Host, number: int, data: bytes) -> None:
    """Send all of stdin and its end, never more than the window allows."""
    stream, at = number * 4, 0
    host.windows[stream] = 0
    while at < len(data):
        limit = host.windows[stream] + m.STREAM_WINDOW
        part = data[at : min(at + m.DATA_MAX, limit)]
        if part:
            host.send(m.Data(at, part), stream_id=stream)
            at += len(part)
            host.pump()
        else:
            await_window(host, stream, limit - m.STREAM_WINDOW + 1)
    host.send(m.Data(at, b""), stream_id=stream, flags=m.FLAG_EOF)


# --- ends ---------------------------------------------------------------------


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


# --- streams ------------------------------------------------------------------


def test_ten_megabytes_pass_both_ways(running: Host) -> None:
    data = os.urandom(1 << 20) * 10
    running.request(start(2, "cat", stdin=True))
    send_input(running, 2, data)
    assert running.exited(2).exit_code == 0
    assert hashlib.sha256(running.stdout(2)).digest() == hashlib.sha256(data).digest()


def test_stalled_stream_stalls_only_itself(running: Host) -> None:
    running.acknowledge = False
    running.request(start(2, "sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxx; done"))
    running.wait_for(lambda: len(running.stdout(2)) >= m.STREAM_WINDOW)
    assert run(running, 3, "echo", "alive").exit_code == 0
    assert running.stdout(3) == b"alive\n"
    assert len(running.stdout(2)) == m.STREAM_WINDOW
    running.send(m.Window(1000), stream_id=9)
    running.wait_for(lambda: len(running.stdout(2)) == m.STREAM_WINDOW + 1000)


def test_input_that_nobody_reads_holds_back_only_itself(running: Host) -> None:
    running.request(start(2, "sleep", "600", stdin=True))
    for at in range(0, m.STREAM_WINDOW, m.DATA_MAX):
        running.send(m.Data(at, bytes(m.DATA_MAX)), stream_id=8)
    assert run(running, 3, "true").exit_code == 0
    assert running.windows.get(8, 0) < m.STREAM_WINDOW


def test_input_after_its_reader_has_gone_is_swallowed(running: Host) -> None:
    running.request(start(2, "sh", "-c", "exec <&-; echo closed; sleep 600", stdin=True))
    running.wait_for(lambda: running.stdout(2))
    data = bytes(300000)
    send_input(running, 2, data)
    running.wait_for(lambda: running.windows[8] == len(data))


def test_end_of_input_reaches_the_process(running: Host) -> None:
    running.request(start(2, "wc", "-c", stdin=True))
    send_input(running, 2, b"12345")
    running.exited(2)
    assert running.stdout(2).strip() == b"5"


def test_process_without_input_reads_nothing(running: Host) -> None:
    assert shell(running, 2, "wc -c").strip() == "0"


def test_repeated_input_is_taken_once(running: Host) -> None:
    running.request(start(2, "cat", stdin=True))
    running.send(m.Data(0, b"abc"), stream_id=8)
    running.send(m.Data(1, b"bcd"), stream_id=8, flags=m.FLAG_EOF)
    running.exited(2)
    assert running.stdout(2) == b"abcd"


# --- terminals ----------------------------------------------------------------


def test_terminal_has_its_size_and_is_the_controlling_one(running: Host) -> None:
    run(running, 2, "sh", "-c", "tty; stty size; echo x >/dev/tty", tty=True, rows=33, columns=99)
    assert running.stdout(2) == b"/dev/pts/0\r\n33 99\r\nx\r\n"


def test_terminal_of_a_first_process_is_its_console(host: Host) -> None:
    create(host)
    run(host, 1, "sh", "-c", "echo console >/dev/console; ls /dev/pts", main=True, tty=True)
    assert host.stdout(1).startswith(b"console\r\n0")


def test_resize_reaches_the_terminal(running: Host) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.1; done"
    running.request(start(2, "sh", "-c", script, tty=True, rows=24, columns=80))
    running.wait_for(lambda: running.stdout(2))
    running.request(m.ProcessResize(2, 50, 132))
    running.exited(2)
    assert b"50 132" in running.stdout(2)


def test_control_c_on_a_terminal_interrupts(running: Host) -> None:
    running.request(start(2, "sh", "-c", "echo ready; exec sleep 600", tty=True, stdin=True))
    running.wait_for(lambda: running.stdout(2))
    running.send(m.Data(0, b"\x03"), stream_id=8)
    assert running.exited(2).signal == signal.SIGINT


def test_end_of_input_does_not_end_a_terminal(running: Host) -> None:
    running.request(start(2, "sh", "-c", "read a; echo got $a", tty=True, stdin=True))
    running.send(m.Data(0, b""), stream_id=8, flags=m.FLAG_EOF)
    assert run(running, 3, "sleep", "0.2").exit_code == 0
    running.request(m.ProcessSignal(2, "", signal.SIGKILL))
    assert running.exited(2).signal == signal.SIGKILL


def test_resize_without_a_terminal_is_refused(running: Host) -> None:
    with pytest.raises(Refused, match="resize"):
        running.request(m.ProcessResize(1, 1, 1))


# --- what a process is --------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", (), "uid=0(root) gid=0(root)"),
        ("bob", (), "uid=1000(bob) gid=1000(bob) groups=2000(extra)"),
        ("1000", (), "uid=1000(bob) gid=1000(bob) groups=2000(extra)"),
        ("1000:2000", (), "uid=1000(bob) gid=2000(extra)"),
        ("4242", (), "uid=4242 gid=0(root)"),
        ("4242:4343", (), "uid=4242 gid=4343"),
        ("bob:root", ("extra", "77"), "uid=1000(bob) gid=0(root) groups=77,2000(extra)"),
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


# --- the container ------------------------------------------------------------


def test_mounts_are_those_of_docker(running: Host) -> None:
    out = shell(running, 2, "awk '{print $2, $3, $4}' /proc/mounts")
    mounts = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert mounts["/"][0] == "overlay"
    assert mounts["/proc"][0] == "proc"
    assert mounts["/dev"][0] == "tmpfs"
    assert mounts["/dev/pts"][0] == "devpts"
    assert mounts["/dev/mqueue"][0] == "mqueue"
    assert mounts["/sys"][1].startswith("ro,nosuid,nodev,noexec")
    assert set(mounts) == {"/", "/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/sys"}


def test_devices_and_links_are_those_of_docker(running: Host) -> None:
    out = shell(running, 2, "cd /dev; ls; for i in ptmx fd stdin; do readlink $i; done")
    names = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert out.split() == [*names.split(), "pts/ptmx", "/proc/self/fd", "/proc/self/fd/0"]


def test_first_process_is_pid_1(host: Host) -> None:
    create(host, hostname="inside")
    assert shell(host, 1, "echo $$; hostname", main=True) == "1\ninside\n"


@needs_musl
def test_init_forwards_signals_reaps_and_passes_the_exit_on(init_host: Host) -> None:
    host = init_host
    create(host, init=True)
    script = "trap 'exit 42' TERM; (sleep 0.1 & ) ; echo $$; sleep 60 & wait"
    host.request(start(1, "sh", "-c", script, main=True))
    host.wait_for(lambda: host.stdout(1))
    assert int(host.stdout(1)) > 1
    assert shell(host, 2, "tr '\\0' ' ' < /proc/1/cmdline").startswith("/sbin/docker-init -- sh")
    assert "Z" not in shell(host, 3, "sleep 0.3; cut -d' ' -f3 /proc/[0-9]*/stat")
    host.request(m.ProcessSignal(1, "", signal.SIGTERM))
    assert host.exited(1).exit_code == 42


@needs_musl
def test_init_reports_a_missing_program(init_host: Host) -> None:
    create(init_host, init=True)
    with pytest.raises(Refused, match="exec missing"):
        init_host.request(start(1, "missing", main=True))


def test_files_tmpfs_masked_and_read_only_paths(host: Host) -> None:
    mounts = (
        m.Mount(2, destination="/etc/hosts", data=b"1.2.3.4 me\n", mode=0o640, uid=5),
        m.Mount(2, destination="/new/deep/file", data=b"deep\n"),
        m.Mount(0, destination="/data", options="size=64k,mode=700"),
    )
    masked = ("/proc/version", "/etc/group", "/tmp", "/missing")
    create(host, mounts=mounts, masked_paths=masked, read_only_paths=("/etc", "/missing"))
    script = (
        "cat /etc/hosts /new/deep/file; stat -c '%a %u' /etc/hosts; stat -c %a /data; ls /data;"
        " wc -c < /proc/version; wc -c < /etc/group; (echo > /etc/x) 2>&1; (echo > /tmp/x) 2>&1"
    )
    lines = shell(host, 1, script, main=True).splitlines()
    assert lines[:6] == ["1.2.3.4 me", "deep", "640 5", "700", "0", "0"]
    assert len(lines) == 8
    assert all("Read-only" in line for line in lines[6:])


def test_read_only_root(host: Host) -> None:
    create(host, read_only_root=True)
    out = shell(host, 1, "(echo > /x) 2>&1; echo > /dev/shm/x && echo shm", main=True)
    assert "Read-only" in out
    assert out.endswith("shm\n")


def test_volume_is_mounted_and_populated_once(host: Host, tmp_path: Path) -> None:
    share = tmp_path / "share/vol"
    share.mkdir(parents=True)
    data = tmp_path / "test-layers/0/data"
    os.chown(data / "file", 1000, 2000)
    (data / "link").symlink_to("/etc/passwd")
    host.request(m.VolumeAdd("v", 0, "vol", m.Device(), "", False))
    create(host, mounts=(m.Mount(1, "v", destination="/data", populate=True),))
    assert shell(host, 1, "cat /data/file; rm /data/file", main=True) == "from the image\n"
    assert (share / "link").is_symlink()
    assert (share / "below").is_dir()
    run(host, 2, "true", main=True)
    assert not (share / "file").exists()


def test_volume_in_use_cannot_be_removed(host: Host, tmp_path: Path) -> None:
    (tmp_path / "share/vol").mkdir(parents=True)
    host.request(m.VolumeAdd("v", 0, "vol", m.Device(), "", False))
    create(host, mounts=(m.Mount(1, "v", destination="/mnt", flags=1),))
    assert "Read-only" in shell(host, 1, "(echo > /mnt/x) 2>&1", main=True)
    with pytest.raises(Refused, match="volume v"):
        host.request(m.VolumeRemove("v"))
    host.request(m.ContainerRemove("c1"))
    host.request(m.VolumeRemove("v"))


@pytest.mark.parametrize("target", ["/run/made/resolv", "../run/made/resolv", "next"])
def test_mount_point_that_is_a_dangling_link_is_made(
    host: Host, tmp_path: Path, target: str
) -> None:
    etc = tmp_path / "test-layers/0/etc"
    (etc / "resolv.conf").symlink_to(target)
    (etc / "next").symlink_to("../../../../../run/made/resolv")
    create(host, mounts=(m.Mount(2, destination="/etc/resolv.conf", data=b"nameserver\n"),))
    script = "cat /etc/resolv.conf /run/made/resolv"
    assert shell(host, 1, script, main=True) == "nameserver\n" * 2


def test_mount_point_that_links_to_itself_is_refused(host: Host, tmp_path: Path) -> None:
    (tmp_path / "test-layers/0/etc/loop").symlink_to("loop")
    create(host, mounts=(m.Mount(2, destination="/etc/loop", data=b"x"),))
    with pytest.raises(Refused, match="mkdir /etc/loop: Too many"):
        host.request(start(1, "true", main=True))


def test_volume_subpath_cannot_leave_the_volume(host: Host, tmp_path: Path) -> None:
    share = tmp_path / "share/vol"
    share.mkdir(parents=True)
    (share / "out").symlink_to("../../../../../../etc")
    host.request(m.VolumeAdd("v", 0, "vol", m.Device(), "", False))
    create(host, mounts=(m.Mount(1, "v", "out", destination="/mnt"),))
    with pytest.raises(Refused, match="volume v: out"):
        host.request(start(1, "true", main=True))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "proc_is_a_link": lambda root: (root / "proc").symlink_to("/etc"),
    "dev_is_a_link_upwards": lambda root: (root / "dev").symlink_to("../../../../../../../tmp"),
    "sys_is_a_file": lambda root: (root / "sys").write_text("x"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_mount_points_do_not_lead_out(host: Host, tmp_path: Path, kind: str) -> None:
    HOSTILE[kind](tmp_path / "test-layers/0")
    before = {path.name for path in Path("/tmp").iterdir()}
    create(host)
    try:
        run(host, 1, "true", main=True)
    except Refused:
        pass
    assert "pts" not in {path.name for path in Path("/tmp").iterdir()} - before
    assert host.request(m.Ping()) == m.Ok()


@pytest.mark.parametrize("kind", ["fifo", "zero", "huge", "link"])
def test_hostile_passwd_is_harmless(host: Host, tmp_path: Path, kind: str) -> None:
    passwd = tmp_path / "test-layers/0/etc/passwd"
    passwd.unlink()
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "zero":
        passwd.symlink_to("/dev/zero")
    elif kind == "huge":
        with passwd.open("wb") as file:
            file.truncate(1 << 40)
    else:
        passwd.symlink_to("passwd")
    create(host)
    assert shell(host, 1, "echo fine", main=True, user="7") == "fine\n"
    with pytest.raises(Refused, match="user bob"):
        host.request(start(2, "true", main=True, user="bob"))


def test_removal_kills_unmounts_and_forgets(running: Host, tmp_path: Path) -> None:
    running.request(start(2, "sleep", "600"))
    running.request(m.ContainerRemove("c1"))
    assert running.exited(1).signal == signal.SIGKILL
    assert running.exited(2).signal == signal.SIGKILL
    assert list((tmp_path / "c").iterdir()) == []
    assert list((tmp_path / "l").iterdir()) == []
    with pytest.raises(Refused, match="container c1"):
        running.request(m.ContainerRemove("c1"))


def test_layers_are_shared_until_the_last_container_goes(running: Host, tmp_path: Path) -> None:
    create(running, "c2")
    assert len(list((tmp_path / "l").iterdir())) == 1
    running.request(m.ContainerRemove("c1"))
    assert run(running, 3, "true", container="c2", main=True).exit_code == 0
    running.request(m.ContainerRemove("c2"))
    assert list((tmp_path / "l").iterdir()) == []


def test_processes_are_listed(running: Host) -> None:
    listed = running.request(m.ContainerProcesses("c1"))
    assert isinstance(listed, m.ContainerProcessList)
    (entry,) = listed.processes
    assert (entry.command, entry.comm, entry.uid, entry.threads) == ("sleep 600", "sleep", 0, 1)
    assert chr(entry.state) in "SRD"


# --- a host that comes back ---------------------------------------------------


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    make_layer(tmp_path / "test-layers/0")
    path = str(tmp_path / "agent.sock")
    with hyperstart(tmp_path, listening=True):
        yield path
        last = connect(path)
        last.resume()
        last.request(m.PodShutdown())


def connect(path: str) -> Host:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return Host(connection)


def test_output_and_exit_survive_a_reconnect(address: str) -> None:
    first = connect(address)
    first.hello()
    first.acknowledge = False
    create(first)
    script = "echo one; echo err >&2; sleep 0.3; echo two; exit 3"
    first.request(start(1, "sh", "-c", script, main=True))
    first.wait_for(lambda: first.stdout(1) and first.stderr(1))
    first.close()

    second = connect(address)
    (state,) = second.resume().processes
    assert (state.process_id, state.container, state.stdout_acked) == (1, "c1", 0)
    second.send(m.StreamResume(0), stream_id=5)
    second.send(m.StreamResume(0), stream_id=6)
    exited = second.exited(1, acknowledge=False)
    assert exited.exit_code == 3
    assert (second.stdout(1), second.stderr(1)) == (b"one\ntwo\n", b"err\n")
    second.close()

    third = connect(address)
    (state,) = third.resume().processes
    assert (state.running, state.exit_code) == (False, 3)
    third.send(m.StreamResume(len(b"one\ntwo\n")), stream_id=5)
    third.send(m.StreamResume(len(b"err\n")), stream_id=6)
    third.output[5] = bytearray(b"one\ntwo\n")
    third.output[6] = bytearray(b"err\n")
    assert third.exited(1) == exited
    third.close()

    fourth = connect(address)
    assert fourth.resume().processes == ()
    fourth.close()


def test_streams_are_silent_until_the_host_says_where_it_is(address: str) -> None:
    first = connect(address)
    first.hello()
    create(first)
    first.request(start(1, "cat", main=True, stdin=True))
    first.close()
    second = connect(address)
    second.resume()
    second.send(m.Data(0, b"hello"), stream_id=4)
    second.wait_for(lambda: second.windows.get(4) == 5)
    assert second.request(m.Ping()) == m.Ok()
    assert second.stdout(1) == b""
    second.send(m.StreamResume(0), stream_id=5)
    second.wait_for(lambda: second.stdout(1) == b"hello")
    second.close()


def test_refused_start_that_the_host_missed_becomes_an_exit(address: str) -> None:
    first = connect(address)
    first.hello()
    create(first)
    first.request_async(start(1, "missing", main=True))
    first.close()
    second = connect(address)
    states = second.resume().processes
    if states:  # the start was taken before the connection went
        for stream in (5, 6):
            second.send(m.StreamResume(0), stream_id=stream)
        assert second.exited(1).exit_code == 127
    second.close()
