"""Owns the counting of SQLite's transactions from outside: commits in a write-ahead log.

The format: sqlite.org/fileformat2.html, "The Write-Ahead Log". The last frame of a transaction
has the database's size in its header, the others have 0 there.
"""

import struct
from pathlib import Path

_HEADER = struct.Struct(">IIII8s8s")  # magic, version, page size, checkpoint, salts, checksum
_FRAME = struct.Struct(">II8s8s")  # page number, size after commit, salts, checksum


def commits(log: Path) -> tuple[bytes, int]:
    """Return the log's salts, others after it began anew, and how many transactions it holds."""
    data = log.read_bytes()
    if len(data) < _HEADER.size:
        return b"", 0
    _, _, page_bytes, _, salts, _ = _HEADER.unpack_from(data)
    found = 0
    for offset in range(_HEADER.size, len(data) - _FRAME.size + 1, _FRAME.size + page_bytes):
        _, size, own_salts, _ = _FRAME.unpack_from(data, offset)
        if own_salts != salts:  # left from before the log began anew
            break
        found += size > 0
    return salts, found
