"""HTTP/1.1 of a client as pure functions on bytes (RFC 9112). Opens no socket: transport.py and
aio.py do."""

from hyper.sdk import jsontext
from hyper.sdk.errors import ConnectionLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HEAD_LIMIT_BYTES = 64 * 1024
_CHUNK_LINE_LIMIT_BYTES = 4096


class Head:
    """A response's status line and headers; names in lower case."""

    __slots__ = ("headers", "reason", "status")

    def __init__(self, status: int, reason: str, headers: dict[str, str]) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers


def encode_request(
    method: str,
    target: str,
    host: str,
    headers: "Iterable[tuple[str, str]]",
    body_bytes: int | None,
) -> bytes:
    """Return a request's head. `body_bytes` None means a chunked body follows, 0 none."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "User-Agent: hyper"]
    lines.extend(f"{name}: {value}" for name, value in headers)
    if body_bytes is None:
        lines.append("Transfer-Encoding: chunked")
    elif body_bytes or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {body_bytes}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def encode_chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body; empty data is the end of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def parse_head(buffer: bytes) -> tuple[Head, bytes] | None:
    """Return a response's head and the bytes after it, or None until it is complete.

    Raises ConnectionLost when this is not HTTP.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > HEAD_LIMIT_BYTES or not b"HTTP/1."[: len(buffer)] == buffer[:7]:
            raise ConnectionLost("the daemon's answer is not HTTP")
        return None
    lines = buffer[:end].decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise ConnectionLost(f"the daemon's answer is not HTTP: {lines[0][:60]!r}")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Head(int(parts[1]), parts[2] if len(parts) > 2 else "", headers), buffer[end + 4 :]


class BodyDecoder:
    """Turns the bytes after a head into the body's; knows when it is complete.

    `done` is set at the body's end; a body without length or chunks ends with the connection.
    """

    __slots__ = ("_buffer", "_chunked", "_remaining", "_trailer", "done", "until_close")

    def __init__(self, method: str, head: Head) -> None:
        self._buffer = b""
        self._trailer = False
        self._chunked = head.headers.get("transfer-encoding", "").lower().endswith("chunked")
        length = head.headers.get("content-length")
        bodiless = method == "HEAD" or head.status in (204, 304) or head.status < 200
        self.until_close = not (bodiless or self._chunked or length is not None)
        self._remaining = 0
        self.done = bodiless
        if not bodiless and not self._chunked and length is not None:
            if not length.isdigit():
                raise ConnectionLost(f"the daemon sent a bad Content-Length: {length[:40]!r}")
            self._remaining = int(length)
            self.done = self._remaining == 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pieces of the body in `data`. Raises ConnectionLost on a broken chunk."""
        if self.done:
            return []
        if self.until_close:
            return [data] if data else []
        if not self._chunked:
            piece = data[: self._remaining]
            self._remaining -= len(piece)
            self.done = self._remaining == 0
            return [piece] if piece else []
        return self._feed_chunks(data)

    def end(self) -> None:
        """Say that the connection has ended. Raises ConnectionLost when the body had not."""
        if self.until_close:
            self.done = True
        if not self.done:
            raise ConnectionLost("the daemon closed the connection in the middle of its answer")

    def _feed_chunks(self, data: bytes) -> list[bytes]:
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        pieces: list[bytes] = []
        position = 0
        while position < len(data) and not self.done:
            if self._remaining > 2:
                piece = data[position : position + self._remaining - 2]
                position += len(piece)
                self._remaining -= len(piece)
                pieces.append(piece)
            elif self._remaining:  # the line end after a chunk
                skipped = min(self._remaining, len(data) - position)
                position += skipped
                self._remaining -= skipped
            else:
                end = data.find(b"\n", position)
                if end < 0:
                    self._keep(data[position:])
                    break
                self._start_chunk(data[position:end].strip())
                position = end + 1
        return pieces

    def _keep(self, rest: bytes) -> None:
        if len(rest) > _CHUNK_LINE_LIMIT_BYTES:
            raise ConnectionLost("the daemon sent a broken chunk")
        self._buffer = rest

    def _start_chunk(self, line: bytes) -> None:
        if self._trailer:
            self.done = not line
            return
        size = line.partition(b";")[0].strip()
        try:
            length = int(size, 16)
        except ValueError as err:
            raise ConnectionLost(f"the daemon sent a broken chunk: {line[:40]!r}") from err
        if length == 0:
            self._trailer = True
        else:
            self._remaining = length + 2


_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:@")


def quote(text: str) -> str:
    """Return `text` percent-encoded for a path or a query's value (RFC 3986)."""
    data = text.encode("utf-8", "surrogateescape")
    if all(byte in _SAFE for byte in data):
        return text
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in data)


def path_of(kind: str, name: str, rest: str = "") -> str:
    """Return the path of an object, such as /containers/NAME/json.

    Only an image's name may have slashes of its own.
    """
    quoted = quote(name)
    if kind != "images":
        quoted = quoted.replace("/", "%2F")
    return f"/{kind}/{quoted}{rest}"


def encode_target(path: str, query: "Mapping[str, object] | None") -> str:
    """Return a request's target. `path` is quoted already: build it with path_of.

    Values: True is 1; None, False and "" are left out; dicts become JSON; lists repeat the name.
    """
    pairs = []
    for name, value in (query or {}).items():
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                item = jsontext.dumps(item) if item else None
            if item is None or item is False or item == "":
                continue
            pairs.append(f"{name}={quote('1' if item is True else str(item))}")
    return path + ("?" + "&".join(pairs) if pairs else "")
