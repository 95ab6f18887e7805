"""Owns taking over an HTTP connection as a raw stream, and moving a session's bytes over it.

Docker Engine API, "Attach to a container", sections "Hijacking" and "Stream format": the answer is
`101 UPGRADED` when the client asked to upgrade, `200 OK` for older ones.
"""

import asyncio
import logging
from abc import abstractmethod
from enum import StrEnum
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from hyper.api.call import Call
from hyper.api.frames import DEFAULT_DETACH_KEYS, DetachParser, frame, parse_detach_keys
from hyper.core.errors import Unavailable

if TYPE_CHECKING:
    from hyper.engine.sessions import Session

log = logging.getLogger("api.hijack")

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


class Hijack(web.StreamResponse):
    """A taken-over connection: bytes in by `read`, out by `write`; aiohttp adds nothing."""

    def __init__(self, call: Call, content_type: str) -> None:
        upgraded = call.request.headers.get("Upgrade", "").lower() == "tcp"
        super().__init__(status=101 if upgraded else 200)
        self._call = call
        self._content_type_sent = content_type if upgraded else RAW
        self._writer: AbstractStreamWriter | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the head once; from then on the connection is ours."""
        if self._writer is None:
            self._input = self._call.connection.take_over()
            self._writer = request.writer
            self.force_close()
            first = "101 UPGRADED" if self.status == 101 else "200 OK"
            upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if self.status == 101 else ""
            headers = "".join(f"{name}: {value}\r\n" for name, value in self._call.headers.items())
            await self._writer.write(
                f"HTTP/1.1 {first}\r\nContent-Type: {self._content_type_sent}\r\n"
                f"{upgrade}{headers}\r\n".encode()
            )
        return self._writer

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, waiting while the client does not take them."""
        assert self._writer is not None
        await self._writer.write(data)
        await self._writer.drain()

    async def until_read(self) -> None:
        """Wait, but not for long, until the client has read what was sent."""
        await self._call.connection.until_read()

    async def write_eof(self, data: bytes = b"") -> None:
        """Leave the end to the connection, which aiohttp closes after the handler."""
        self._eof_sent = True
        self._call.connection.refuse_input()

    async def read(self) -> bytes:
        """Return what the client sent, b"" when it sends no more."""
        return await self._input.read()


class Channel:
    """Where a session's bytes go to and come from: a raw stream or a WebSocket."""

    @abstractmethod
    async def send(self, stream: int, data: bytes) -> None:
        """Hand over output of `stream` 1 or 2."""

    @abstractmethod
    async def receive(self) -> bytes:
        """Return input, b"" when there is no more."""


class RawChannel(Channel):
    """A hijacked connection; `framed` puts Docker's header before every piece of output.

    `patient` sends nothing before the client has read the head: docker-py loses what it reads
    together with it.
    """

    def __init__(self, hijack: Hijack, framed: bool, *, patient: bool = False) -> None:
        self.hijack = hijack
        self._framed = framed
        self._patient = patient

    async def send(self, stream: int, data: bytes) -> None:
        """Hand over output."""
        if self._patient:
            self._patient = False
            await self.hijack.until_read()
        await self.hijack.write(frame(stream, data) if self._framed else data)

    async def receive(self) -> bytes:
        """Return input."""
        return await self.hijack.read()


def detach_parser(keys: str, tty: bool) -> DetachParser | None:
    """Return what looks for the detach keys: only a terminal has any, as with dockerd.

    Raises InvalidArgument.
    """
    parsed = parse_detach_keys(keys or DEFAULT_DETACH_KEYS)
    return DetachParser(parsed) if tty else None


class Outcome(StrEnum):
    """How a session ended for its client."""

    ENDED = "ended"
    DETACHED = "detached"
    GONE = "gone"


async def run_session(
    session: "Session", channel: Channel, *, stdin: bool, detach: DetachParser | None
) -> Outcome:
    """Move bytes between a session and a client until the output ends or the client leaves.

    The session is detached in every case; what the process still prints is in its log only.
    """
    pump = _Input(session, channel, stdin, detach)
    try:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(pump.run(), name="session input")
            async for stream, data in session.output:
                await channel.send(stream, data)
            reader.cancel()
            outcome = Outcome.DETACHED if pump.detached else Outcome.ENDED
    except* ConnectionError as errors:
        log.debug("a client went away: %s", errors.exceptions[0])
        outcome = Outcome.GONE
    finally:
        session.detach()
    return outcome


class _Input:
    """What a client sends, on its way to the process; says whether it pressed the detach keys."""

    def __init__(
        self, session: "Session", channel: Channel, stdin: bool, detach: DetachParser | None
    ) -> None:
        self.detached = False
        self._session = session
        self._channel = channel
        self._wanted = stdin
        self._detach = detach

    async def run(self) -> None:
        """Pass input on until there is no more."""
        while data := await self._channel.receive():
            if self._detach is not None:
                data, self.detached = self._detach.feed(data)
            if data:
                await self._write(data)
            if self.detached:
                self._session.detach(keys=True)
                return
        if self._wanted:
            await self._session.close_stdin()

    async def _write(self, data: bytes) -> None:
        if not self._wanted:
            return
        try:
            await self._session.write(data)
        except Unavailable:
            # The process ended or closed its stdin: its output decides when the session ends.
            self._wanted = False
