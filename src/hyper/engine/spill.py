"""Owns what one client has still to read of a process' output, in a file without a name.

So nothing is left of it after a crash. Made when first needed; emptied whenever all was read.
"""

import struct
import tempfile
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct("<BxxxI")  # stream, length


class Spill:
    """Pieces of output, first in, first out. All of it in one event loop."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._file: BinaryIO | None = None
        self._read = 0
        self._written = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._read == self._written

    def put(self, stream: int, data: bytes, *, force: bool = False) -> bool:
        """Append a piece; return False, with nothing kept, beyond the limit or on a full disk."""
        record = _HEADER.pack(stream, len(data)) + data
        if self._written + len(record) > self._limit_bytes and not force:
            return False
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)
            self._file.seek(self._written)
            if self._file.write(record) != len(record):
                return False
        except OSError:
            return False
        self._written += len(record)
        return True

    def take(self) -> tuple[int, bytes] | None:
        """Return the oldest piece, None if there is none. Raises OSError."""
        if self._file is None or self.empty:
            return None
        self._file.seek(self._read)
        stream, length = _HEADER.unpack(self._file.read(_HEADER.size))
        data = self._file.read(length)
        if len(data) != length:
            raise OSError(5, "input/output error", str(self._folder))
        self._read += _HEADER.size + length
        if self.empty:
            self._file.truncate(0)
            self._read = self._written = 0
        return stream, data

    def close(self) -> None:
        """Drop what waits."""
        self._read = self._written = 0
        if self._file is not None:
            self._file.close()
            self._file = None
