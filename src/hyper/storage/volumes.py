"""Named volumes as directories of the host: <root>/<name>/_data.

Owns that tree. What is inside a volume was written by containers and is hostile: no symlink in it
is followed. Labels and users of a volume are the engine's (engine/store).
"""

import os
import stat
from pathlib import Path

from hyper.core.errors import Conflict, NotFound
from hyper.core.ids import check_name
from hyper.host.files import disk_errors, private_directory, remove_tree, sync_directory
from hyper.host.threads import in_thread

MAX_DEPTH = 256


class Volumes:
    """The volumes below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, name: str) -> Path:
        """Return where a volume's files are, whether or not it exists; raises InvalidArgument."""
        return self._root / check_name(name, "volume") / "_data"

    def names(self) -> list[str]:
        """Return the names of all volumes, sorted."""
        try:
            with os.scandir(self._root) as entries:
                found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        return sorted(name for name in found if not name.startswith("."))

    def exists(self, name: str) -> bool:
        """Return whether there is a volume of this name; raises InvalidArgument."""
        try:
            return stat.S_ISDIR(self.path(name).lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def create(self, name: str) -> Path:
        """Return where the files of the volume are, made if there is none of this name.

        Raises InvalidArgument, Unavailable when the disk is full.
        """
        data = self.path(name)
        private_directory(self._root)
        with disk_errors(data, "create volume"):
            if data.parent.is_symlink() or data.is_symlink():
                raise Conflict(f"{data} is a symbolic link, not a volume of ours")
            data.mkdir(parents=True, exist_ok=True)
            data.chmod(0o755)
            sync_directory(data.parent)
            sync_directory(self._root)
        return data

    async def remove(self, name: str) -> None:
        """Remove a volume and its files. Raises NotFound, Failure."""
        data = self.path(name)
        if not await in_thread("remove volume", _remove, data.parent):
            raise NotFound("volume", name)

    async def usage_bytes(self, name: str) -> int:
        """Return the size of a volume's files, each counted once. Raises NotFound."""
        if not self.exists(name):
            raise NotFound("volume", name)
        return await in_thread("measure volume", _usage_bytes, self.path(name))


def _remove(directory: Path) -> bool:
    found = os.path.lexists(directory)
    remove_tree(directory)
    return found


def _usage_bytes(root: Path) -> int:
    """Sum up file sizes; what is deeper than MAX_DEPTH is left out, so that open files stay few."""
    total = 0
    seen: set[int] = set()
    pending = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)]
    names: list[list[str]] = [os.listdir(pending[0])]
    try:
        while pending:
            if not names[-1]:
                os.close(pending.pop())
                names.pop()
                continue
            entry = names[-1].pop()
            try:
                info = os.stat(entry, dir_fd=pending[-1], follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    if len(pending) < MAX_DEPTH:
                        pending.append(_open_inside(entry, pending[-1]))
                        names.append([])
                        names[-1] = os.listdir(pending[-1])
                elif info.st_ino not in seen:
                    if info.st_nlink > 1:
                        seen.add(info.st_ino)
                    total += info.st_size
            except OSError:
                continue  # gone meanwhile, or not ours to enter
    finally:
        for descriptor in pending:
            os.close(descriptor)
    return total


def _open_inside(name: str, dir_fd: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, dir_fd=dir_fd)
