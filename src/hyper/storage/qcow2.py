"""Owns the writing of qcow2 images: from a sparse raw file, and a larger size for one of ours.

QEMU docs/interop/qcow2.txt, version 2, clusters of 64 KiB. The first-level table has room for
4 TiB from the start, so that growing changes one number.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from hyper.core.errors import Failure, InvalidArgument
from hyper.host.files import data_ranges, disk_errors

CLUSTER = 64 * 1024
_ENTRIES = CLUSTER // 8
MAXIMUM_BYTES = _ENTRIES * _ENTRIES * CLUSTER
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_COPIED = 1 << 63  # used once: written in place
_SIZE_AT = 24
# Where what is in every image lies, in clusters: its first-level table and its one refcount block.
_REFCOUNT_TABLE, _REFCOUNT_BLOCK, _L1, _FIRST_FREE = 1, 2, 3, 4


def write_qcow2(raw: Path, target: Path) -> None:
    """Write the image `target` with what the sparse file `raw` holds.

    Raises InvalidArgument when there is too much of it, Unavailable when the disk is full.
    """
    with (
        disk_errors(target, "write"),
        open(raw, "rb", buffering=0) as reader,
        open(target, "xb", buffering=0) as writer,
    ):
        size = os.fstat(reader.fileno()).st_size
        check_size(size)
        used = list(_clusters_with_data(reader.fileno()))
        tables = sorted({at // _ENTRIES for at in used})
        count = _FIRST_FREE + len(tables) + len(used)
        if count > CLUSTER // 2:
            raise InvalidArgument(f"{raw} holds too much for a new qcow2 image")
        table_of = {table: _FIRST_FREE + number for number, table in enumerate(tables)}
        first = _FIRST_FREE + len(tables)
        entries = {table: [0] * _ENTRIES for table in tables}
        for number, at in enumerate(used):
            entries[at // _ENTRIES][at % _ENTRIES] = _COPIED | (first + number) * CLUSTER
            _put(writer.fileno(), first + number, os.pread(reader.fileno(), CLUSTER, at * CLUSTER))
        l1 = [_COPIED | table_of[at] * CLUSTER if at in table_of else 0 for at in range(_ENTRIES)]
        for table in tables:
            _put(writer.fileno(), table_of[table], struct.pack(f">{_ENTRIES}Q", *entries[table]))
        _put(writer.fileno(), _L1, struct.pack(f">{_ENTRIES}Q", *l1))
        _put(writer.fileno(), _REFCOUNT_BLOCK, struct.pack(f">{count}H", *[1] * count))
        _put(writer.fileno(), _REFCOUNT_TABLE, struct.pack(">Q", _REFCOUNT_BLOCK * CLUSTER))
        _put(writer.fileno(), 0, _header(size))
        os.ftruncate(writer.fileno(), count * CLUSTER)
        os.fsync(writer.fileno())


def grow_qcow2(path: Path, size_bytes: int) -> None:
    """Make an image of `write_qcow2` larger. Raises InvalidArgument."""
    check_size(size_bytes)
    with disk_errors(path, "grow"), open(path, "r+b", buffering=0) as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or header[:4] != b"QFI\xfb":
            raise InvalidArgument(f"{path} is not a qcow2 image")
        if _HEADER.unpack(header)[7] * _ENTRIES * CLUSTER < size_bytes:
            raise InvalidArgument(f"{path}: its first-level table has no room for that size")
        os.pwrite(file.fileno(), struct.pack(">Q", size_bytes), _SIZE_AT)
        os.fsync(file.fileno())


def virtual_size(path: Path, image_format: str) -> int:
    """Return the bytes of the disk that an image, "raw" or "qcow2", is. Raises Failure.

    Which of them is not told by its first bytes: those of a raw image are a guest's.
    """
    with disk_errors(path, "read"), open(path, "rb") as file:
        if image_format != "qcow2":
            return os.fstat(file.fileno()).st_size
        header = file.read(_HEADER.size)
        if header[:4] != b"QFI\xfb" or len(header) < _HEADER.size:
            raise Failure(f"{path} is not a qcow2 image")
        return int.from_bytes(header[_SIZE_AT : _SIZE_AT + 8], "big")


def check_size(size_bytes: int) -> None:
    """Check the size of an image. Raises InvalidArgument."""
    if size_bytes > MAXIMUM_BYTES:
        raise InvalidArgument(f"a qcow2 image of {size_bytes} bytes: at most {MAXIMUM_BYTES}")


def _header(size: int) -> bytes:
    tables = (_ENTRIES, _L1 * CLUSTER, _REFCOUNT_TABLE * CLUSTER, 1)
    return _HEADER.pack(b"QFI\xfb", 2, 0, 0, 16, size, 0, *tables, 0, 0)


def _clusters_with_data(descriptor: int) -> Iterator[int]:
    last = -1
    for start, end in data_ranges(descriptor):
        for at in range(max(start // CLUSTER, last + 1), -(-end // CLUSTER)):
            yield at
            last = at


def _put(descriptor: int, cluster: int, data: bytes) -> None:
    os.pwrite(descriptor, data, cluster * CLUSTER)
