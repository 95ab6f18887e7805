"""Reading and writing tar as a stream: one pass, bounded memory, every byte distrusted.

Does not judge names or kinds (`layerfilter`). tarfile of the standard library is not used: it
seeks, guesses, and takes headers of any size. Formats: POSIX.1-2017 pax "pax Interchange Format",
GNU tar "Basic Tar Format" and "Storing Sparse Files".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from hyper.core.errors import Malformed
from hyper.images import sparse

BLOCK = 512
END = bytes(2 * BLOCK)
_READ = 256 * 1024
_META_LIMIT = 1024 * 1024
_XATTR = b"SCHILY.xattr."
_MTIME_LIMIT = 2**32 - 1  # squashfs keeps an unsigned 32-bit time

Read = Callable[[int], bytes]
Buffer = bytes | memoryview


class Kind(Enum):
    """What an entry is; the values are tar's own type flags."""

    FILE = b"0"
    HARDLINK = b"1"
    SYMLINK = b"2"
    CHAR = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


_KINDS = {kind.value: kind for kind in Kind} | {b"\0": Kind.FILE, b"7": Kind.FILE, b"S": Kind.FILE}


@dataclass(frozen=True, slots=True)
class Entry:
    """One member. `size` is that of its content as extracted; names are any bytes."""

    path: bytes
    kind: Kind
    size: int = 0
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def length(self) -> int:
        """What stat calls its size: that of its content, of a symbolic link its target's."""
        return len(self.link) if self.kind is Kind.SYMLINK else self.size


class TarReader:
    """Entries of a tar stream, in order; the content of the last one is read with `content`.

    `read(n)` gives up to n bytes, none at the end. Raises Malformed on what is no tar.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._buffer = b""
        self._position = 0
        self._stored = 0  # bytes of the current entry not yet taken from the stream
        self._padding = 0
        self._size = 0
        self._regions: list[sparse.Region] | None = None
        self._global: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            yield entry

    def content(self) -> Iterator[Buffer]:
        """Yield the content of the current entry, holes of sparse files as zeros."""
        if self._regions is None:
            yield from self._stored_content(self._stored)
            return
        position = 0
        for offset, length in self._regions:
            yield from sparse.zeros(offset - position)
            yield from self._stored_content(length)
            position = offset + length
        yield from sparse.zeros(self._size - position)
        self._regions = None

    def _next(self) -> Entry | None:
        self._skip()
        meta: dict[bytes, bytes] = {}
        while True:
            block = self._take(BLOCK, end_allowed=not meta)
            if block is None or not any(block):
                return None
            _verify(block)
            flag = block[156:157]
            if flag not in b"xgLKX" or flag == b"":
                return self._entry(block, flag, self._global | meta if self._global else meta)
            size = number(block[124:136])
            if size > _META_LIMIT:
                raise Malformed(f"tar: a header of {size} bytes is larger than {_META_LIMIT}")
            self._meta(flag, self._padded(size), meta)

    def _meta(self, flag: bytes, body: bytes, meta: dict[bytes, bytes]) -> None:
        if flag == b"L":
            meta[b"path"] = body.split(b"\0", 1)[0]
        elif flag == b"K":
            meta[b"linkpath"] = body.split(b"\0", 1)[0]
        elif flag == b"g":
            self._global.update(pax_records(body))
            if sum(len(k) + len(v) for k, v in self._global.items()) > _META_LIMIT:
                raise Malformed(f"tar: global headers larger than {_META_LIMIT} bytes")
        else:
            meta.update(pax_records(body))

    def _entry(self, block: bytes, flag: bytes, meta: dict[bytes, bytes]) -> Entry:
        path = meta.get(b"path") or _name(block)
        kind = _KINDS.get(flag)
        if kind is None:
            raise Malformed(f"tar: entry {show(path)} is of the unsupported type {show(flag)}")
        if kind is Kind.FILE and path.endswith(b"/"):
            kind = Kind.DIRECTORY
        stored = decimal(meta, b"size", block[124:136]) if kind is Kind.FILE else 0
        self._stored, self._padding, self._regions = stored, -stored % BLOCK, None
        self._size = stored
        if kind is Kind.FILE and (flag == b"S" or sparse.is_sparse(meta)):
            path = meta.get(b"GNU.sparse.name") or path
            self._sparse(block, flag, meta)
        return Entry(
            path,
            kind,
            self._size,
            number(block[100:108]) & 0o7777,
            decimal(meta, b"uid", block[108:116]),
            decimal(meta, b"gid", block[116:124]),
            min(max(decimal(meta, b"mtime", block[136:148], -(2**62)), 0), _MTIME_LIMIT),
            meta.get(b"linkpath") or block[157:257].split(b"\0", 1)[0],
            number(block[329:337]) if kind in (Kind.CHAR, Kind.BLOCK) else 0,
            number(block[337:345]) if kind in (Kind.CHAR, Kind.BLOCK) else 0,
            tuple((k[len(_XATTR) :], v) for k, v in sorted(meta.items()) if k.startswith(_XATTR))
            if meta
            else (),
        )

    def _sparse(self, block: bytes, flag: bytes, meta: dict[bytes, bytes]) -> None:
        if flag == b"S":
            size, regions = sparse.gnu_map(block, lambda: self._exactly(BLOCK))
        else:
            size, regions, used = sparse.pax_map(meta, lambda: self._exactly(BLOCK))
            self._stored -= used
        sparse.check(size, regions, self._stored)
        self._size, self._regions = size, regions

    def _skip(self) -> None:
        self._regions = None
        for _ in self._stored_content(self._stored):
            pass
        if self._padding:
            self._exactly(self._padding)
            self._padding = 0

    def _stored_content(self, length: int) -> Iterator[Buffer]:
        while length:
            available = len(self._buffer) - self._position
            if not available:
                self._buffer, self._position = self._read(_READ), 0
                available = len(self._buffer)
                if not available:
                    raise Malformed("tar: unexpected end of the archive")
            count = min(available, length)
            start = self._position
            self._position += count
            self._stored -= count
            length -= count
            yield memoryview(self._buffer)[start : start + count]

    def _padded(self, size: int) -> bytes:
        return self._exactly(size + -size % BLOCK)[:size]

    def _exactly(self, size: int) -> bytes:
        data = self._take(size, end_allowed=False)
        assert data is not None
        return data

    def _take(self, size: int, *, end_allowed: bool) -> bytes | None:
        while len(self._buffer) - self._position < size:
            more = self._read(_READ)
            if not more:
                if end_allowed and self._position == len(self._buffer):
                    return None
                raise Malformed("tar: unexpected end of the archive")
            self._buffer = self._buffer[self._position :] + more
            self._position = 0
        start = self._position
        self._position += size
        return self._buffer[start : self._position]


def number(field: bytes) -> int:
    """Return a number of a header: octal digits, or base 256 when the top bit is set."""
    if field[:1] >= b"\x80":
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
    else:
        digits = field.split(b"\0", 1)[0].strip()
        if digits and not digits.isdigit():
            raise Malformed(f"tar: {show(field)} is no number")
        try:
            value = int(digits or b"0", 8)
        except ValueError:
            raise Malformed(f"tar: {show(field)} is no octal number") from None
    return value


def decimal(meta: dict[bytes, bytes], key: bytes, field: bytes, least: int = 0) -> int:
    """Return the value of a pax record if there is one, else of the header's field.

    Raises Malformed when it is below `least` or absurd.
    """
    text = meta.get(key)
    try:
        value = int(text.split(b".", 1)[0] or b"0") if text else number(field)
    except ValueError:
        raise Malformed(f"tar: {show(key)} {show(text or b'')} is no number") from None
    if not least <= value < 2**62:
        raise Malformed(f"tar: {show(key)} {value} is out of range")
    return value


def pax_records(body: bytes) -> dict[bytes, bytes]:
    """Return the records of a pax header. The repeated ones of sparse 0.0 become those of 0.1."""
    records: dict[bytes, bytes] = {}
    numbers: list[bytes] = []
    position = 0
    while position < len(body):
        blank = body.find(b" ", position, position + 8)
        length = body[position:blank]
        if blank < 0 or not length.isdigit():
            raise Malformed("tar: malformed pax header")
        end = position + int(length)
        key, equals, value = body[blank + 1 : end - 1].partition(b"=")
        if end > len(body) or end <= blank or body[end - 1 : end] != b"\n" or not equals:
            raise Malformed("tar: malformed pax header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            numbers.append(value)
        else:
            records[key] = value
        position = end
    if numbers:
        records[b"GNU.sparse.map"] = b",".join(numbers)
    return records


def show(name: bytes) -> str:
    """Return a name from an archive, quoted, harmless on a terminal and not too long."""
    text = name[:200].decode("utf-8", "replace")
    return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + '"'


def header(entry: Entry) -> bytes:
    """Return the blocks that precede the entry's content."""
    records: list[tuple[bytes, bytes]] = [(_XATTR + key, value) for key, value in entry.xattrs]
    if len(entry.path) > 100:
        records.append((b"path", entry.path))
    if len(entry.link) > 100:
        records.append((b"linkpath", entry.link))
    for key, value, limit in (
        (b"size", entry.size, 8**11),
        (b"uid", entry.uid, 8**7),
        (b"gid", entry.gid, 8**7),
    ):
        if value >= limit:
            records.append((key, b"%d" % value))
    if not records:
        return _block(entry)
    body = b"".join(_record(key, value) for key, value in records)
    extra = Entry(b"pax_header", Kind.FILE, size=len(body))
    return _block(extra, b"x") + body + bytes(-len(body) % BLOCK) + _block(entry)


def padding(size: int) -> bytes:
    """Return the zeros that follow a content of `size` bytes."""
    return bytes(-size % BLOCK)


def _block(entry: Entry, flag: bytes = b"") -> bytes:
    raw = b"".join(
        (
            entry.path[:100].ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0" % (entry.mode, entry.uid % 8**7, entry.gid % 8**7),
            b"%011o\0%011o\0        " % (entry.size % 8**11, entry.mtime_s),
            flag or entry.kind.value,
            entry.link[:100].ljust(100, b"\0"),
            b"ustar\x0000" + bytes(64),
            b"%07o\0%07o\0" % (entry.major, entry.minor),
            bytes(167),
        )
    )
    return raw[:148] + b"%06o\0 " % sum(raw) + raw[156:]


def _record(key: bytes, value: bytes) -> bytes:
    """Return one pax record; its length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    while length != rest + len(str(length)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and block[345:346] != b"\0":
        return block[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _verify(block: bytes) -> None:
    expected = number(block[148:156])
    total = sum(block) - sum(block[148:156]) + 8 * 32
    if total == expected:
        return
    signed = total - 256 * sum(1 for c in block[:148] + block[156:] if c > 127)  # very old tars
    if signed != expected:
        raise Malformed("tar: invalid header: the checksum does not match")
