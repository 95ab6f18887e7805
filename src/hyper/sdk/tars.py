"""Tar archives of our files for the daemon, and the daemon's unpacked safely. Talks to nobody.

What the daemon sends comes from a container, so it is hostile: nothing outside the destination is
written, whatever names and links the archive has.
"""

import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator

from hyper.core.errors import InvalidArgument

_PIECE_BYTES = 1 << 20
_END = bytes(2 * tarfile.BLOCKSIZE)


def pack(source: str, name: str, keep_owner: bool = False) -> Iterator[bytes]:
    """Yield a tar archive of the file or directory `source`, which is called `name` in it.

    Raises OSError when something cannot be read.
    """
    links: dict[tuple[int, int], str] = {}
    for path, inside in _walk(source, name):
        yield from _member(path, inside, keep_owner, links)
    yield _END


def pack_bytes(name: str, data: bytes, mode: int = 0o644) -> Iterator[bytes]:
    """Yield a tar archive of one file with the contents `data`."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    yield member.tobuf(tarfile.PAX_FORMAT)
    yield data
    yield bytes(-len(data) % tarfile.BLOCKSIZE)
    yield _END


def _walk(source: str, name: str) -> Iterator[tuple[str, str]]:
    yield source, name
    if os.path.islink(source) or not os.path.isdir(source):
        return
    for entry in sorted(os.listdir(source)):
        yield from _walk(os.path.join(source, entry), f"{name}/{entry}")


def _member(
    path: str, name: str, keep_owner: bool, links: dict[tuple[int, int], str]
) -> Iterator[bytes]:
    status = os.lstat(path)
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    if keep_owner:
        member.uid, member.gid = status.st_uid, status.st_gid
    key = (status.st_dev, status.st_ino)
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif not stat.S_ISREG(status.st_mode):
        return  # sockets, pipes and devices of this host mean nothing there
    elif status.st_nlink > 1 and key in links:
        member.type, member.linkname = tarfile.LNKTYPE, links[key]
    else:
        links[key] = name
        member.size = status.st_size
    yield member.tobuf(tarfile.PAX_FORMAT)
    if member.size:
        yield from _contents(path, member.size)


def _contents(path: str, size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes and the padding, even if the file changes while it is read."""
    left = size
    with open(path, "rb", buffering=0) as source:
        while left:
            data = source.read(min(left, _PIECE_BYTES)) or bytes(min(left, _PIECE_BYTES))
            left -= len(data)
            yield data
    yield bytes(-size % tarfile.BLOCKSIZE)


class PieceReader:
    """A file object over an iterator of pieces, for tarfile; counts what it gave."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, less only at the end."""
        parts = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            length += len(piece)
        data = b"".join(parts)
        if size < 0:
            size = len(data)
        self._rest = data[size:]
        self.count += min(size, len(data))
        return data[:size]


def unpack(
    pieces: Iterator[bytes],
    directory: str,
    rename: Callable[[str], str] = lambda name: name,
    keep_owner: bool = False,
) -> int:
    """Unpack an archive into `directory`; `rename` gives each member's name there ("" skips it).

    Return the archive's size in bytes. Raises InvalidArgument on an archive that reaches outside,
    OSError when something cannot be written.
    """
    reader = PieceReader(pieces)
    root = os.path.realpath(directory)
    directories: list[tuple[str, tarfile.TarInfo]] = []
    try:
        with tarfile.open(fileobj=reader, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                name = rename(member.name)
                if not name:
                    continue
                path = _inside(root, name)
                _extract(archive, member, path, lambda link: _inside(root, rename(link)))
                _own(path, member, keep_owner)
                if member.isdir():
                    directories.append((path, member))
    except tarfile.TarError as err:
        raise InvalidArgument(f"the daemon sent a broken archive: {err}") from err
    for path, member in reversed(directories):  # a read-only directory is filled first
        os.chmod(path, member.mode & 0o7777)
        os.utime(path, (member.mtime, member.mtime))
    return reader.count


def _inside(root: str, name: str) -> str:
    """Return the path of `name` below `root`, whose parents exist there. Raises InvalidArgument."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"the archive has a name outside of its root: {name!r}")
    parent = os.path.join(root, *parts[:-1])
    real = os.path.realpath(parent)
    if real != root and not real.startswith(root.rstrip("/") + "/"):
        raise InvalidArgument(f"the archive reaches outside through a symbolic link: {name!r}")
    os.makedirs(real, exist_ok=True)
    return os.path.join(real, parts[-1]) if parts else root


def _extract(
    archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, linked: Callable[[str], str]
) -> None:
    if member.isdir():
        if os.path.islink(path) or not os.path.isdir(path):
            os.mkdir(path, 0o700)
        return
    if os.path.lexists(path):
        os.unlink(path)
    if member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        os.link(linked(member.linkname), path, follow_symlinks=False)
    elif member.isreg():
        source = archive.extractfile(member)
        assert source is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb") as target:
            shutil.copyfileobj(source, target, _PIECE_BYTES)
            os.fchmod(target.fileno(), member.mode & 0o777)
        os.utime(path, (member.mtime, member.mtime))
    elif member.isfifo():
        os.mkfifo(path, member.mode & 0o777)
    else:
        raise InvalidArgument(f"{member.name}: device files are not copied")


def _own(path: str, member: tarfile.TarInfo, keep: bool) -> None:
    if keep and os.getuid() == 0:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
