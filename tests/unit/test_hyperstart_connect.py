"""Probes that connect: what hyperstart sends and brings back, and what the daemon makes of it.

The gRPC server here is made of h2, an HTTP/2 implementation that is not ours.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import h2.config
import h2.connection
import h2.events
import pytest
from hyperstart_client import Host, Refused
from hyperstart_guest import greeted_host

from hyper.agent import messages as m
from hyper.engine import grpc_health

SERVING, NOT_SERVING, UNKNOWN = (
    b"\0\0\0\0\2\x08\x01",
    b"\0\0\0\0\2\x08\x02",
    b"\0\0\0\0\0",
)
Serve = Callable[[socket.socket], None]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with greeted_host(tmp_path) as host:
        yield host


@contextmanager
def _server(serve: Serve) -> Iterator[int]:
    """Run a server for one connection in a thread; return its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                serve(connection)

        thread = Thread(target=run, name="server")
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


class _Health:
    """A gRPC health server: it answers one request and keeps the connection open."""

    def __init__(self, message: bytes, status: str = "0", *, split: bool = False) -> None:
        self.message, self.status, self.split = message, status, split
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    def __call__(self, connection: socket.socket) -> None:
        http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http2.initiate_connection()
        connection.sendall(http2.data_to_send())
        while data := connection.recv(65535):
            for event in http2.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.headers = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    self.body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    self._answer(http2, event.stream_id)
            for at in range(0, len(out := http2.data_to_send()), 7 if self.split else len(out)):
                connection.sendall(out[at : at + 7] if self.split else out)

    def _answer(self, http2: h2.connection.H2Connection, stream: int) -> None:
        kind = ("content-type", "application/grpc")
        trailer = ("grpc-status", self.status)
        if not self.message:  # what gRPC calls Trailers-Only
            http2.send_headers(stream, [(":status", "200"), kind, trailer], end_stream=True)
            return
        http2.send_headers(stream, [(":status", "200"), kind])
        http2.send_data(stream, self.message)
        http2.send_headers(stream, [trailer], end_stream=True)


def _ask(host: Host, port: int, content: bytes, timeout_ms: int = 60_000) -> bytes:
    address = socket.inet_aton("127.0.0.1")
    answer = host.request(m.Connect(address, port, timeout_ms, content))
    assert isinstance(answer, m.Connected)
    return answer.content


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(
    ("message", "status", "expected"),
    [
        (SERVING, "0", (True, "SERVING")),
        (NOT_SERVING, "0", (False, "NOT_SERVING")),
        (UNKNOWN, "0", (False, "UNKNOWN")),
        (b"", "5", (False, "no such service")),
    ],
)
def test_a_grpc_server_is_asked_for_its_health(
    host: Host, message: bytes, status: str, expected: tuple[bool, str], split: bool
) -> None:
    health = _Health(message, status, split=split)
    with _server(health) as port:
        # Long enough for integers of more than one byte, both of HTTP/2's and of protobuf's kind.
        service = "shop." + "x" * 300
        answer = _ask(host, port, grpc_health.request("127.0.0.1:50051", service))
    ok, text = grpc_health.judge(answer)
    assert (ok, expected[1] in text) == (expected[0], True), text
    assert health.headers[b":path"] == b"/grpc.health.v1.Health/Check"
    assert health.headers[b":authority"] == b"127.0.0.1:50051"
    assert (health.headers[b":method"], health.headers[b"te"]) == (b"POST", b"trailers")
    assert health.headers[b"content-type"] == b"application/grpc"
    name = service.encode()
    assert health.body == b"\0" + (len(name) + 3).to_bytes(4, "big") + b"\x0a\xb1\x02" + name


def test_a_server_that_speaks_something_else_is_not_well(host: Host) -> None:
    def http1(connection: socket.socket) -> None:
        connection.recv(65535)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with _server(http1) as port:
        answer = _ask(host, port, grpc_health.request("a", ""))
    assert not grpc_health.judge(answer)[0]


def test_a_silent_server_is_not_waited_for_longer_than_asked(host: Host) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(65535):
            pass

    with _server(silent) as port, pytest.raises(Refused, match="timed out"):
        _ask(host, port, grpc_health.request("a", ""), timeout_ms=100)


def test_an_http_answer_is_whole_with_its_first_line(host: Host) -> None:
    def http1(connection: socket.socket) -> None:
        connection.recv(65535)
        connection.sendall(b"HTTP/1.1 200 OK\r\nSo")
        connection.recv(65535)

    with _server(http1) as port:
        assert _ask(host, port, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "not an HTTP/2 answer"),
        (b"\0\0\0\4\0\0\0\0\0", "no answer"),
        (b"\0\0\4\3\0\0\0\0\1\0\0\0\0", "refused"),
        (b"\0\0\0\7\0\0\0\0\0", "refused"),
        (b"\xff\xff\xff\0\1\0\0\0\1" + b"x" * 64, "no health check response"),
        (b"\0\0\7\0\1\0\0\0\1\1\0\0\0\2\x08\1", "no health check response"),
        (b"\0\0\7\0\1\0\0\0\3" + SERVING, "no answer"),
        (b"\0\0\x0a\0\x09\0\0\0\1\2" + SERVING + b"\0\0", "SERVING"),
    ],
)
def test_what_a_hostile_server_says_is_judged(answer: bytes, text: str) -> None:
    ok, found = grpc_health.judge(answer)
    assert text in found
    assert ok is (text == "SERVING")
