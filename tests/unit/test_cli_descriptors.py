"""What a command is started with: streams that are closed, full or do not block, and a terminal.

What docker makes of each is what is expected.
"""

import os
import pty
import signal
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fake_daemon import IDENTIFIER, FakeDaemon, Request, command, control, fake_daemon, frame

OUTPUT = bytes(range(256)) * 4096


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with fake_daemon(tmp_path) as fake:
        yield fake


def counts_input(request: Request) -> None:
    """Run a container that tells how much it read, when its stdin has ended."""
    request.upgrade()
    request.send(control(Id=IDENTIFIER))
    read = 0
    while data := request.read():
        read += len(data)
    request.send(frame(1, b"%d\n" % read) + control(StatusCode=0))


def prints(data: bytes) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        request.upgrade()
        request.send(control(Id=IDENTIFIER) + frame(1, data) + frame(2, b"err\n"))
        request.send(control(StatusCode=7))

    return answer


def redirected(
    daemon: FakeDaemon, redirection: str, words: Sequence[str]
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command(*words)],
        cwd=daemon.path.parent,
        env=daemon.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize("redirection", ["<&-", "0>written"], ids=["closed", "only-written"])
def test_a_stdin_that_cannot_be_read_has_ended(daemon: FakeDaemon, redirection: str) -> None:
    daemon.on("POST", "/hyper/v1/run", counts_input)
    result = redirected(daemon, redirection, ["run", "-i", "busybox"])
    assert (result.returncode, result.stdout, result.stderr) == (0, b"0\n", b"")


@pytest.mark.parametrize(
    ("redirection", "stdout", "stderr"),
    [(">&-", b"", b"err\n"), ("2>&-", b"out\n", b""), ("<&- >&- 2>&-", b"", b"")],
)
def test_what_goes_to_a_closed_stream_is_lost_and_nothing_else(
    daemon: FakeDaemon, redirection: str, stdout: bytes, stderr: bytes
) -> None:
    daemon.on("POST", "/hyper/v1/run", prints(b"out\n"))
    result = redirected(daemon, redirection, ["run", "busybox"])
    assert (result.returncode, result.stdout, result.stderr) == (7, stdout, stderr)
    assert redirected(daemon, redirection, ["version"]).returncode == 1  # it asks in vain


def test_a_full_disk_is_one_line(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/run", prints(b"out\n"))
    result = redirected(daemon, ">/dev/full", ["run", "busybox"])
    assert result.returncode == 1
    assert result.stderr == b"write /dev/stdout: no space left on device\n"
    result = redirected(daemon, ">/dev/full", ["--help"])
    assert (result.returncode, result.stderr) == (1, b"/dev/stdout: no space left on device\n")


def test_a_stdin_that_does_not_block_is_waited_for(daemon: FakeDaemon) -> None:
    """O_NONBLOCK belongs to the open file: who shares a pipe or terminal with us may set it."""
    began = threading.Event()

    def answer(request: Request) -> None:
        began.set()
        counts_input(request)

    daemon.on("POST", "/hyper/v1/run", answer)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    process = subprocess.Popen(
        command("run", "-i", "busybox"),
        env=daemon.environment,
        stdin=reader,
        stdout=subprocess.PIPE,
    )
    os.close(reader)
    assert began.wait(60)
    with os.fdopen(writer, "wb") as feed:
        for start in range(0, len(OUTPUT), 100_000):
            feed.write(OUTPUT[start : start + 100_000])
    output, _ = process.communicate(timeout=60)
    assert output == b"%d\n" % len(OUTPUT)


def test_a_stdout_that_does_not_block_gets_all(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/run", prints(OUTPUT))
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        command("run", "busybox"),
        env=daemon.environment,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert process.stderr
    with process.stderr, os.fdopen(reader, "rb") as output:
        assert output.read() == OUTPUT
        assert process.stderr.read() == b"err\n"
    assert process.wait(60) == 7


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def has(descriptor: int, flag: int) -> bool:
    mode = termios.tcgetattr(descriptor)[3]
    assert isinstance(mode, int)
    return bool(mode & flag)


def prompts(framed: bool, done: threading.Event) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        request.upgrade()
        request.send(control(Id=IDENTIFIER) + frame(1, b"$ ") if framed else b"$ ")
        done.wait(60)
        if framed:
            request.send(control(StatusCode=3))

    return answer


def on_terminal(
    daemon: FakeDaemon, terminal: tuple[int, int], words: Sequence[str]
) -> "subprocess.Popen[bytes]":
    """Start a command on a terminal and wait for the prompt."""
    master, slave = terminal
    process = subprocess.Popen(
        command(*words), env=daemon.environment, stdin=slave, stdout=slave, stderr=slave
    )
    shown = b""
    while not shown.endswith(b"$ "):
        shown += os.read(master, 4096)
    return process


def test_a_terminal_nobody_reads_keeps_its_ctrl_c(
    daemon: FakeDaemon, terminal: tuple[int, int]
) -> None:
    done = threading.Event()
    daemon.on("POST", "/hyper/v1/run", prompts(True, done))
    process = on_terminal(daemon, terminal, ["run", "-t", "busybox"])
    assert has(terminal[1], termios.ISIG)
    done.set()
    assert process.wait(60) == 3


def test_a_terminated_exec_leaves_a_terminal_that_can_be_used(
    daemon: FakeDaemon, terminal: tuple[int, int]
) -> None:
    done = threading.Event()
    daemon.on("POST", "/containers/web/exec", (201, {"Id": "e1"}))
    daemon.on("POST", "/exec/e1/start", prompts(False, done))
    process = on_terminal(daemon, terminal, ["exec", "-it", "web", "sh"])
    assert not has(terminal[1], termios.ECHO)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    assert has(terminal[1], termios.ECHO)
    done.set()


def test_a_forced_exit_leaves_a_terminal_that_can_be_used(
    daemon: FakeDaemon, terminal: tuple[int, int]
) -> None:
    done = threading.Event()
    killed = threading.Semaphore(0)

    def kill(request: Request) -> int:
        killed.release()
        return 204

    daemon.on("POST", "/hyper/v1/run", prompts(True, done))
    daemon.on("POST", f"/containers/{IDENTIFIER}/kill", kill)
    process = on_terminal(daemon, terminal, ["run", "-it", "busybox"])
    assert not has(terminal[1], termios.ECHO)
    for _ in range(2):  # one at a time: two that wait are one
        process.send_signal(signal.SIGTERM)
        assert killed.acquire(timeout=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 1
    assert has(terminal[1], termios.ECHO)
    done.set()


def test_attach_makes_a_shell_draw_its_prompt_again(
    daemon: FakeDaemon, terminal: tuple[int, int]
) -> None:
    """As docker: the size is changed and changed back."""
    done = threading.Event()
    sizes: list[tuple[str, str]] = []
    termios.tcsetwinsize(terminal[1], (24, 80))

    def resize(request: Request) -> int:
        sizes.append((request.query["h"], request.query["w"]))
        if len(sizes) == 2:
            done.set()
        return 200

    shown = {"Id": IDENTIFIER, "State": {"Running": True}, "Config": {"Tty": True}}
    shown["HostConfig"] = {}
    daemon.on("GET", "/containers/web/json", shown)
    daemon.on("POST", f"/containers/{IDENTIFIER}/wait", {"StatusCode": 3})
    daemon.on("POST", f"/containers/{IDENTIFIER}/attach", prompts(False, done))
    daemon.on("POST", f"/containers/{IDENTIFIER}/resize", resize)
    process = on_terminal(daemon, terminal, ["attach", "web"])
    assert process.wait(60) == 3
    assert sizes == [("25", "81"), ("24", "80")]
