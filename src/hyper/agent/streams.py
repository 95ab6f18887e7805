"""Streams of a guest's process on the host: bytes with offsets and credit, no sockets.

Flow control: protocol/agent.toml, "Streams". A peer that breaks it raises ProtocolError from the
methods the connection calls (`received`, `acknowledged`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from hyper.agent.messages import DATA_MAX, STREAM_WINDOW, Data, ProtocolError
from hyper.core.errors import HyperError, Unavailable

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
ACK_EVERY_BYTES = STREAM_WINDOW // 4
JOIN_BYTES = 4096


def stream_id(process_id: int, which: int) -> int:
    """Return the number of a process's stream (STDIN, STDOUT or STDERR) on the wire."""
    return process_id * 4 + which


class OutputStream:
    """What a process writes: an async iterator of (offset of the first byte, bytes).

    The guest keeps everything that is not acknowledged with `ack`, and waits when that is a whole
    window; so no more than a window is ever held here. The iteration ends at the end of the output
    (`eof`), and raises Unavailable when the connection is lost before.
    """

    def __init__(self, name: str, offset: int, resuming: bool, ack_due: Callable[[], None]) -> None:
        self.name = name
        self.eof = False
        self._received = offset
        self._acked = offset
        self._announced = offset
        self._resuming = resuming
        self._discard = False
        self._ack_due = ack_due
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._lost: HyperError | None = None
        self._changed = asyncio.Event()

    @property
    def buffered_bytes(self) -> int:
        """Bytes received and not yet taken."""
        return sum(len(content) for _, content in self._chunks)

    def __aiter__(self) -> "OutputStream":
        return self

    async def __anext__(self) -> tuple[int, bytes]:
        while not self._chunks:
            if self.eof:
                raise StopAsyncIteration
            if self._lost is not None:
                raise Unavailable(str(self._lost)) from self._lost
            self._changed.clear()
            await self._changed.wait()
        return self._chunks.popleft()

    def ack(self, offset: int) -> None:
        """Say that everything below `offset` is safe with us; the guest may forget it."""
        assert offset <= self._received, "acknowledged what was not received"
        self._acked = max(self._acked, offset)
        if self._acked - self._announced >= ACK_EVERY_BYTES:
            self._ack_due()

    def discard(self) -> None:
        """Take no more: what still comes is thrown away and acknowledged."""
        self._discard = True
        self._chunks.clear()
        self.ack(self._received)

    def received(self, data: Data, last: bool) -> None:
        """Take a data frame from the connection. Raises ProtocolError."""
        content, offset = data.content, data.offset
        end = offset + len(content)
        if len(content) > DATA_MAX:
            raise ProtocolError(f"{self.name}: {len(content)} bytes in one data frame")
        if offset > self._received:
            if self._resuming:
                return  # sent before the guest knew from where to resume; it will come again
            raise ProtocolError(f"{self.name}: bytes {self._received} to {offset} are missing")
        if end > self._announced + STREAM_WINDOW:
            raise ProtocolError(f"{self.name}: {end} is beyond the window of {self._announced}")
        self._resuming = False
        if self.eof and end > self._received:
            raise ProtocolError(f"{self.name}: bytes after the end")
        if end > self._received:
            self._append(content[self._received - offset :])
        self.eof = self.eof or (last and end == self._received)
        self._changed.set()

    def _append(self, content: bytes) -> None:
        offset, self._received = self._received, self._received + len(content)
        if self._discard:
            self.ack(self._received)
            return
        # Bytes that trickle in are joined: a chunk costs far more memory than a byte.
        if self._chunks and len(self._chunks[-1][1]) + len(content) <= JOIN_BYTES:
            offset, before = self._chunks.pop()
            content = before + content
        self._chunks.append((offset, content))

    def take_ack(self) -> int:
        """Return up to where to acknowledge, for the connection to send."""
        self._announced = self._acked
        return self._acked

    def lose(self, error: HyperError) -> None:
        """End the stream: the connection is gone."""
        self._lost = error
        self._changed.set()


class InputStream:
    """What a process reads; `write` waits while the guest holds a window of unread bytes."""

    def __init__(
        self, name: str, offset: int, send: Callable[[Data, bool], Awaitable[None]]
    ) -> None:
        self.name = name
        self._sent = offset
        self._acked = offset
        self._send = send
        self._closed = False
        self._lost: HyperError | None = None
        self._changed = asyncio.Event()

    async def write(self, content: bytes) -> None:
        """Send bytes, for one caller at a time. Raises Unavailable when the connection is lost."""
        view = memoryview(content)
        while view:
            credit = self._acked + STREAM_WINDOW - self._sent
            if self._lost is not None:
                raise Unavailable(str(self._lost)) from self._lost
            if credit == 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            part = bytes(view[: min(credit, DATA_MAX)])
            data = Data(self._sent, part)
            self._sent += len(part)
            view = view[len(part) :]
            await self._send(data, False)

    async def close(self) -> None:
        """Send the end of the input, once. Raises Unavailable when the connection is lost."""
        if not self._closed:
            self._closed = True
            await self._send(Data(self._sent, b""), True)

    def acknowledged(self, offset: int) -> None:
        """Take a window frame from the connection. Raises ProtocolError."""
        if offset > self._sent:
            raise ProtocolError(f"{self.name}: {offset} acknowledged, {self._sent} sent")
        self._acked = max(self._acked, offset)
        self._changed.set()

    def lose(self, error: HyperError) -> None:
        """End the stream: the connection is gone."""
        self._lost = error
        self._changed.set()
