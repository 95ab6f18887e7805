"""A layer's tar made safe: clean names, checked links, Docker's whiteouts as overlayfs has them.

Takes entries, gives entries; knows no files. What a hostile layer could try and what becomes of it:

- names that are absolute are taken below the root, as Docker does; names that leave it are
  refused, and so are hard links whose target is not a file of the same layer, and paths through a
  file; a path through a symlink of the same layer, which Docker follows, is left to `merge`, whose
  tree has nothing outside of it;
- `.wh.NAME` becomes a character device 0:0, `.wh..wh..opq` the attribute trusted.overlay.opaque;
  the reserved rest of `.wh..wh.*` is dropped like in Docker; `.wh.`, `.wh..` and `.wh...` are
  refused;
- a character device 0:0 in the layer is a whiteout to overlayfs, so it is one here: the same
  layer means the same whether its disk is used alone or merged with others;
- other devices are kept: they are inert in a file and belong to the guest, which is a VM;
- of the extended attributes, file capabilities and user.* are kept (not user.overlay.*);
  trusted.*, with which a layer could redirect overlayfs, and what squashfs cannot hold are
  dropped;
- sizes are bounded: of the whole, of one path, of the number of entries and of headers.

Directories and whiteouts are given last: only then is known what they are (OCI image-spec layer.md
"Whiteouts": a whiteout never hides an entry of its own layer, wherever it stands).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from hyper.core.errors import Failure
from hyper.core.units import human_size
from hyper.images.tarstream import Entry, Kind, show

OPAQUE = (b"trusted.overlay.opaque", b"y")
_WHITEOUT = b".wh."
_META = b".wh..wh."
_OPAQUE_MARKER = b".wh..wh..opq"
_NAME_LIMIT = 255
_PATH_LIMIT = 4095
_ID_LIMIT = 2**32 - 1
_XATTR_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one layer may unpack to."""

    unpacked_bytes: int = 64 * 1024**3
    entries: int = 1_000_000

    def of_stored(self, stored_bytes: int) -> "Limits":
        """Return the limits for a layer of `stored_bytes` as it came: no layer unpacks 200-fold.

        Small layers may: 1 GiB is always allowed.
        """
        bound = max(1024**3, 200 * stored_bytes)
        return replace(self, unpacked_bytes=min(self.unpacked_bytes, bound))


@dataclass(frozen=True, slots=True)
class Whiteout:
    """What a layer hides of those below: a path, or all that was in a directory (`opaque`)."""

    path: bytes
    opaque: bool = False


class Reordered(Exception):
    """The layer holds a path twice, or one through a symlink: one pass cannot know which file is
    meant. Not an error.
    """


def clean_path(name: bytes) -> bytes:
    """Return a name relative to the root without `.`, `..` and doubled slashes; b"" is the root.

    Raises Failure when it leaves the root or is longer than Linux allows.
    """
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise Failure(f"entry {show(name)} is outside of the image")
            parts.pop()
        elif part and part != b".":
            if len(part) > _NAME_LIMIT:
                raise Failure(f"entry {show(name)}: file name too long")
            parts.append(part)
    path = b"/".join(parts)
    if len(path) > _PATH_LIMIT or b"\0" in path:
        raise Failure(f"entry {show(name)}: path too long or not a path")
    return path


def clean(entries: Iterable[Entry], limits: Limits) -> Iterator[Entry | Whiteout]:
    """Yield each entry with clean names and attributes, and whiteouts as such, within limits.

    Raises Failure on what is refused.
    """
    count = unpacked = 0
    for entry in entries:
        count += 1
        unpacked += entry.size
        if count > limits.entries:
            raise Failure(f"the layer has more than {limits.entries} entries")
        if unpacked > limits.unpacked_bytes:
            bound = human_size(limits.unpacked_bytes)
            raise Failure(f"the layer unpacks to more than {bound}, at {show(entry.path)}")
        path = clean_path(entry.path)
        if _WHITEOUT in path:
            special = _special(path)
            if special is not None:
                yield from special
                continue
        if entry.kind is Kind.CHAR and entry.major == entry.minor == 0:
            yield Whiteout(path)
            continue
        if not path and entry.kind is not Kind.DIRECTORY:
            raise Failure(f"entry {show(entry.path)} is not a directory but names the root")
        yield _checked(entry, path)


def _special(path: bytes) -> Iterable[Whiteout] | None:
    """Return what a name with .wh. in it hides, None if it is an ordinary name."""
    parent, _, name = path.rpartition(b"/")
    if any(part.startswith(_WHITEOUT) for part in parent.split(b"/")):
        raise Failure(f"entry {show(path)} is below a whiteout")
    if not name.startswith(_WHITEOUT):
        return None
    if name == _OPAQUE_MARKER:
        return (Whiteout(parent, opaque=True),)
    if name.startswith(_META):
        return ()
    hidden = name.removeprefix(_WHITEOUT)
    if hidden in (b"", b".", b".."):
        raise Failure(f"invalid whiteout {show(path)}")
    return (Whiteout(parent + b"/" + hidden if parent else hidden),)


def _checked(entry: Entry, path: bytes) -> Entry:
    link = entry.link
    if entry.kind is Kind.HARDLINK:
        link = clean_path(link)
    elif entry.kind is Kind.SYMLINK:
        if not link or len(link) > _PATH_LIMIT or b"\0" in link:
            raise Failure(f"symlink {show(path)} has an empty or too long target")
    else:
        link = b""
    if entry.uid > _ID_LIMIT or entry.gid > _ID_LIMIT:
        raise Failure(f"entry {show(path)}: owner {entry.uid}:{entry.gid} is out of range")
    if entry.major > 0xFFF or entry.minor > 0xFFFFF:  # linux/kdev_t.h
        raise Failure(f"device {show(path)}: {entry.major}:{entry.minor} is out of range")
    xattrs = entry.xattrs and tuple(_kept(path, entry.xattrs))
    if path == entry.path and link == entry.link and xattrs == entry.xattrs:
        return entry
    return replace(entry, path=path, link=link, xattrs=xattrs)


def _kept(path: bytes, xattrs: tuple[tuple[bytes, bytes], ...]) -> Iterator[tuple[bytes, bytes]]:
    for key, value in xattrs:
        if key != b"security.capability" and (
            not key.startswith(b"user.") or key.startswith(b"user.overlay.") or len(key) > 255
        ):
            continue
        if len(value) > _XATTR_LIMIT:
            raise Failure(f"entry {show(path)}: an extended attribute of {len(value)} bytes")
        yield key, value


class LayerFilter:
    """Turns one layer into entries for a disk, in one pass."""

    def __init__(self) -> None:
        self._directories: dict[bytes, Entry] = {}
        self._opaque: set[bytes] = set()
        self._hidden: set[bytes] = set()
        self._kinds: dict[bytes, Kind] = {b"": Kind.DIRECTORY}
        self.entries = 0
        self.content_bytes = 0

    @property
    def needs_merge(self) -> bool:
        """Whether the disk alone cannot say all that the layer means.

        So it is when a directory is missing from the layer though something in it is not (its
        attributes are those of the layer below), or when the root itself is opaque (the root of a
        squashfs takes no attributes from a tar).
        """
        return b"" in self._opaque or any(
            kind is Kind.DIRECTORY and path and path not in self._directories
            for path, kind in self._kinds.items()
        )

    def run(self, items: Iterable[Entry | Whiteout]) -> Iterator[Entry]:
        """Yield the entries of the disk. The content of a file is to be read when it is yielded.

        Raises Failure on what is refused, Reordered when it takes two passes.
        """
        for item in items:
            self.entries += 1
            if isinstance(item, Whiteout):
                self._parents(item.path)
                if item.opaque:
                    self._opaque.add(item.path)
                    self._add_directory(item.path, None)
                else:
                    self._hidden.add(item.path)
                continue
            self._parents(item.path)
            if item.kind is Kind.DIRECTORY:
                self._add_directory(item.path, item)
                continue
            if item.path in self._kinds:
                raise Reordered
            if item.kind is Kind.HARDLINK:
                if item.link not in self._kinds and self._is_through_symlink(item.link):
                    raise Reordered
                check_link(item, self._kinds.get(item.link))
            self._kinds[item.path] = item.kind
            self.content_bytes += item.length
            yield item
        yield from self._rest()

    def _rest(self) -> Iterator[Entry]:
        for path in sorted(self._hidden):
            kind = self._kinds.get(path)
            if kind is Kind.DIRECTORY:
                self._opaque.add(path)
            elif kind is None and path:
                yield whiteout(path)
        for path in sorted(path for path, kind in self._kinds.items() if kind is Kind.DIRECTORY):
            if path:
                entry = self._directories.get(path) or implied_directory(path)
                opaque = path in self._opaque
                yield replace(entry, xattrs=(*entry.xattrs, OPAQUE)) if opaque else entry

    def _add_directory(self, path: bytes, entry: Entry | None) -> None:
        if self._kinds.setdefault(path, Kind.DIRECTORY) is not Kind.DIRECTORY:
            raise Reordered
        if entry is not None:
            self._directories[path] = entry

    def _is_through_symlink(self, path: bytes) -> bool:
        while path:
            path = path.rpartition(b"/")[0]
            if self._kinds.get(path) is Kind.SYMLINK:
                return True
        return False

    def _parents(self, path: bytes) -> None:
        while path:
            path = path.rpartition(b"/")[0]
            kind = self._kinds.get(path)
            if kind is Kind.DIRECTORY:
                return
            if kind is not None:
                raise Reordered
            self._kinds[path] = Kind.DIRECTORY


def check_link(entry: Entry, target: Kind | None) -> None:
    """Raise Failure unless a hard link's target is a file this layer has already given."""
    if target is None:
        why = f"target {show(entry.link)} is not in the same layer before it"
        raise Failure(f"hard link {show(entry.path)}: {why}")
    if target is Kind.DIRECTORY:
        raise Failure(f"hard link {show(entry.path)}: {show(entry.link)} is a directory")


def whiteout(path: bytes) -> Entry:
    """Return overlayfs's form of a whiteout (kernel Documentation/filesystems/overlayfs.rst)."""
    return Entry(path, Kind.CHAR, mode=0)


def implied_directory(path: bytes) -> Entry:
    """Return the entry of a directory an archive only implies, as Docker makes it."""
    return Entry(path, Kind.DIRECTORY, mode=0o755)
