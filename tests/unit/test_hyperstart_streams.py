"""hyperstart's streams and terminals: every byte, in order, none in another's way."""

import hashlib
import os
import signal

import pytest
from hyperstart_client import Host, Refused, start
from hyperstart_guest import create, needs_busybox, needs_root, run, shell

from hyper.agent import messages as m

pytestmark = [needs_root, needs_busybox]


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
