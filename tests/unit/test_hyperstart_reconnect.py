"""A host that comes back to a hyperstart that already runs: nothing is lost, nothing repeated."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hyperstart_client import Host, start
from hyperstart_guest import create, hyperstart, make_layer, needs_busybox, needs_root

from hyper.agent import messages as m

pytestmark = [needs_root, needs_busybox]


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
