"""The guest's console: a pipe the VMM writes into, and the last bytes of it in memory.

A pipe and no file, so that a guest that prints for ever fills no disk: it holds 64 KiB, we keep the
last `TAIL_BYTES`, and a guest that prints faster than we read waits for us, character by character,
without stopping its VMM. The pipe has a name, so a later daemon finds it; while no daemon reads,
what does not fit is lost. VMM's own messages (stderr) come the same way.
"""

import asyncio
import contextlib
import os
from pathlib import Path

TAIL_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024
_REST_S = 0.05


class Console:
    """Owns our end of the pipe. Create it on a running loop; close it."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._tail = bytearray()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._timer: asyncio.TimerHandle | None = None
        self._watch()

    def tail(self) -> str:
        """Return the last of what was printed up to now."""
        while self._descriptor >= 0 and self._take():
            pass
        return self._tail[-TAIL_BYTES:].decode(errors="replace").replace("\0", "")

    def close(self) -> None:
        """Stop reading; what was read stays."""
        if self._descriptor < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    def _watch(self) -> None:
        self._timer = None
        self._loop.add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        """Take one piece, then rest: a flood costs us 20 wake-ups a second, not a CPU."""
        self._loop.remove_reader(self._descriptor)
        if self._take() or self._tail:
            self._timer = self._loop.call_later(_REST_S, self._watch)

    def _take(self) -> bool:
        chunk = b""
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._descriptor, _READ_BYTES)
        self._tail += chunk
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        return bool(chunk)


def make_pipe(path: Path) -> int:
    """Make the pipe at `path` and return the end for the VMM.

    It is open for reading too: so a write never fails for want of a reader. Its mode lets a VMM of
    another user open it again through /proc/self/fd; the directory is what keeps others out.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    os.mkfifo(path)
    path.chmod(0o666)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
