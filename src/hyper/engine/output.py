"""Owns the fan-out of a process' output to the clients that are attached to it. No log, no frames.

A feed that is full holds its stream back, as a full pipe would: nothing is lost, and only that
stream of that process waits. `release` lifts the bound once the process is ending, so that a
client that does not read cannot keep a container from being stopped.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

FEED_BYTES = 1 << 20
STDIN, STDOUT, STDERR = 0, 1, 2


class Feed:
    """One client's share of the output: iterate it for (stream, bytes)."""

    def __init__(self, hub: "OutputHub", streams: frozenset[int]) -> None:
        self._hub = hub
        self._streams = streams
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._ended = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            while self._pieces:
                stream, data = self._pieces.popleft()
                self._size -= len(data)
                self._writable.set()
                yield stream, data
            if self._ended:
                return
            # No await between the look above and here: nothing can be missed.
            self._readable.clear()
            await self._readable.wait()

    def end(self) -> None:
        """Nothing follows: the iteration ends after what is queued."""
        self._ended = True
        self._readable.set()
        self._writable.set()

    def close(self) -> None:
        """Leave: the client is gone, what is queued is dropped."""
        self._hub.drop(self)
        self._pieces.clear()
        self._size = 0
        self.end()

    async def put(self, stream: int, data: bytes) -> None:
        """Queue a piece; waits while the client is far behind."""
        if stream not in self._streams or self._ended:
            return
        self._pieces.append((stream, data))
        self._size += len(data)
        self._readable.set()
        while self._size > FEED_BYTES and not self._ended and not self._hub.released:
            self._writable.clear()
            await self._writable.wait()

    def wake(self) -> None:
        """Let a waiting `put` look again."""
        self._writable.set()


class OutputHub:
    """The feeds of one process."""

    def __init__(self) -> None:
        self._feeds: list[Feed] = []
        self.released = False

    def open(self, *, stdout: bool, stderr: bool) -> Feed:
        """Attach a client from now on."""
        wanted = ((STDOUT, stdout), (STDERR, stderr))
        feed = Feed(self, frozenset(stream for stream, on in wanted if on))
        self._feeds.append(feed)
        return feed

    async def publish(self, stream: int, data: bytes) -> None:
        """Hand a piece to every feed, waiting for the slowest."""
        for feed in tuple(self._feeds):
            await feed.put(stream, data)

    def release(self) -> None:
        """Stop waiting for slow clients: the process is ending."""
        self.released = True
        for feed in self._feeds:
            feed.wake()

    def end(self) -> None:
        """The output ended: every feed comes to its end, new ones belong to the next run."""
        for feed in self._feeds:
            feed.end()
        self._feeds.clear()
        self.released = False

    def drop(self, feed: Feed) -> None:
        """Forget a feed."""
        if feed in self._feeds:
            self._feeds.remove(feed)
