"""A bounded stream of chunks from the event loop into one thread.

The loop side never blocks (`put` waits for room), the thread side does (`read` waits for data).
Either side may give up; the other then learns it at its next call.
"""

import asyncio
import collections
import threading
from types import TracebackType

from hyper.core.errors import Failure

_CAPACITY_BYTES = 4 * 1024 * 1024


class Abandoned(Failure):
    """The other side of the feed gave up; its own error says why."""


class Feed:
    """Chunks on their way to a thread. Made and entered on the loop; leaving it cuts the stream."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._room.set()
        self._condition = threading.Condition()
        self._chunks: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._ended = False
        self._abandoned = False

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the stream; after an error, or when nobody said `end`, the reader learns that."""
        with self._condition:
            if not self._ended:
                self._abandoned = True
            self._condition.notify_all()

    async def put(self, chunk: bytes) -> None:
        """Pass a chunk on, waiting for room. Raises Abandoned when nobody reads any more."""
        await self._room.wait()
        with self._condition:
            if self._abandoned:
                raise Abandoned("nobody reads the stream any more")
            if not chunk:
                return
            self._chunks.append(chunk)
            self._size += len(chunk)
            if self._size >= _CAPACITY_BYTES:
                self._room.clear()
            self._condition.notify_all()

    def end(self) -> None:
        """Say that all chunks were put."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def read(self) -> bytes:
        """Return the next chunk, b"" after the last. For the thread; raises Abandoned."""
        with self._condition:
            while not self._chunks and not self._ended and not self._abandoned:
                self._condition.wait()
            if self._abandoned:
                raise Abandoned("the stream was cut")
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            low = self._size < _CAPACITY_BYTES // 2
        if low:
            self._wake()
        return chunk

    def abandon(self) -> None:
        """Stop reading. For the thread, at its end: a writer that waits must not wait for ever."""
        with self._condition:
            self._abandoned = True
        self._wake()

    def _wake(self) -> None:
        if not self._room.is_set():
            self._loop.call_soon_threadsafe(self._room.set)
