"""Owns containers' log files: appending output, rotating, reading back, following.

A file is a sequence of records, one per piece of output as it came from the guest, so that 1 GB of
output costs no work per line; lines are found when somebody reads. Each record carries the offset
its stream had after it, which is how a restarted daemon tells the guest what it has (`agent.toml`,
stream_resume), and ends with its own length, which is how the last lines are found from the end.
"""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct("<BxxxIIQQ")  # stream, process id, length, wall clock ns, offset after
_TRAILER = struct.Struct("<I")  # length of the whole record
_OVERHEAD = _HEADER.size + _TRAILER.size
_TURN_BYTES = 1 << 18
STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A piece of output, or a whole line when lines were asked for. `stream` 1 is stdout, 2
    stderr.
    """

    stream: int
    time_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Record:
    stream: int
    process_id: int
    time_ns: int
    offset_after: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Place:
    """A record: the number of its file, oldest first, and where it starts there."""

    file: int
    offset: int


_BEGINNING = _Place(0, 0)


class LogFile:
    """The log of one container: one writer, any number of readers, all in one event loop."""

    def __init__(self, path: Path, max_bytes: int = 0, max_files: int = 1) -> None:
        """Open nothing yet. `max_bytes` 0 never rotates; `max_files` counts the current one."""
        self.path = path
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._file: BinaryIO | None = None
        self._generation = 0
        self._grown = asyncio.Event()
        self._ended = True

    def open(self) -> None:
        """Open for appending; half a record left by a crash is cut off."""
        self._file = open(self.path, "ab", buffering=0)
        os.chmod(self.path, 0o640)
        sound = _sound_length(self.path)
        if sound != self._file.tell():
            self._file.truncate(sound)
        self._ended = False

    def append(
        self, stream: int, process_id: int, time_ns: int, offset_after: int, data: bytes
    ) -> None:
        """Append a piece of output. Raises OSError (a full disk): nothing of it was kept then."""
        assert self._file is not None
        if self._max_bytes and self._file.tell() + len(data) > self._max_bytes:
            self._rotate()
        header = _HEADER.pack(stream, process_id, len(data), time_ns, offset_after)
        record = b"".join((header, data, _TRAILER.pack(len(data) + _OVERHEAD)))
        start = self._file.tell()
        if self._file.write(record) != len(record):
            self._file.truncate(start)
            raise OSError(28, "no space left on device", str(self.path))
        self._wake()

    def offset(self, stream: int, process_id: int) -> int:
        """Return the offset after the last piece kept of a process' stream, 0 for none."""
        for _, record in _backward(self.path):
            if record.process_id != process_id:
                break
            if record.stream == stream:
                return record.offset_after
        return 0

    def close(self) -> None:
        """Stop writing: readers that follow come to their end."""
        self._ended = True
        if self._file:
            self._file.close()
            self._file = None
        self._wake()

    def remove(self) -> None:
        """Delete the log and what was rotated away."""
        self.close()
        for path in self._paths():
            path.unlink(missing_ok=True)

    async def read(
        self,
        *,
        tail: int | None = None,
        since_ns: int = 0,
        until_ns: int = 0,
        follow: bool = False,
        idle: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[LogRecord]:
        """Yield the log line by line (a line keeps its newline; the last may have none).

        `tail` counts lines from the end. With `follow` the iteration goes on until the writer
        closes; `idle` is called whenever it has to wait.
        """
        lines = _Lines()
        start, skip = self._tail(tail) if tail is not None else (_BEGINNING, 0)
        seen = 0
        async for record in self._records(start, follow, idle):
            for line in lines.feed(record):
                seen += 1
                if seen <= skip or line.time_ns < since_ns:
                    continue
                if until_ns and line.time_ns > until_ns:
                    return
                yield line
        for line in lines.rest():
            seen += 1
            if seen > skip and line.time_ns >= since_ns:
                yield line

    async def _records(
        self, start: _Place, follow: bool, idle: Callable[[], Awaitable[None]] | None
    ) -> AsyncIterator[_Record]:
        # All are opened at once: meanwhile a rotation may give their names to others.
        generation = self._generation
        files = [open(p, "rb") for p in self._paths()[start.file :] if p.exists()]  # noqa: ASYNC230
        try:
            if files:
                files[0].seek(start.offset)
            for file in files[:-1]:
                async for record in _rest(file):
                    yield record
            while files:
                grown = self._grown
                async for record in _rest(files[-1]):
                    yield record
                if generation != self._generation:
                    # A slow reader goes through each that is left of those that were rotated.
                    generation = max(generation + 1, self._generation - self._max_files + 1)
                    files[-1].close()
                    files[-1] = open(self._rotated(self._generation - generation), "rb")  # noqa: ASYNC230
                    continue
                if not follow or self._ended:
                    return
                if idle is not None:
                    await idle()
                await grown.wait()
        finally:
            for file in files:
                file.close()

    def _tail(self, tail: int) -> tuple[_Place, int]:
        """Return where to start reading, and how many lines to skip there, for the last `tail`.

        A line that is not finished and was begun long before may be missing.
        """
        paths = self._paths()
        wanted = tail + 2
        while True:
            start = _before_lines(paths, wanted)
            streams = []  # of the lines from there on
            lines = _Lines()
            for number, path in enumerate(paths[start.file :]):
                for record in _forward(path, 0 if number else start.offset):
                    streams += [line.stream for line in lines.feed(record)]
            streams += [line.stream for line in lines.rest()]
            skip = max(0, len(streams) - tail)
            # The first line of each stream may lack its beginning.
            cut = {streams.index(stream) for stream in set(streams)}
            if start == _BEGINNING or all(at < skip for at in cut):
                return start, skip
            wanted *= 4

    def _rotated(self, number: int) -> Path:
        """Return where the current file (0) is after so many rotations."""
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _paths(self) -> list[Path]:
        rotated = [self._rotated(number) for number in range(self._max_files, 0, -1)]
        return [path for path in (*rotated, self.path) if path.exists()] or [self.path]

    def _rotate(self) -> None:
        assert self._file is not None
        self._file.close()
        for number in range(self._max_files - 1, 0, -1):
            source = self._rotated(number - 1)
            if source.exists():
                source.replace(self._rotated(number))
        if self._max_files == 1:
            self.path.unlink(missing_ok=True)
        self._file = open(self.path, "ab", buffering=0)
        self._generation += 1

    def _wake(self) -> None:
        # A fresh Event per growth: every reader waits on the one it saw before it hit the end.
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()


class _Lines:
    """Cuts pieces of output into lines, per stream."""

    LONGEST = 1 << 20

    def __init__(self) -> None:
        self._partial: dict[int, tuple[int, bytes]] = {}

    def feed(self, record: _Record) -> Iterator[LogRecord]:
        time_ns, head = self._partial.pop(record.stream, (record.time_ns, b""))
        *whole, last = (head + record.data).split(b"\n")
        for line in whole:
            yield LogRecord(record.stream, time_ns, line + b"\n")
            time_ns = record.time_ns
        if len(last) > self.LONGEST:
            yield LogRecord(record.stream, time_ns, last)
        elif last:
            self._partial[record.stream] = (time_ns, last)

    def rest(self) -> Iterator[LogRecord]:
        for stream, (time_ns, data) in self._partial.items():
            yield LogRecord(stream, time_ns, data)
        self._partial.clear()


def _next(file: BinaryIO) -> _Record | None:
    """Return the record at the file's position; None, position unchanged, if it is not complete."""
    start = file.tell()
    header = file.read(_HEADER.size)
    if len(header) == _HEADER.size:
        stream, process_id, length, time_ns, offset_after = _HEADER.unpack(header)
        rest = file.read(length + _TRAILER.size)
        if len(rest) == length + _TRAILER.size:
            return _Record(stream, process_id, time_ns, offset_after, rest[:length])
    file.seek(start)
    return None


async def _rest(file: BinaryIO) -> AsyncIterator[_Record]:
    """Yield what a file has from its position on; a long log is not the daemon's only work."""
    read = 0
    while (record := _next(file)) is not None:
        yield record
        read += len(record.data)
        if read > _TURN_BYTES:
            read = 0
            await asyncio.sleep(0)


def _before_lines(paths: Sequence[Path], wanted: int) -> _Place:
    """Return a place that more than `wanted` ends of lines follow."""
    found = 0
    for number in range(len(paths) - 1, -1, -1):
        for offset, record in _backward(paths[number]):
            found += record.data.count(b"\n")
            if found > wanted:
                return _Place(number, offset)
    return _BEGINNING


def _forward(path: Path, offset: int = 0) -> Iterator[_Record]:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            while (record := _next(file)) is not None:
                yield record
    except FileNotFoundError:
        return


def _backward(path: Path) -> Iterator[tuple[int, _Record]]:
    """Yield the records of a file, the last one first, each with where it starts."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end >= _OVERHEAD:
                file.seek(end - _TRAILER.size)
                (length,) = _TRAILER.unpack(file.read(_TRAILER.size))
                if length < _OVERHEAD or length > end:
                    return
                file.seek(end - length)
                if (record := _next(file)) is None or file.tell() != end:
                    return
                end -= length
                yield end, record
    except FileNotFoundError:
        return


def _sound_length(path: Path) -> int:
    """Return how many bytes of the file are whole records."""
    size = path.stat().st_size
    if size == 0 or next(_backward(path), None) is not None:
        return size
    with open(path, "rb") as file:
        while _next(file) is not None:
            pass
        return file.tell()
