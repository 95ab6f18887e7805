"""Files and directories of the daemon: written whole or not at all, private, copied sparsely.

All functions block; callers on the loop use `threads.in_thread` for what may take long.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from hyper.core.errors import Failure, Forbidden, Unavailable
from hyper.core.units import human_size

FICLONE = 0x40049409  # linux/fs.h
_COPY_BYTES = 1 << 30


@contextlib.contextmanager
def disk_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the OSErrors of writing below `path` into errors a user understands.

    Raises Unavailable when the disk or quota is full, else Failure. `doing` completes "cannot ...".
    """
    try:
        yield
    except OSError as err:
        why = os.strerror(err.errno) if err.errno else str(err)
        if err.errno == errno.ENOSPC:
            with contextlib.suppress(OSError):
                why = f"{why}: {human_size(free_bytes(path))} free"
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(f"cannot {doing}: {path}: {why}; free some space") from err
        raise Failure(f"cannot {doing}: {path}: {why}") from err


def free_bytes(path: Path) -> int:
    """Return the bytes this user may still write to the file system `path` is, or would be, on."""
    while not path.exists() and path != path.parent:
        path = path.parent
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize


def private_directory(path: Path) -> Path:
    """Make `path`, and what is missing above it, a directory only we can enter (0700).

    Raises Forbidden if it is a symlink, no directory or another user's: in /tmp anyone may have
    made it.
    """
    with disk_errors(path, "create directory"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as err:
            if err.errno in (errno.ELOOP, errno.ENOTDIR):
                raise Forbidden(f"{path} is not a directory of ours: remove it") from err
            raise
        try:
            info = os.fstat(descriptor)
            if info.st_uid != os.geteuid():
                raise Forbidden(f"{path} belongs to user {info.st_uid}, not to us: remove it")
            if stat.S_IMODE(info.st_mode) != 0o700:
                os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)
    return path


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a crash of the host."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def atomic_write(path: Path, data: bytes, *, mode: int = 0o600, fsync: bool = True) -> None:
    """Make `path` hold `data`: a reader, and a crash, see the old file or the new one.

    Raises Unavailable when the disk is full, Failure otherwise.
    """
    with disk_errors(path, "write"), _replacing(path, mode) as descriptor:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if fsync:
            os.fsync(descriptor)
    if fsync:
        with disk_errors(path, "write"):
            sync_directory(path.parent)


def sparse_copy(source: Path, target: Path, *, mode: int = 0o600) -> None:
    """Copy a file without its holes, sharing blocks where the file system can (FICLONE).

    The target appears complete or not at all, and is not synced. Raises Unavailable, Failure.
    """
    with (
        disk_errors(target, f"copy {source} to"),
        open(source, "rb", buffering=0) as reader,
        _replacing(target, mode) as descriptor,
    ):
        try:
            fcntl.ioctl(descriptor, FICLONE, reader.fileno())
        except OSError:  # EOPNOTSUPP, EXDEV, EINVAL, ENOTTY: whatever the reason, copy
            _copy_extents(reader.fileno(), descriptor)


def remove_tree(path: Path) -> None:
    """Remove `path` and all below it, following no symlink; nothing happens if there is none.

    Takes trees of any depth and directories their owner cannot enter: a container made them. Raises
    Failure.
    """
    with disk_errors(path, "remove"):
        try:
            if not stat.S_ISDIR(path.lstat().st_mode):
                path.unlink()
                return
        except FileNotFoundError:
            return
        root = _open_directory(path.name, dir_fd := os.open(path.parent, os.O_PATH | os.O_CLOEXEC))
        try:
            _empty(root)
            os.rmdir(path.name, dir_fd=dir_fd)
        finally:
            os.close(root)
            os.close(dir_fd)


def _empty(root: int) -> None:
    """Remove all below the directory `root`.

    A directory found deeper is first moved up into `root`, so neither recursion nor the number of
    open descriptors grows with the depth of the tree.
    """
    serial = 0
    prefix = f".removing-{secrets.token_hex(4)}-"
    while names := os.listdir(root):
        for name in names:
            if not _is_directory(name, root):
                os.unlink(name, dir_fd=root)
                continue
            directory = _open_directory(name, root)
            try:
                for entry in os.listdir(directory):
                    if _is_directory(entry, directory):
                        serial += 1
                        os.close(_open_directory(entry, directory))
                        os.rename(entry, f"{prefix}{serial}", src_dir_fd=directory, dst_dir_fd=root)
                    else:
                        os.unlink(entry, dir_fd=directory)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=root)


def _is_directory(name: str, dir_fd: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)


def _open_directory(name: str, dir_fd: int) -> int:
    """Open a directory, no symlink, for changing it; make it ours to enter if need be."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    found = os.open(name, os.O_PATH | flags, dir_fd=dir_fd)
    try:
        itself = f"/proc/self/fd/{found}"
        info = os.fstat(found)
        if info.st_mode & 0o700 != 0o700 and info.st_uid == os.geteuid():
            os.chmod(itself, 0o700)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(found)


@contextlib.contextmanager
def _replacing(path: Path, mode: int) -> Iterator[int]:
    """Give a new file's descriptor; it becomes `path` if the block succeeds, else vanishes."""
    temporary = path.parent / f".{path.name[:200]}.{secrets.token_hex(6)}"
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(descriptor, mode)  # whatever the umask
            yield descriptor
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def data_ranges(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield where a file has data, as (first byte, byte after the last): all that is no hole."""
    size = os.fstat(descriptor).st_size
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as err:
            if err.errno == errno.ENXIO:  # only a hole up to the end
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def _copy_extents(source: int, target: int) -> None:
    os.ftruncate(target, os.fstat(source).st_size)
    for position, end in data_ranges(source):
        while position < end:
            position += _copy_range(source, target, position, end - position)


def _copy_range(source: int, target: int, position: int, count: int) -> int:
    try:
        done = os.copy_file_range(source, target, min(count, _COPY_BYTES), position, position)
    except OSError as err:
        if err.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        done = os.pwrite(target, os.pread(source, min(count, 1 << 20), position), position)
    if done == 0:
        raise Failure(f"the file shrank while it was copied, at byte {position}")
    return done


def is_empty_directory(path: Path) -> bool:
    """Return whether a directory is empty; true as well when it cannot be looked into."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except PermissionError:
        return True
    except OSError:
        return False
