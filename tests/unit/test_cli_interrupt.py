"""Ctrl-C while a command waits for more, however unlucky its moment."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_daemon import Request, fake_daemon

# Where another thread gets the signal, no call of the main one is interrupted: it is as if it had
# come right before that call.
_UNLUCKY = """
import signal, sys, threading
from hyper.cli.__main__ import main

def interrupt():
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
main()
"""

_LINE = b'{"Type": "container", "Action": "start"}\n'


@pytest.mark.parametrize(
    ("words", "path", "content_type", "line"),
    [
        (
            ("logs", "-f", "web"),
            "/containers/web/logs",
            "application/vnd.docker.raw-stream",
            b"a\n",
        ),
        (("events",), "/events", "application/json", _LINE),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_interrupt_right_before_a_receive_ends_the_command(
    tmp_path: Path, words: tuple[str, ...], path: str, content_type: str, line: bytes
) -> None:
    done = threading.Event()

    def follow(request: Request) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n"
        request.send(head.encode() + line)
        request.handler.close_connection = True
        done.wait(60)

    with fake_daemon(tmp_path) as daemon:
        daemon.on("GET", path, follow)
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", _UNLUCKY, *words],
            env=daemon.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline()
            process.stdin.write(b"now\n")
            process.stdin.close()
            assert process.wait(20) == -signal.SIGINT
        finally:
            done.set()
            process.kill()
            process.wait()
            process.stdout.close()
