"""Blocking HTTP/1.1 connections to the daemon. Knows sockets, not Docker.

Uses `_socket`, `_thread` and friends, because `socket` and `http.client` cost 15 and 30 ms to
import.
"""

import _socket
import errno
import os

from hyper.sdk import http1, jsontext
from hyper.sdk.address import Address
from hyper.sdk.errors import ConnectionLost, DaemonUnavailable, api_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RECEIVE_BYTES = 256 * 1024
_NO_SIGNAL = getattr(_socket, "MSG_NOSIGNAL", 0)
_NOT_THERE = (errno.ENOENT, errno.ECONNREFUSED)


class Socket:
    """A connected stream socket; `early` are bytes that were read before this one was handed
    over."""

    __slots__ = ("_early", "_socket")

    def __init__(self, connected: _socket.socket, early: bytes = b"") -> None:
        self._socket = connected
        self._early = early

    def fileno(self) -> int:
        """Return the descriptor, for poll and splice."""
        return self._socket.fileno()

    def receive(self, limit_bytes: int = RECEIVE_BYTES) -> bytes:
        """Return what has arrived, b"" at the end. Raises ConnectionLost."""
        if self._early:
            data, self._early = self._early, b""
            return data
        try:
            return self._socket.recv(limit_bytes)
        except OSError as err:
            raise _broken(err) from err

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises ConnectionLost."""
        try:
            self._socket.sendall(data, _NO_SIGNAL)
        except OSError as err:
            raise _broken(err) from err

    def send_some(self, data: memoryview) -> int:
        """Send what fits now and return how much that was. Raises ConnectionLost."""
        try:
            return self._socket.send(data, _NO_SIGNAL)
        except BlockingIOError:
            return 0
        except OSError as err:
            raise _broken(err) from err

    @property
    def has_early(self) -> bool:
        """Whether bytes are waiting that poll does not tell of."""
        return bool(self._early)

    def finish(self) -> None:
        """Say that nothing more will be sent; what arrives can still be received."""
        try:
            self._socket.shutdown(_socket.SHUT_WR)
        except OSError as err:
            if err.errno != errno.ENOTCONN:
                raise _broken(err) from err

    def set_timeout(self, timeout_s: float | None) -> None:
        """Limit each receive and send to `timeout_s`; None waits for ever."""
        self._socket.settimeout(timeout_s)

    def abort(self) -> None:
        """End both directions at once; a thread that receives sees the end."""
        try:
            self._socket.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster

    def close(self) -> None:
        """End both directions and give the descriptor back."""
        self.abort()
        self._socket.close()


def _broken(err: OSError) -> ConnectionLost:
    return ConnectionLost(f"the connection to the daemon broke: {err.strerror or err}")


def connect(address: Address) -> Socket:
    """Connect to `address`. Raises DaemonUnavailable; FileNotFoundError when nobody listens
    there."""
    try:
        if address.path:
            connected = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            connected.connect(address.path)
            return Socket(connected)
        return Socket(_connect_tcp(address))
    except OSError as err:
        if err.errno in _NOT_THERE and address.ours:
            raise FileNotFoundError(err.errno, "nobody listens", address.path) from err
        raise DaemonUnavailable(address.text, _reason(err)) from err


def _reason(err: OSError) -> str:
    return "" if err.errno in _NOT_THERE else (err.strerror or str(err)).lower()


def _connect_tcp(address: Address) -> _socket.socket:
    last: OSError | None = None
    for family, kind, number, _, target in _socket.getaddrinfo(
        address.host, address.port, 0, _socket.SOCK_STREAM
    ):
        connected = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, number)
        try:
            connected.connect(target)
            connected.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            return connected
        except OSError as err:
            connected.close()
            last = err
    raise last or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


class Response:
    """An answer whose head has arrived; the body is read on demand."""

    __slots__ = ("_decoder", "_first", "_socket", "headers", "status")

    def __init__(
        self, head: http1.Head, decoder: http1.BodyDecoder, first: bytes, owner: Socket
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self._decoder = decoder
        self._first = first
        self._socket = owner

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request now."""
        closing = self.headers.get("connection", "").lower() == "close"
        return self._decoder.done and not self._decoder.until_close and not closing

    def pieces(self) -> "Iterator[bytes]":
        """Yield the body as it arrives. Raises ConnectionLost."""
        data, self._first = self._first, b""
        yield from self._decoder.feed(data)
        while not self._decoder.done:
            data = self._socket.receive()
            if not data:
                self._decoder.end()
                return
            yield from self._decoder.feed(data)

    def read(self) -> bytes:
        """Return the whole rest of the body. Raises ConnectionLost."""
        return b"".join(self.pieces())

    def json(self) -> object:
        """Return the body as a JSON value, None when it is empty."""
        body = self.read()
        return jsontext.loads(body) if body.strip() else None

    def json_stream(self) -> "Iterator[object]":
        """Yield the JSON values of a body of many, each as soon as its line is complete."""
        rest = b""
        for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield jsontext.loads(line)
        if rest.strip():
            yield jsontext.loads(rest)

    def check(self) -> "Response":
        """Return self. Raises ApiError when the daemon answered with an error."""
        if self.status < 400:
            return self
        body = self.read()
        raise api_error(
            self.status, error_message(body) or f"the daemon answered with status {self.status}"
        )

    def hijack(self) -> Socket:
        """Return the socket, now a raw stream both ways (after a 101 or a 200 without length)."""
        early, self._first = self._first, b""
        owner = self._socket
        return Socket(owner._socket, early)

    def close(self) -> None:
        """Close the connection this answer came on."""
        self._socket.close()


def error_message(body: bytes) -> str:
    """Return the text of an error answer, "" when it has none."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        value = jsontext.loads(text)
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            return str(value["message"])
    return text


def request(
    channel: Socket,
    method: str,
    target: str,
    body: "bytes | Iterable[bytes]" = b"",
    headers: "Iterable[tuple[str, str]]" = (),
) -> Response:
    """Send a request on `channel` and return the answer's head. Raises ConnectionLost.

    An iterable body is sent in chunks; when the daemon answers before its end, the rest is not
    sent.
    """
    if isinstance(body, bytes):
        head = http1.encode_request(method, target, "hyper", headers, len(body))
        channel.send(head + body)
    else:
        channel.send(http1.encode_request(method, target, "hyper", headers, None))
        _send_chunks(channel, body)
    return receive_head(channel, method)


def _send_chunks(channel: Socket, body: "Iterable[bytes]") -> None:
    try:
        for piece in body:
            if piece:
                channel.send(http1.encode_chunk(piece))
        channel.send(http1.encode_chunk(b""))
    except ConnectionLost:
        return  # the daemon may have refused early; its answer says why


def receive_head(channel: Socket, method: str) -> Response:
    """Return the next answer's head. Raises ConnectionLost."""
    buffer = b""
    while True:
        data = channel.receive()
        if not data:
            raise ConnectionLost("the daemon closed the connection without an answer")
        buffer += data
        parsed = http1.parse_head(buffer)
        if parsed and parsed[0].status == 100:
            buffer, parsed = parsed[1], http1.parse_head(parsed[1]) if parsed[1] else None
        if parsed:
            head, rest = parsed
            return Response(head, http1.BodyDecoder(method, head), rest, channel)
