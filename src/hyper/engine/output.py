"""Owns the fan-out of a process' output to the clients that are attached to it. No log, no frames.

The output goes as fast as the fastest of them reads, as through a pipe. Who is behind gets the rest
from a file of its own, and when none reads at all the process, its log and its end go on without
them. Memory holds at most `FEED_BYTES` a client; a file at most `SPILL_BYTES`, and only a client
that far behind holds the stream back, until the process is being killed (`release`).
"""

import asyncio
import logging
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from hyper.engine.spill import Spill

FEED_BYTES = 1 << 20
SPILL_BYTES = 1 << 30
PATIENCE_S = 1.0
STDIN, STDOUT, STDERR = 0, 1, 2

_log = logging.getLogger("engine.output")


class Feed:
    """One client's share of the output: iterate it for (stream, bytes)."""

    def __init__(self, hub: "OutputHub", streams: frozenset[int], spill: Spill) -> None:
        self._hub = hub
        self._streams = streams
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._spill = spill  # what follows after _pieces
        self._ended = False
        self._readable = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            while (piece := self._next()) is not None:
                self._hub.moved()
                yield piece
            if self._ended:
                self._spill.close()
                return
            # No await between the look above and here: nothing can be missed.
            self._readable.clear()
            await self._readable.wait()

    def _next(self) -> tuple[int, bytes] | None:
        if self._pieces:
            piece = self._pieces.popleft()
            self._size -= len(piece[1])
            return piece
        try:
            return self._spill.take()
        except OSError as err:
            _log.error("a client's output is lost: %s", err)
            self.close()
            return None

    @property
    def behind(self) -> bool:
        """Whether the client has more to read than is kept in memory for it."""
        return self._size >= FEED_BYTES or not self._spill.empty

    def end(self) -> None:
        """Nothing follows: the iteration ends after what is queued."""
        self._ended = True
        self._readable.set()

    def close(self) -> None:
        """Leave: the client is gone, what is queued is dropped."""
        self._hub.drop(self)
        self._pieces.clear()
        self._size = 0
        self._spill.close()
        self.end()

    def put(self, stream: int, data: bytes, *, force: bool) -> bool:
        """Queue a piece; return whether there was room, with `force` for its file without limit.

        Where even that fails the client is cut off: it would miss a piece without knowing.
        """
        if stream not in self._streams or self._ended:
            return True
        if not self.behind:
            self._pieces.append((stream, data))
            self._size += len(data)
        elif not self._spill.put(stream, data, force=force):
            if force:
                _log.error("a client that is behind is cut off: its file cannot be written")
                self.close()
            return force
        self._readable.set()
        return True


class OutputHub:
    """The feeds of one process. `folder` is where the files of those behind are."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        spill_bytes: int = SPILL_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        self._spill_bytes = spill_bytes
        self._patience_s = patience_s
        self._feeds: list[Feed] = []
        self._moved = asyncio.Event()
        self._stalled = False  # all were behind, and none read anything for a while
        self._released = False

    def open(self, *, stdout: bool, stderr: bool) -> Feed:
        """Attach a client from now on."""
        wanted = ((STDOUT, stdout), (STDERR, stderr))
        streams = frozenset(stream for stream, on in wanted if on)
        feed = Feed(self, streams, Spill(self._folder, self._spill_bytes))
        self._feeds.append(feed)
        self.moved()
        return feed

    async def publish(self, stream: int, data: bytes) -> None:
        """Hand a piece to every feed, then wait while all are behind and somebody reads."""
        for feed in tuple(self._feeds):
            while not feed.put(stream, data, force=self._released):
                self._moved.clear()
                await self._moved.wait()
        while self._feeds and all(feed.behind for feed in self._feeds):
            if self._stalled or self._released:
                return
            self._moved.clear()
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._moved.wait()
            except TimeoutError:
                self._stalled = True

    def moved(self) -> None:
        """Take note that a client read something, came or went."""
        self._stalled = False
        self._moved.set()

    def release(self) -> None:
        """Stop waiting for clients: the process is ending."""
        self._released = True
        self._moved.set()

    def turn_over(self) -> Callable[[], None]:
        """The output ended: new feeds belong to the next run.

        Returns what brings those of this one to their end.
        """
        feeds, self._feeds = self._feeds, []
        self._released = False
        self.moved()

        def end() -> None:
            for feed in feeds:
                feed.end()

        return end

    def end(self) -> None:
        """The output ended: every feed comes to its end, new ones belong to the next run."""
        self.turn_over()()

    def drop(self, feed: Feed) -> None:
        """Forget a feed."""
        if feed in self._feeds:
            self._feeds.remove(feed)
            self.moved()
