"""Maps of sparse files in tar: which parts of a file are stored. Owns the four GNU notations.

GNU tar manual, "Storing Sparse Files": old GNU headers, pax 0.0, 0.1 and 1.0. A map is checked
before it is believed; the holes are written out as zeros, which squashfs stores as holes again.
"""

from collections.abc import Callable, Iterator

from hyper.core.errors import Failure

Region = tuple[int, int]  # offset in the file, stored bytes

_ZEROS = bytes(256 * 1024)
_MAP_LIMIT = 1024 * 1024
_BLOCK = 512


def is_sparse(meta: dict[bytes, bytes]) -> bool:
    """Tell whether pax records describe a sparse file."""
    return b"GNU.sparse.map" in meta or b"GNU.sparse.major" in meta


def zeros(count: int) -> Iterator[bytes]:
    """Yield `count` zero bytes in chunks."""
    while count > 0:
        chunk = _ZEROS if count >= len(_ZEROS) else _ZEROS[:count]
        count -= len(chunk)
        yield chunk


def gnu_map(block: bytes, more: Callable[[], bytes]) -> tuple[int, list[Region]]:
    """Return the real size and the map of an old GNU header; `more` gives its extension blocks."""
    fields, extended = block[386:482], block[482]
    size = _octal(block[483:495])
    regions: list[Region] = []
    while True:
        for start in range(0, len(fields) - 23, 24):
            if not fields[start]:
                break
            offset = _octal(fields[start : start + 12])
            regions.append((offset, _octal(fields[start + 12 : start + 24])))
        if not extended:
            return size, regions
        if len(regions) * 24 > _MAP_LIMIT:
            raise Failure(f"tar: a sparse map larger than {_MAP_LIMIT} bytes")
        block = more()
        fields, extended = block[:504], block[504]


def pax_map(meta: dict[bytes, bytes], more: Callable[[], bytes]) -> tuple[int, list[Region], int]:
    """Return the real size, the map, and how many bytes of content the map itself took."""
    used = 0
    if b"GNU.sparse.map" in meta:
        numbers = [_number(text) for text in meta[b"GNU.sparse.map"].split(b",") if text]
    else:
        if meta.get(b"GNU.sparse.major") != b"1":
            raise Failure("tar: sparse file of an unknown version")
        text = b""
        while True:
            text += more()
            used += _BLOCK
            lines = text.split(b"\n")
            count = _number(lines[0]) if len(lines) > 1 else 0
            if len(lines) > 1 and len(lines) > 1 + 2 * count:
                break
            if used > _MAP_LIMIT:
                raise Failure(f"tar: a sparse map larger than {_MAP_LIMIT} bytes")
        numbers = [_number(line) for line in lines[1 : 1 + 2 * count]]
    if len(numbers) % 2:
        raise Failure("tar: malformed sparse map")
    size = _number(meta.get(b"GNU.sparse.realsize") or meta.get(b"GNU.sparse.size") or b"")
    return size, list(zip(numbers[::2], numbers[1::2], strict=True)), used


def check(size: int, regions: list[Region], stored: int) -> None:
    """Raise Failure unless the regions ascend, fit the file, and are exactly what is stored."""
    position = 0
    for offset, length in regions:
        if offset < position or length < 0:
            raise Failure("tar: malformed sparse map: regions overlap")
        position = offset + length
    if position > size or size >= 2**62:
        raise Failure("tar: malformed sparse map: a region is beyond the end of the file")
    if sum(length for _, length in regions) != stored:
        raise Failure("tar: malformed sparse map: it does not add up to what is stored")


def _octal(field: bytes) -> int:
    if field[:1] >= b"\x80":
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        raise Failure("tar: malformed sparse map") from None


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise Failure("tar: malformed sparse map")
    return int(text)
