"""Owns what a client does with a container's streams: attach, logs, resize, top, stats."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from time import time_ns

from aiohttp import WSMsgType, web

from hyper.api.call import Call, json_response
from hyper.api.frames import frame
from hyper.api.hijack import (
    MULTIPLEXED,
    RAW,
    Channel,
    Hijack,
    RawChannel,
    detach_parser,
    run_session,
)
from hyper.api.log_details import log_details
from hyper.api.render import processes, statistics
from hyper.api.times import log_time, parse_time
from hyper.core.errors import Conflict, InvalidArgument, NotFound
from hyper.engine.logs import LogRecord
from hyper.engine.views import ContainerView

_BATCH_BYTES = 32 * 1024
_STATS_INTERVAL_S = 1.0


async def attach(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/attach"""
    view = call.engine.containers.get(call.parameters["id"])
    detach = detach_parser(call.text("detachKeys"), view.spec.tty)
    stdin = call.flag("stdin") and view.spec.open_stdin
    stdout, stderr = call.flag("stdout"), call.flag("stderr")
    attached_ns = time_ns()
    session = await call.engine.sessions.attach(view.id, stdin=stdin, stdout=stdout, stderr=stderr)
    multiplexed = not view.spec.tty and call.version >= (1, 42)
    hijack = Hijack(call, MULTIPLEXED if multiplexed else RAW)
    channel = RawChannel(hijack, framed=not view.spec.tty, patient=True)
    try:
        await hijack.prepare(call.request)
        if call.flag("logs"):
            shown = [name for name in ("stdout", "stderr") if call.flag(name)]
            await _send_logs(call, view, channel, shown, attached_ns)
        if not call.flag("stream"):
            return hijack
    except BaseException:
        session.detach()
        raise
    finally:
        if not call.flag("stream"):
            session.detach()
    await run_session(session, channel, stdin=stdin, detach=detach)
    return hijack


async def _send_logs(
    call: Call, view: ContainerView, channel: Channel, streams: Sequence[str], until_ns: int
) -> None:
    """Send what was printed before the session began; the session has the rest."""
    records = call.engine.sessions.logs(
        view.id, stdout="stdout" in streams, stderr="stderr" in streams, until_ns=until_ns
    )
    async for record in records:
        await channel.send(record.stream, record.data)


class WebSocketChannel(Channel):
    """A WebSocket: every message is a piece of the stream, output is not framed.

    `text`: as dockerd does for clients of API 1.27 and before.
    """

    def __init__(self, socket: web.WebSocketResponse, *, text: bool) -> None:
        self._socket = socket
        self._text = text

    async def send(self, stream: int, data: bytes) -> None:
        """Hand over output."""
        if self._text:
            await self._socket.send_str(data.decode(errors="replace"))
        else:
            await self._socket.send_bytes(data)

    async def receive(self) -> bytes:
        """Return the next message with content, b"" when the client closed."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type is WSMsgType.TEXT and message.data:
                return str(message.data).encode()
        return b""


async def attach_websocket(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/attach/ws"""
    view = call.engine.containers.get(call.parameters["id"])
    detach = detach_parser(call.text("detachKeys"), view.spec.tty)
    names = ("stdin", "stdout", "stderr")
    # moby: clients of API 1.41 and before are attached to all.
    wanted = {name: call.version < (1, 42) or call.flag(name) for name in names}
    stdin = wanted["stdin"] and view.spec.open_stdin
    socket, attached_ns = web.WebSocketResponse(), time_ns()
    if not socket.can_prepare(call.request):
        raise InvalidArgument("attach/ws needs a WebSocket upgrade")
    session = await call.engine.sessions.attach(
        view.id, stdin=stdin, stdout=wanted["stdout"], stderr=wanted["stderr"]
    )
    try:
        await socket.prepare(call.request)
        channel = WebSocketChannel(socket, text=call.version < (1, 28))
        if call.flag("logs"):
            shown = [name for name in names if wanted[name]]
            await _send_logs(call, view, channel, shown, attached_ns)
        if call.flag("stream"):
            await run_session(session, channel, stdin=stdin, detach=detach)
    finally:
        session.detach()
    await socket.close()
    return socket


async def resize(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/resize"""
    rows, columns = terminal_size(call)
    view = call.engine.containers.get(call.parameters["id"])
    await call.engine.sessions.resize(view.id, rows, columns)
    return web.Response()


def terminal_size(call: Call) -> tuple[int, int]:
    """Return the rows and columns of the query. Raises InvalidArgument."""
    sizes = []
    for name in ("h", "w"):
        number = call.integer(name)
        if number is None or not 0 <= number < 1 << 16:
            raise InvalidArgument(
                f'invalid value for "{name}": a size between 0 and 65535 is needed'
            )
        sizes.append(number)
    return sizes[0], sizes[1]


async def logs(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/logs"""
    stdout, stderr = call.flag("stdout"), call.flag("stderr")
    if not (stdout or stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    view = await call.engine.containers.get_settled(call.parameters["id"])
    framed = not view.spec.tty
    kind = MULTIPLEXED if framed and call.version >= (1, 42) else RAW
    response = web.StreamResponse(headers={"Content-Type": kind, **call.headers})
    details = log_details(view) + b" " if call.flag("details") else b""
    writer = _LogWriter(call, response, framed, details)
    records = call.engine.sessions.logs(
        view.id,
        stdout=stdout,
        stderr=stderr,
        since_ns=parse_time(call.text("since"), "since"),
        until_ns=parse_time(call.text("until"), "until"),
        tail=_tail(call.text("tail")),
        follow=call.flag("follow") and view.active,
        idle=writer.flush,
    )
    with call.connection.cancelling():
        await response.prepare(call.request)
        async for record in records:
            await writer.put(record)
        await writer.flush()
    return response


class _LogWriter:
    """Lines on their way to a client: many at once, but none waits for one not yet printed."""

    def __init__(
        self, call: Call, response: web.StreamResponse, framed: bool, details: bytes
    ) -> None:
        self._response = response
        self._framed = framed
        self._timestamps = call.flag("timestamps")
        self._details = details
        self._batch = bytearray()

    async def put(self, record: LogRecord) -> None:
        """Take a line."""
        line = self._details + record.data
        if self._timestamps:
            line = f"{log_time(record.time_ns)} ".encode() + line
        self._batch += frame(record.stream, line) if self._framed else line
        if len(self._batch) >= _BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send what was taken."""
        if self._batch:
            batch, self._batch = self._batch, bytearray()
            await self._response.write(batch)


def _tail(text: str) -> int | None:
    """Return how many lines to show, None for all; what is no number means all, as for dockerd."""
    try:
        lines = int(text)
    except ValueError:
        return None
    return lines if lines >= 0 else None


async def top(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/top"""
    view = call.engine.containers.get(call.parameters["id"])
    columns = processes.parse_ps_args(call.text("ps_args") or "-ef")
    listed = await call.engine.sessions.processes(view.id)
    return json_response(processes.table(listed, columns))


async def stats(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/stats"""
    view = call.engine.containers.get(call.parameters["id"])
    stream = call.flag("stream", True)
    if call.flag("one-shot") and stream:
        raise InvalidArgument("cannot have stream=true and one-shot=true")
    response = web.StreamResponse(headers={"Content-Type": "application/json", **call.headers})
    with call.connection.cancelling():
        async for shown in _samples(call, view, stream, call.flag("one-shot")):
            if not response.prepared:
                await response.prepare(call.request)
            await response.write(json.dumps(shown).encode() + b"\n")
    return response


async def _samples(
    call: Call, view: ContainerView, stream: bool, one_shot: bool
) -> AsyncIterator[dict[str, object]]:
    """Yield statistics every second; a single one is taken over a second unless `one_shot`."""
    before: statistics.Sample | None = None
    # Without a limit of its own a container may use the memory of its VM.
    limit_bytes = call.engine.pods.get(view.pod_id).memory_bytes
    while True:
        try:
            counters = await call.engine.sessions.statistics(view.id)
            sample = statistics.Sample(time_ns(), counters)
        except NotFound:  # it was removed meanwhile
            return
        except Conflict:
            yield statistics.stopped(view)
            if not stream:
                return
        else:
            if stream or one_shot or before is not None:
                yield statistics.show(view, sample, before, limit_bytes)
            if not stream and (one_shot or before is not None):
                return
            before = sample
        await asyncio.sleep(_STATS_INTERVAL_S)
