"""A daemon for tests of the client: HTTP on a unix socket, answers from a table."""

import json
import os
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SOURCE = str(Path(__file__).parents[2] / "src")
Answer = Callable[["Request"], object]


@dataclass
class Request:
    """One request; `connection` is its socket, for answers that take it over."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]
    handler: "_Handler"

    @property
    def json(self) -> object:
        return json.loads(self.body) if self.body else None

    @property
    def connection(self) -> socket.socket:
        return self.handler.connection

    def read(self, limit: int = 65536) -> bytes:
        """Read what follows the request on its connection."""
        return self.handler.rfile.read1(limit)

    def upgrade(self, content_type: str = "application/vnd.docker.multiplexed-stream") -> None:
        """Answer 101; the connection is a raw stream from here."""
        self.handler.wfile.write(
            b"HTTP/1.1 101 UPGRADED\r\nContent-Type: " + content_type.encode() + b"\r\n"
            b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
        self.handler.close_connection = True

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)


@dataclass
class FakeDaemon:
    """What the daemon answers, and what it was asked."""

    path: Path
    answers: list[tuple[str, re.Pattern[str], Answer]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that talks to it."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path.parent),
            "HYPER_HOST": self.url,
            "PYTHONPATH": SOURCE,
        }

    def on(self, method: str, pattern: str, answer: Answer | object) -> None:
        """Answer on matching paths: a status, a JSON value, (status, value) or a function.
        function.

        The newest rule wins. A function may take the connection over and return None.
        """
        function = answer if callable(answer) else lambda request: answer
        self.answers.insert(0, (method, re.compile(pattern), function))

    def asked(self, method: str, pattern: str = "") -> list[Request]:
        """Return the requests so far that match."""
        return [
            request
            for request in self.requests
            if request.method == method and re.search(pattern, request.path)
        ]

    @property
    def url(self) -> str:
        return f"unix://{self.path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    daemon: FakeDaemon

    def setup(self) -> None:
        self.client_address = ("local", 0)
        super().setup()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        url = urlsplit(self.path)
        request = Request(
            self.command,
            re.sub(r"^/v1\.\d+", "", url.path),
            {name: values[-1] for name, values in parse_qs(url.query, True).items()},
            self._body(),
            {name.lower(): value for name, value in self.headers.items()},
            self,
        )
        self.server.fake.requests.append(request)  # type: ignore[attr-defined]
        for method, pattern, answer in list(self.server.fake.answers):  # type: ignore[attr-defined]
            if method == self.command and pattern.fullmatch(request.path):
                result = answer(request)
                if result is not None:
                    self._answer(result)
                return
        self._answer((404, {"message": "page not found"}))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, result: object) -> None:
        status, value = result if isinstance(result, tuple) else (200, result)
        if isinstance(value, int):
            status, value = value, b""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Api-Version", "1.50")  # the docker command asks for it
        self.send_header("Ostype", "linux")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64  # more clients at once than a test has
    fake: FakeDaemon

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that goes away in the middle is what some tests are about


@contextmanager
def fake_daemon(directory: Path) -> Iterator[FakeDaemon]:
    """Serve on a socket in `directory` while the context lasts."""
    fake = FakeDaemon(directory / "hyper.sock")
    fake.on("GET", "/_ping", b"OK")
    with _Server(str(fake.path), _Handler) as server:
        server.fake = fake
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


# --- what tests of commands say and hear ----------------------------------------------------------

IDENTIFIER = "a1" * 32


def frame(stream: int, data: bytes) -> bytes:
    """Return a frame of Docker's multiplexed stream."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def control(**message: object) -> bytes:
    """Return a frame of Hyper's own, which tells of a run."""
    return frame(4, json.dumps(message).encode())


def command(*words: str) -> list[str]:
    """Return the argument vector of a command."""
    return [sys.executable, "-S", "-m", "hyper.cli", *words]
