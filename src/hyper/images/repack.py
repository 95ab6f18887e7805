"""Archives of clients made plain: unpacked if compressed, every form of tar turned into one.

Guests read only what this writes: ustar, pax headers, clean relative names, sparse files with their
zeros. One pass in a thread, bounded memory, every byte distrusted.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from hyper.core.errors import Failure, InvalidArgument
from hyper.host import threads
from hyper.images import compression
from hyper.images.feed import Abandoned, Feed
from hyper.images.layerfilter import clean_path
from hyper.images.tarstream import END, Entry, Kind, TarReader, header, padding

_PIECE_BYTES = 128 * 1024


async def repack(source: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> None:
    """Read an archive from `source`, and `write` it as guests take it.

    Raises InvalidArgument on what is no archive, and what `source` and `write` raise.
    """
    feed, out = Feed(), _Output()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_fill(feed, source), name="archive-source")
            tasks.create_task(
                threads.in_thread("repack", _convert, feed, out), name="archive-convert"
            )
            tasks.create_task(out.pump(write), name="archive-write")
    except BaseExceptionGroup as group:
        raise _cause(group) from None


async def _fill(feed: Feed, source: AsyncIterator[bytes]) -> None:
    with feed:
        async for chunk in source:
            # What follows the end of the archive is read too, or the client could not finish.
            with contextlib.suppress(Abandoned):
                await feed.put(chunk)
        feed.end()


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    errors = list(group.exceptions)
    return next((error for error in errors if not isinstance(error, _Cut | Abandoned)), errors[0])


class _Cut(Failure):
    """The other side failed; its own error says why."""


class _Output:
    """What the thread writes, on its way to the loop: one piece at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._condition = threading.Condition()
        self._piece = b""
        self._ended = self._cut = False
        self._parts: list[bytes] = []
        self._size = 0

    def put(self, data: bytes) -> None:
        """Take bytes. For the thread; raises _Cut when nobody takes them any more."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _PIECE_BYTES:
            self.flush()

    def flush(self, end: bool = False) -> None:
        """Hand over what was taken. For the thread; `end`: it was all."""
        piece, self._parts, self._size = b"".join(self._parts), [], 0
        with self._condition:
            while self._piece and not self._cut:
                self._condition.wait()
            if self._cut:
                raise _Cut("nobody takes the archive any more")
            self._piece, self._ended = piece, end
        self._loop.call_soon_threadsafe(self._ready.set)

    async def pump(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write what the thread hands over, until its end. For the loop."""
        ended = False
        try:
            while not ended:
                await self._ready.wait()
                self._ready.clear()
                with self._condition:
                    piece, ended, self._piece = self._piece, self._ended, b""
                    self._condition.notify_all()
                await write(piece)
        finally:
            with self._condition:
                self._cut = True
                self._condition.notify_all()


def _convert(feed: Feed, out: _Output) -> None:
    try:
        reader = TarReader(compression.unpacked(lambda _: feed.read())[1])
        for entry in reader:
            out.put(header(_plain(entry)))
            for data in reader.content() if entry.size else ():
                out.put(bytes(data))
            out.put(padding(entry.size))
        out.put(END)
        out.flush(end=True)
    except (Abandoned, _Cut):
        raise
    except Failure as err:
        raise InvalidArgument(str(err)) from err
    finally:
        feed.abandon()


def _plain(entry: Entry) -> Entry:
    path = clean_path(entry.path) or b"."
    link = clean_path(entry.link) if entry.kind is Kind.HARDLINK else entry.link
    return replace(entry, path=path, link=link if entry.kind in _LINKS else b"")


_LINKS = (Kind.HARDLINK, Kind.SYMLINK)
