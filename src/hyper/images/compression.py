"""Compressed streams read in bounded steps, told apart by their first bytes as Docker does.

A few bytes can unpack to gigabytes, so nothing here unpacks more than it is asked for. zlib and
zstandard release the GIL, so several layers unpack at once.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

import zstandard

from hyper.core.errors import Failure

Read = Callable[[int], bytes]

_WINDOW_LIMIT = 128 * 1024 * 1024  # zstd --ultra -22 needs 128 MiB
_STEP = 256 * 1024
_ZSTD_STEP = 4096
_GZIP_BITS = 31

MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's object with the interface that bz2's and lzma's have."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(_GZIP_BITS)

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def unused_data(self) -> bytes:
        return self._unpacker.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._unpacker.decompress(self._unpacker.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._unpacker.unconsumed_tail


def kind_of(start: bytes) -> str:
    """Return the compression a stream that starts so has: gzip, zstd, bzip2, xz or none ("")."""
    return next((name for magic, name in MAGIC.items() if start.startswith(magic)), "")


def unpacked(read: Read) -> tuple[str, Read]:
    """Return the compression of a stream and a `read` of what it unpacks to.

    `read` raises Failure when the stream is damaged or ends too soon.
    """
    start = b""
    while len(start) < 6 and (more := read(_STEP)):
        start += more
    name = kind_of(start)
    source = _Pushback(start, read)
    if name:
        return name, _Members(name, source.read).read
    return name, source.read


class _Pushback:
    """A stream whose first bytes were looked at."""

    def __init__(self, start: bytes, read: Read) -> None:
        self._start = start
        self._read = read

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, or somewhat more when the source gives more."""
        start, self._start = self._start, b""
        return start or self._read(size)


class _Zstd:
    """zstandard's object with the interface that bz2's and lzma's have.

    Its stream_reader would bound the output, but takes a truncated stream for a whole one. So
    the input is bounded instead: the smallest blocks are 4 bytes and unpack to 128 KiB (RFC 8878).
    """

    def __init__(self) -> None:
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
        self._unpacker = unpacker.decompressobj()
        self._waiting = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def unused_data(self) -> bytes:
        return self._unpacker.unused_data + bytes(self._waiting)

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        waiting = memoryview(bytes(self._waiting) + data if self._waiting and data else data)
        waiting = waiting if data else self._waiting
        parts: list[bytes] = []
        size = 0
        while waiting and size < max_length and not self._unpacker.eof:
            out = self._unpacker.decompress(waiting[:_ZSTD_STEP])
            waiting = waiting[_ZSTD_STEP:]
            size += len(out)
            parts.append(out)
        self._waiting = waiting
        return b"".join(parts)


class _Members:
    """gzip, zstd, bzip2, xz: one or more members after each other make one stream."""

    def __init__(self, name: str, read: Read) -> None:
        self._name = name
        self._read = read
        self._unpacker = self._new()
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        try:
            while True:
                if self._unpacker.eof:
                    self._rest = self._unpacker.unused_data or self._read(_STEP)
                    if not self._rest.strip(b"\0"):
                        return b""
                    self._unpacker = self._new()
                data, self._rest = self._rest, b""
                if not data and self._unpacker.needs_input:
                    data = self._read(_STEP)
                    if not data:
                        raise Failure(f"{self._name}: unexpected end of the stream")
                if out := self._unpacker.decompress(data, size):
                    return out
        except (zstandard.ZstdError, zlib.error, OSError, lzma.LZMAError, EOFError) as err:
            raise Failure(f"{self._name}: damaged stream: {err}") from err

    def _new(self) -> _Unpacker:
        if self._name == "gzip":
            return _Gzip()
        if self._name == "zstd":
            return _Zstd()
        return bz2.BZ2Decompressor() if self._name == "bzip2" else lzma.LZMADecompressor()
