"""hyper run, as a process against a daemon of ours: streams, statuses, signals, missing images."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_daemon import (
    IDENTIFIER,
    SOURCE,
    FakeDaemon,
    Request,
    command,
    control,
    fake_daemon,
    frame,
)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with fake_daemon(tmp_path) as fake:
        yield fake


def hyper(
    daemon: FakeDaemon, *words: str, stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        command(*words), env=daemon.environment, input=stdin, capture_output=True, timeout=60
    )


def runs(*pieces: bytes) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        request.upgrade()
        request.send(control(Id=IDENTIFIER))
        for piece in pieces:
            request.send(piece)

    return answer


def test_output_goes_to_its_stream_and_the_status_is_the_containers(daemon: FakeDaemon) -> None:
    daemon.on(
        "POST", "/hyper/v1/run", runs(frame(1, b"out\n"), frame(2, b"err\n"), control(StatusCode=7))
    )
    result = hyper(daemon, "run", "--rm", "busybox", "sh", "-c", "x")
    assert (result.stdout, result.stderr, result.returncode) == (b"out\n", b"err\n", 7)
    body = daemon.asked("POST", "/run")[0].json
    assert isinstance(body, dict)
    assert body["Cmd"] == ["sh", "-c", "x"]
    assert body["HostConfig"]["AutoRemove"] is True


def test_one_request_runs_a_container(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/run", runs(control(StatusCode=0)))
    assert hyper(daemon, "run", "busybox").returncode == 0
    assert [request.path for request in daemon.requests] == ["/hyper/v1/run"]


@pytest.mark.parametrize("as_file", [False, True])
def test_binary_stdin_arrives_whole_and_half_close_ends_it(
    daemon: FakeDaemon, tmp_path: Path, as_file: bool
) -> None:
    def cat(request: Request) -> None:
        request.upgrade()
        received = b""
        while data := request.read():
            received += data
        request.send(frame(1, received) + control(StatusCode=0))

    daemon.on("POST", "/hyper/v1/run", cat)
    data = bytes(range(256)) * 4096
    if as_file:
        (tmp_path / "input").write_bytes(data)
        with (tmp_path / "input").open("rb") as source:
            result = subprocess.run(
                command("run", "-i", "busybox", "cat"),
                env=daemon.environment,
                stdin=source,
                capture_output=True,
                timeout=60,
            )
    else:
        result = hyper(daemon, "run", "-i", "busybox", "cat", stdin=data)
    assert result.stdout == data
    assert result.returncode == 0


def test_a_missing_image_is_pulled_and_run_again(daemon: FakeDaemon) -> None:
    pulled = threading.Event()

    def run(request: Request) -> object:
        if not pulled.is_set():
            return 404, {"message": "No such image: busybox:latest"}
        runs(frame(1, b"hi\n"), control(StatusCode=0))(request)
        return None

    def pull(request: Request) -> object:
        pulled.set()
        lines = [{"status": "Pulling from library/busybox", "id": "latest"}, {"status": "Done"}]
        return 200, "\n".join(json.dumps(line) for line in lines).encode()

    daemon.on("POST", "/hyper/v1/run", run)
    daemon.on("POST", "/images/create", pull)
    result = hyper(daemon, "run", "busybox")
    assert result.returncode == 0
    assert result.stdout == b"hi\n"
    assert result.stderr.splitlines() == [
        b"Unable to find image 'busybox:latest' locally",
        b"latest: Pulling from library/busybox",
        b"Done",
    ]
    assert daemon.asked("POST", "/images/create")[0].query == {
        "fromImage": "busybox",
        "tag": "latest",
    }


def test_a_missing_image_with_pull_never_fails(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/run", (404, {"message": "No such image: x:latest"}))
    result = hyper(daemon, "run", "--pull", "never", "x")
    assert result.returncode == 125
    assert result.stderr.decode() == (
        "hyper: Error response from daemon: No such image: x:latest\n\n"
        "Run 'hyper run --help' for more information\n"
    )


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ('exec: "nope": executable file not found in $PATH', 127),
        ("exec /etc/passwd: permission denied", 126),
        ("something else", 125),
    ],
)
def test_a_failed_start_has_dockers_status(daemon: FakeDaemon, message: str, status: int) -> None:
    daemon.on("POST", "/hyper/v1/run", (400, {"message": message}))
    result = hyper(daemon, "run", "busybox", "nope")
    assert result.returncode == status
    assert message in result.stderr.decode()


def test_an_error_after_the_start_is_told_with_its_status(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/run", runs(control(Error="no such file", StatusCode=127)))
    result = hyper(daemon, "run", "busybox", "nope")
    assert result.returncode == 127
    assert b"Error response from daemon: no such file" in result.stderr


def test_a_daemon_that_vanishes_is_not_success(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/run", runs(frame(1, b"partial")))
    result = hyper(daemon, "run", "busybox")
    assert result.returncode == 125
    assert b"closed the connection" in result.stderr


def test_signals_reach_the_container(daemon: FakeDaemon) -> None:
    killed = threading.Event()

    def run(request: Request) -> None:
        request.upgrade()
        request.send(control(Id=IDENTIFIER) + frame(1, b"ready\n"))
        killed.wait(60)
        request.send(control(StatusCode=143))

    def kill(request: Request) -> object:
        killed.set()
        return 204, b""

    daemon.on("POST", "/hyper/v1/run", run)
    daemon.on("POST", f"/containers/{IDENTIFIER}/kill", kill)
    process = subprocess.Popen(
        command("run", "busybox"), env=daemon.environment, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    process.stdout.close()
    assert daemon.asked("POST", "/kill")[0].query == {"signal": "TERM"}


_LATE = """
import signal, sys, threading, time
from hyper.cli import signals
from hyper.cli.__main__ import main

installed = signals.SignalProxy.install
late = threading.Event()

def install(self, proxy, tty):
    installed(self, proxy, tty)
    threading.Thread(target=lambda: late.wait(60), daemon=True).start()
    threading.Thread(target=send, args=(threading.enumerate()[-1].ident,), daemon=True).start()

def send(other):
    sys.stdin.readline()
    # Where another thread gets it, no call of the main one is interrupted: as if it came before.
    signal.pthread_kill(other, signal.SIGTERM)

signals.SignalProxy.install = install
sys.argv[1:] = ["run", "busybox"]
sys.exit(main())
"""


def test_a_signal_that_interrupts_no_system_call_reaches_the_container(daemon: FakeDaemon) -> None:
    killed = threading.Event()

    def run(request: Request) -> None:
        request.upgrade()
        request.send(control(Id=IDENTIFIER) + frame(1, b"ready\n"))
        killed.wait(20)
        request.send(control(StatusCode=143 if killed.is_set() else 0))

    def kill(request: Request) -> object:
        killed.set()
        return 204, b""

    daemon.on("POST", "/hyper/v1/run", run)
    daemon.on("POST", f"/containers/{IDENTIFIER}/kill", kill)
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _LATE],
        env=daemon.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    while _state(process.pid) != "S":
        time.sleep(0.01)
    process.stdin.write(b"now\n")
    process.stdin.close()
    assert process.wait(60) == 143
    process.stdout.close()


def _state(pid: int) -> str:
    """Return the state of a process' main thread: S sleeps in a system call."""
    return Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_signal_before_the_container_exists_is_sent_when_it_does(daemon: FakeDaemon) -> None:
    asked, signalled, killed = threading.Event(), threading.Event(), threading.Event()

    def run(request: Request) -> None:
        asked.set()
        signalled.wait(60)
        request.upgrade()
        request.send(control(Id=IDENTIFIER))
        killed.wait(60)
        request.send(control(StatusCode=130))

    def kill(request: Request) -> object:
        killed.set()
        return 204, b""

    daemon.on("POST", "/hyper/v1/run", run)
    daemon.on("POST", f"/containers/{IDENTIFIER}/kill", kill)
    process = subprocess.Popen(command("run", "busybox"), env=daemon.environment)
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    signalled.set()
    assert process.wait(60) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_pod_run_removes_its_pod(daemon: FakeDaemon, number: signal.Signals) -> None:
    removed = threading.Event()

    def logs(request: Request) -> None:
        request.handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"
            b"Connection: close\r\n\r\n"
        )
        request.send(frame(1, b"ready\n"))
        removed.wait(60)

    def remove(request: Request) -> object:
        removed.set()
        return 204, b""

    container = {"Id": IDENTIFIER, "Name": "p-one", "NameInPod": "one", "Role": "main"}
    daemon.on("POST", "/hyper/v1/pods", {"Id": "p0"})
    daemon.on("GET", "/hyper/v1/pods/p0", {"Containers": [container]})
    daemon.on("GET", f"/containers/{IDENTIFIER}/logs", logs)
    daemon.on("DELETE", "/hyper/v1/pods/p0", remove)
    before = signal.signal(number, signal.SIG_DFL)  # nohup's children would ignore it
    process = subprocess.Popen(
        command("pod", "run", "--rm", "busybox"), env=daemon.environment, stdout=subprocess.PIPE
    )
    signal.signal(number, before)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    process.stdout.close()
    assert daemon.asked("DELETE")[0].query == {"force": "1", "v": "1"}


def test_the_cidfile_has_the_id_and_must_not_exist(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.on("POST", "/hyper/v1/run", runs(control(StatusCode=0)))
    path = tmp_path / "cid"
    assert hyper(daemon, "run", "--cidfile", str(path), "busybox").returncode == 0
    assert path.read_text() == IDENTIFIER
    again = hyper(daemon, "run", "--cidfile", str(path), "busybox")
    assert again.returncode == 125
    assert b"container ID file found" in again.stderr


def test_detached_prints_the_id(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/containers/create", (201, {"Id": IDENTIFIER, "Warnings": []}))
    daemon.on("POST", f"/containers/{IDENTIFIER}/start", (204, b""))
    result = hyper(daemon, "run", "-d", "--name", "web", "busybox")
    assert result.stdout.decode() == IDENTIFIER + "\n"
    request = daemon.asked("POST", "/create")[0]
    assert request.query == {"name": "web"}


def on_a_terminal(daemon: FakeDaemon, words: list[str], typed: bytes) -> tuple[bytes, int]:
    """Run on a terminal of 24x80, type when the prompt is there; return the output and status."""
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        command(*words), env=daemon.environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    output = b""
    sent = False
    while select.select([master], [], [], 30)[0]:
        try:
            data = os.read(master, 4096)
        except OSError:
            break  # the last process with the terminal has ended
        output += data
        if b"$ " in output and not sent:
            os.write(master, typed)
            sent = True
    os.close(master)
    return output, process.wait(60)


def shell(request: Request) -> None:
    request.upgrade()
    request.send(control(Id=IDENTIFIER) + frame(1, b"$ "))
    received = b""
    while not received.endswith(b"exit\r"):
        data = request.read()
        if not data:
            return
        received += data
    request.send(frame(1, b"got " + repr(received).encode()) + control(StatusCode=3))


def test_a_terminal_is_raw_and_its_size_is_told(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/run", shell)
    daemon.on("POST", f"/containers/{IDENTIFIER}/resize", (200, b""))
    output, status = on_a_terminal(daemon, ["run", "-it", "busybox"], b"\x03exit\r")
    assert rb"got b'\x03exit\r'" in output
    assert status == 3
    body = daemon.asked("POST", "/run")[0].json
    assert isinstance(body, dict)
    assert body["HostConfig"]["ConsoleSize"] == [24, 80]
    assert daemon.asked("POST", "/resize")[0].query == {"h": "24", "w": "80"}


def test_detach_keys_leave_the_container_running(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/run", shell)
    daemon.on("POST", f"/containers/{IDENTIFIER}/resize", (200, b""))
    output, status = on_a_terminal(daemon, ["run", "-it", "busybox"], b"\x10\x11")
    assert b"read escape sequence" in output
    assert status == 0
    assert not daemon.asked("POST", "/kill")


def test_a_terminal_is_asked_for_where_there_is_none(daemon: FakeDaemon) -> None:
    result = hyper(daemon, "run", "-it", "busybox")
    assert result.returncode == 1
    assert result.stderr == b"the input device is not a TTY\n"


SLOW = {
    *("asyncio", "http.client", "logging", "argparse", "json", "re", "enum", "socket"),
    *("dataclasses", "typing", "subprocess", "rich", "threading", "datetime", "urllib"),
    *("signal", "selectors", "inspect", "contextlib", "functools", "shutil", "tempfile"),
}


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--rm", "-m", "256m", "-e", "A=b", "-v", "/a:/b", "-p", "80:80", "busybox", "true"],
        ["exec", "-i", "web", "true"],
        ["ps", "-a"],
        ["images"],
        ["logs", "-f", "web"],
        ["rm", "-f", "web"],
        ["run", "--help"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_common_commands_import_nothing_slow(daemon: FakeDaemon, words: list[str]) -> None:
    """The start-up time is imports; modules are counted, since a time would flake."""
    daemon.on("POST", "/hyper/v1/run", runs(control(StatusCode=0)))
    daemon.on("POST", "/containers/web/exec", (201, {"Id": "e1"}))
    daemon.on("POST", "/exec/e1/start", lambda request: request.upgrade())
    daemon.on("GET", "/exec/e1/json", {"ExitCode": 0})
    daemon.on("GET", "/containers/json", [{"Id": IDENTIFIER, "Names": ["/web"]}])
    daemon.on("GET", "/images/json", [{"Id": IDENTIFIER, "RepoTags": ["busybox:1"]}])
    daemon.on("GET", "/containers/web/logs", frame(1, b"x"))
    daemon.on("DELETE", "/containers/web", (204, b""))
    script = (
        "import sys, os\n"
        "sys.path.insert(0, sys.argv.pop(1))\n"
        "from hyper.cli.__main__ import run\n"
        "status = run(sys.argv[1:])\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
        "sys.exit(status)\n"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, SOURCE, *words],
        env=daemon.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    loaded = set(result.stderr.split())
    assert not loaded & SLOW
    assert len([name for name in loaded if name.startswith("hyper")]) < 36


def test_attach_to_a_container_that_ends_at_that_moment_does_not_wait_for_its_next_run(
    daemon: FakeDaemon,
) -> None:
    states = iter(({"Running": True}, {"Running": False}))
    ended = threading.Event()

    def attach(request: Request) -> None:
        request.upgrade()
        ended.wait(60)

    daemon.on("GET", "/containers/c/json", lambda _: {"Id": "c", "State": next(states)})
    daemon.on("POST", "/containers/c/attach", attach)
    daemon.on("POST", "/containers/c/wait", {"StatusCode": 0})
    done = subprocess.run(
        command("attach", "c"), env=daemon.environment, capture_output=True, timeout=20
    )
    ended.set()
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"You cannot attach to a stopped container" in done.stderr
