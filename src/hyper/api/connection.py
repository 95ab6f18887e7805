"""Owns a client's connection below HTTP: half-close, a client gone away, taking the stream over.

Extends aiohttp's server protocol by exactly these; HTTP itself stays aiohttp's.
"""

import asyncio
import fcntl
import os
import socket
import termios
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from aiohttp.http_parser import HttpRequestParserPy

_HIGH_BYTES = 256 * 1024
_LOW_BYTES = 64 * 1024
_REFUSED_READS = 64
# Half a minute in all: a client that has no processor for a second is to lose nothing either.
_READ_LOOKS_S = (*[0.002] * 100, *[0.05] * 600)


class RawInput:
    """What a client sends once its stream was taken over: bounded, then the client waits."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._size_bytes = 0
        self._eof = False
        self._waiting = False
        self._changed = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes from the connection (the interface aiohttp gives its parsers)."""
        self._chunks.append(bytes(data))
        self._size_bytes += len(data)
        if self._size_bytes > _HIGH_BYTES and not self._waiting and self._transport is not None:
            self._waiting = True
            self._transport.pause_reading()
        self._changed.set()
        return False, b""

    def feed_eof(self) -> None:
        """Take the end of what the client sends."""
        self._eof = True
        self._changed.set()

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end."""
        while not self._chunks:
            if self._eof:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._chunks.popleft()
        self._size_bytes -= len(data)
        if self._waiting and self._size_bytes < _LOW_BYTES and self._transport is not None:
            self._waiting = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data


class Connection(web.RequestHandler):
    """A client's connection. `half_closed` says that the client will send nothing more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # aiohttp's parser in C knows only WebSockets as an upgrade: it would take what a client
        # sends right behind `Upgrade: tcp` for its next request. The one in Python stops there.
        self._parser = HttpRequestParserPy(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            payload_exception=web.RequestPayloadError,
        )
        self.half_closed = False
        self._raw: RawInput | None = None
        self._on_lost: Callable[[], object] | None = None

    def take_over(self) -> RawInput:
        """Return what the client sends from here on instead of parsing it as HTTP."""
        self._raw = RawInput(self.transport)
        self.set_parser(self._raw)  # type: ignore[arg-type]  # it feeds any such parser
        if self.half_closed or self.transport is None:
            self._raw.feed_eof()
        return self._raw

    def refuse_input(self) -> None:
        """Take no more of a stream that was taken over, and throw away what came already.

        The kernel resets a connection that is closed with something unread in it: who is still
        sending (`yes | docker run -i ...`) would get ECONNRESET in place of the end.
        """
        if self.transport is None or self.transport.is_closing():
            return
        found = self.transport.get_extra_info("socket")
        try:
            self.transport.pause_reading()
            found.shutdown(socket.SHUT_RD)
            for _ in range(_REFUSED_READS):  # over TCP a client may go on sending for ever
                if not os.read(found.fileno(), _HIGH_BYTES):
                    break
        except OSError:
            pass  # nothing more is there, or the client has gone away

    async def until_read(self) -> None:
        """Wait, but not for long, until the client has read what was sent to it.

        A unix socket tells how much is unread (unix(7), SIOCOUTQ) but has no event for it; TCP
        does not tell.
        """
        found = None if self.transport is None else self.transport.get_extra_info("socket")
        if found is None or found.family != socket.AF_UNIX:
            return
        for look_s in _READ_LOOKS_S:
            if found.fileno() < 0:
                return  # the client has gone away
            unread = bytearray(4)
            fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, unread)
            if not any(unread):
                return
            await asyncio.sleep(look_s)

    @contextmanager
    def cancelling(self) -> Iterator[None]:
        """Cancel the current task when the client goes away in the meantime."""
        task = asyncio.current_task()
        assert task is not None
        if self.transport is None:
            raise ConnectionResetError("the client has gone away")
        self._on_lost = task.cancel
        try:
            yield
        finally:
            self._on_lost = None

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading, and have the parser forget that it was paused.

        aiohttp 3.14's parser in Python remembers a pause that came with the last byte of a chunk:
        it then keeps the next data it gets to itself, and if those were the last, for ever.
        """
        payload = getattr(self._parser, "_payload_parser", None)
        if payload is not None:
            payload._paused = False
        super().resume_reading(resume_parser)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio's own signature
        """Keep the way to the client open where it may half-close: on a raw stream."""
        self.half_closed = True
        if self._raw is not None:
            self._raw.feed_eof()
            return True
        # Set by aiohttp's parser after a request with `Upgrade: tcp` that is not answered yet.
        return bool(self._upgraded)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell who waits for it that the client is gone."""
        on_lost = self._on_lost
        super().connection_lost(exc)
        if on_lost is not None:
            on_lost()


class ConnectionServer(web.Server):
    """aiohttp's low-level server with our connections."""

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)
