"""Requests to the daemon by path and query. Owns the kept connection; knows no resource of the
API."""

from hyper.sdk import jsontext, transport
from hyper.sdk.address import Address
from hyper.sdk.autostart import connect_or_start
from hyper.sdk.errors import ConnectionLost
from hyper.sdk.http1 import encode_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_JSON = ("Content-Type", "application/json")
_TAR = ("Content-Type", "application/x-tar")
_UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "tcp"))


class Daemon:
    """The daemon at an address. One connection is kept between requests; streams get their own."""

    __slots__ = ("_idle", "_start", "address")

    def __init__(self, address: Address, start: bool = True) -> None:
        self.address = address
        self._start = start
        self._idle: transport.Socket | None = None

    def connect(self) -> transport.Socket:
        """Return a new connection, starting hyperd when allowed. Raises DaemonUnavailable."""
        return connect_or_start(self.address, self._start)

    def call(
        self,
        method: str,
        path: str,
        query: "Mapping[str, object] | None" = None,
        body: object = None,
        headers: "tuple[tuple[str, str], ...]" = (),
    ) -> object:
        """Send `body` as JSON and return the answer's JSON value. Raises ApiError,
        ConnectionLost."""
        data = b""
        if body is not None:
            data = jsontext.dumps(body).encode()
            headers = (_JSON, *headers)
        response = self._request(method, encode_target(path, query), data, headers)
        response.check()
        value = response.json()
        self._settle(response)
        return value

    def exists(self, path: str) -> bool:
        """Return whether GET `path` finds something."""
        response = self._request("GET", encode_target(path, None), b"", ())
        response.read()
        self._settle(response)
        return response.status < 400

    def open(
        self,
        method: str,
        path: str,
        query: "Mapping[str, object] | None" = None,
        body: "bytes | Iterable[bytes]" = b"",
        headers: "tuple[tuple[str, str], ...]" = (),
    ) -> transport.Response:
        """Return an answer whose body is a stream, on a connection of its own. Raises ApiError."""
        if not isinstance(body, bytes):
            headers = (_TAR, *headers)
        channel = self.connect()
        return transport.request(channel, method, encode_target(path, query), body, headers).check()

    def hijack(
        self,
        path: str,
        query: "Mapping[str, object] | None" = None,
        body: object = None,
        headers: "tuple[tuple[str, str], ...]" = (),
    ) -> transport.Response:
        """POST and return the answer whose connection becomes a raw stream. Raises ApiError."""
        data = jsontext.dumps(body if body is not None else {}).encode()
        headers = (_JSON, *_UPGRADE, *headers)
        channel = self.connect()
        return transport.request(channel, "POST", encode_target(path, query), data, headers).check()

    def close(self) -> None:
        """Close the kept connection."""
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def _request(
        self, method: str, target: str, body: bytes, headers: "Iterable[tuple[str, str]]"
    ) -> transport.Response:
        idle, self._idle = self._idle, None
        if idle is not None:
            try:
                return transport.request(idle, method, target, body, headers)
            except ConnectionLost:
                idle.close()  # it had been closed while it was idle; nothing was answered
        return transport.request(self.connect(), method, target, body, headers)

    def _settle(self, response: transport.Response) -> None:
        if response.reusable and self._idle is None:
            self._idle = response.hijack()
        else:
            response.close()
