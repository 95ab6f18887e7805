"""Owns a file that holds some MiB of the disk, to be given up when the disk is full.

So the state database can be written then, and what takes the space be removed. It is given up piece
by piece: what is free at once may be taken by a VM that waits for it.
"""

import logging
import os
from pathlib import Path

from hyper.core.units import MIB
from hyper.host.files import free_bytes

SIZE_BYTES, PIECE_BYTES = 8 * MIB, 1 * MIB
_LEFT_BYTES = 32 * MIB
_log = logging.getLogger("engine.reserve")


class Reserve:
    """One file, really allocated. Methods block; failing ones change nothing and are logged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.whole = False

    def take(self) -> None:
        """Make it whole, unless that would leave the disk short."""
        try:
            before = self._size()
            if free_bytes(self._path.parent) < SIZE_BYTES - before + _LEFT_BYTES:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, SIZE_BYTES)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
            finally:
                os.close(descriptor)
        except OSError as err:
            _log.debug("no space is held in reserve: %s", err)
            return
        self.whole = True

    def give(self) -> bool:
        """Give up a piece of it, and tell whether there was one."""
        self.whole = False
        try:
            if not (size := self._size()):
                return False
            left = max(0, size - PIECE_BYTES)
            os.truncate(self._path, left)
        except OSError as err:
            _log.warning("the space held in reserve cannot be given up: %s", err)
            return False
        _log.warning("no space for the state database: of its reserve %d KiB are left", left >> 10)
        return True

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0
