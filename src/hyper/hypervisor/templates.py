"""The directory of templates: finding, making, using and evicting them. Boots nothing itself.

    <root>/<key>/           complete: it appears by rename, synced before
    <root>/.making-<key>/   being made by the daemon that holds its lock (flock(2)); otherwise the
                            rest of a crash, taken over by whoever makes this template next

Several daemons may share the directory. A template may be evicted while another daemon uses it: its
clones keep the memory they mapped, and the next one is booted instead.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from hyper.host.files import private_directory, remove_tree, sync_directory
from hyper.host.threads import in_thread

_MAKING = ".making-"


@dataclass(frozen=True, slots=True)
class Template:
    """A complete template: what it takes on disk, and when it was last used (wall clock)."""

    key: str
    path: Path
    size_bytes: int
    used_s: float


class Templates:
    """Owns the directory `root`."""

    def __init__(self, root: Path) -> None:
        self._root = private_directory(root)

    def find(self, key: str) -> Path | None:
        """Return the directory of a complete template, None if there is none."""
        path = self._root / key
        return path if path.is_dir() else None

    def use(self, key: str) -> None:
        """Note that a template is used now, if there is one."""
        with contextlib.suppress(OSError):  # no more than the order of eviction depends on it
            os.utime(self._root / key)

    @contextlib.asynccontextmanager
    async def making(self, key: str) -> AsyncIterator[Path | None]:
        """Give an empty directory that becomes the template when the block succeeds.

        None if there already is one, or another daemon is making it.
        """
        private_directory(self._root)  # a user may have removed it, for its space
        path = self._root / f"{_MAKING}{key}"
        with _locked(path) as locked:
            if not locked or self.find(key) is not None:
                yield None
                return
            try:
                await in_thread("clear template", _clear, path)
                yield path
                await in_thread("sync template", _sync, path)
                with contextlib.suppress(FileExistsError):
                    path.rename(self._root / key)
                sync_directory(self._root)
            finally:
                await in_thread("remove template", remove_tree, path)

    def remove(self, key: str) -> None:
        """Remove a template; running clones are not affected."""
        doomed = self._root / f"{_MAKING}{key}-{time.monotonic_ns()}"
        with contextlib.suppress(FileNotFoundError):
            (self._root / key).rename(doomed)  # at once, so nobody finds half of it
            remove_tree(doomed)

    def evict(self, size_limit_bytes: int, age_limit_s: float) -> list[str]:
        """Remove templates unused for longer, then the least recently used above the size limit.

        Returns their keys. The rests of crashes go, too.
        """
        evicted = []
        left = size_limit_bytes
        for template in sorted(self.list(), key=lambda item: item.used_s, reverse=True):
            left -= template.size_bytes
            if left < 0 or time.time() - template.used_s > age_limit_s:
                self.remove(template.key)
                evicted.append(template.key)
        for path in self._root.glob(f"{_MAKING}*"):
            with _locked(path) as locked:
                if locked:
                    remove_tree(path)
        return evicted

    def list(self) -> tuple[Template, ...]:
        """Return the complete templates."""
        found: list[Template] = []
        if not self._root.is_dir():
            return ()
        for path in self._root.iterdir():
            # What is no folder is not ours.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if not path.name.startswith("."):
                    size = sum(file.stat().st_blocks * 512 for file in path.iterdir())
                    found.append(Template(path.name, path, size, path.stat().st_mtime))
        return tuple(found)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Make and lock the directory `path`; False if somebody else holds it."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between open and lock the holder may have renamed it: then it is a template now.
            locked = path.stat().st_ino == os.fstat(descriptor).st_ino
        except (BlockingIOError, FileNotFoundError):
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    for entry in path.iterdir():
        remove_tree(entry)


def _sync(path: Path) -> None:
    for entry in path.iterdir():
        with open(entry, "rb") as file:
            os.fsync(file.fileno())
    sync_directory(path)
