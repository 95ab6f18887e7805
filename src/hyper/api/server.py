"""Owns the HTTP server: its sockets, and each request's way to its handler and back.

Routes are data (`schema/routes.py`), errors become statuses in `errors.py`.
"""

import asyncio
import contextlib
import errno
import grp
import itertools
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from aiohttp import web

import hyper
from hyper.api.call import Call
from hyper.api.connection import Connection, ConnectionServer
from hyper.api.dispatch import Router, split_version
from hyper.api.errors import cause_of, error_response, text_of
from hyper.core.errors import Conflict, InvalidArgument, Unavailable, Unsupported
from hyper.host import logs
from hyper.schema.routes import MAXIMUM_VERSION, ROUTES

if TYPE_CHECKING:
    from hyper.engine.engine import Engine

log = logging.getLogger("api.server")
access = logging.getLogger("api.access")
Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEADERS = {
    "Api-Version": MAXIMUM_VERSION,
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Hyper/{hyper.__version__} (linux)",
}
_BACKLOG = 512
# `docker save` names its images in the URL, `docker build` its registries in a header.
_MAX_HEAD_BYTES = 256 * 1024


class Server:
    """Serves an engine on any number of sockets, from `start` to `stop`."""

    def __init__(self, engine: "Engine", group: str = "") -> None:
        """`group` may use the unix sockets besides their owner."""
        self._engine = engine
        self._group = group
        self._router = Router(ROUTES)
        self._runners: list[web.ServerRunner] = []
        self._paths: list[Path] = []
        self._numbers = itertools.count(1)

    async def start(self, hosts: Sequence[str]) -> None:
        """Listen on `unix:///path`, `tcp://address:port` and `fd://` (systemd) hosts.

        Raises InvalidArgument, Conflict when another daemon answers there, Unavailable.
        """
        runner = await self._runner(partial(self._serve, self._router))
        try:
            for host in hosts:
                for listener in self._listen(host):
                    await web.SockSite(runner, listener, backlog=_BACKLOG).start()
                    log.info("API listens on %s", host)
        except BaseException:
            await self.stop()
            raise

    async def serve_metrics(self, address: str) -> None:
        """Serve GET /metrics, and nothing else, on a TCP address: Prometheus knows no unix sockets.

        Raises InvalidArgument, Unavailable.
        """
        host = f"tcp://{address}"
        listener = _tcp_listener(host, address)
        router = Router(tuple(route for route in ROUTES if route.path == "/metrics"))
        runner = await self._runner(partial(self._serve, router))
        await web.SockSite(runner, listener, backlog=_BACKLOG).start()
        log.info("metrics are at http://%s/metrics", address)

    async def _runner(self, serve: Serve) -> web.ServerRunner:
        server = ConnectionServer(
            serve,
            access_log=None,
            keepalive_timeout=600.0,
            max_line_size=_MAX_HEAD_BYTES,
            max_field_size=_MAX_HEAD_BYTES,
        )
        runner = web.ServerRunner(server)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def stop(self, grace_s: float = 5.0) -> None:
        """Stop listening, let requests finish for a moment, close what is left."""
        runners, self._runners = self._runners, []
        for runner in runners:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await runner.cleanup()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._paths.clear()

    def _listen(self, host: str) -> list[socket.socket]:
        kind, separator, rest = host.partition("://")
        match kind if separator else "":
            case "unix":
                path = Path(rest)
                listener = unix_listener(path, self._group)
                self._paths.append(path)
                return [listener]
            case "tcp":
                log.warning(
                    "the API on %s has no authentication: whoever reaches it controls all "
                    "containers",
                    host,
                )
                return [_tcp_listener(host, rest)]
            case "fd":
                return systemd_listeners()
        raise InvalidArgument(
            f"invalid host '{host}': use unix:///path, tcp://address:port or fd://"
        )

    async def _serve(self, router: Router, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: the only place where an error becomes a response."""
        response: web.StreamResponse
        operation, began = "", monotonic()
        logs.request.set(f"{next(self._numbers):08x}")
        try:
            version, path = split_version(request.path)
            route, handler, parameters = router.find(request.method, path)
            operation = route.operation
            call = Call(request, self._engine, version, parameters, HEADERS)
            log.debug("%s %s -> %s", request.method, request.path_qs, operation)
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # the answer itself has not begun
            response = await handler(call)
        except Exception as raised:
            cause = cause_of(raised)
            self._engine.metrics.errors[type(cause).__name__] += 1
            response = self._failed(request, cause)
        self._engine.metrics.requests[operation, str(response.status)] += 1
        if not response.prepared:
            response.headers.update(HEADERS)
        _log_end(request, operation, response.status, monotonic() - began)
        connection = request.protocol
        if isinstance(connection, Connection) and connection.half_closed:
            response.force_close()
        return response

    def _failed(self, request: web.BaseRequest, error: Exception) -> web.StreamResponse:
        if isinstance(error, ConnectionError):
            log.debug("%s %s: the client went away", request.method, request.path)
            return Nothing()
        answer = error_response(error)
        if answer.status >= 500:
            level = logging.INFO if isinstance(error, Unsupported) else logging.ERROR
            log.log(level, "%s %s failed: %s", request.method, request.path, text_of(error))
        if request.writer.output_size:
            # Half an answer is out: an end without its last chunk tells the client.
            log.warning("%s %s broke off: %s", request.method, request.path, error)
            return Nothing()
        return answer


def _log_end(request: web.BaseRequest, operation: str, status: int, seconds: float) -> None:
    fields = {"operation": operation, "status": status, "seconds": round(seconds, 6)}
    access.debug("%s %s: %d", request.method, request.path, status, extra={"fields": fields})


class Nothing(web.StreamResponse):
    """The answer when there is nobody, or no way left, to answer: the connection is closed."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send nothing."""
        self.force_close()

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""


def unix_listener(path: Path, group: str = "") -> socket.socket:
    """Return a listening socket at `path`, for its owner and `group` only.

    Raises Conflict when a daemon answers there; a socket nobody listens on is replaced.
    """
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as err:
        listener.close()
        raise Unavailable(
            f"cannot listen on {path}: {os.strerror(err.errno or 0).lower()}"
        ) from err
    finally:
        os.umask(mask)
    if group:
        try:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
            os.chmod(path, 0o660)
        except (KeyError, PermissionError):
            log.warning("group %s cannot be given the socket %s", group, path)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Conflict(f"cannot listen on {path}: it exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.settimeout(1.0)
            probe.connect(str(path))
        except OSError as err:
            if err.errno == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)
                return
    raise Conflict(f"cannot listen on {path}: another daemon answers there")


def _tcp_listener(host: str, rest: str) -> socket.socket:
    address, _, port = rest.rpartition(":")
    try:
        number = int(port)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except ValueError:
        raise InvalidArgument(f"invalid host '{host}': a port is needed") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.strip("[]"), number))
    except OSError as err:
        listener.close()
        raise Unavailable(f"cannot listen on {host}: {err.strerror}") from err
    return listener


def systemd_listeners() -> list[socket.socket]:
    """Return the sockets systemd passed (sd_listen_fds(3)). Raises InvalidArgument for none."""
    first = 3
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise InvalidArgument("invalid host 'fd://': systemd passed no sockets")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    listeners = [socket.socket(fileno=fd) for fd in range(first, first + count)]
    for listener in listeners:
        listener.setblocking(False)
        os.set_inheritable(listener.fileno(), False)
    return listeners
