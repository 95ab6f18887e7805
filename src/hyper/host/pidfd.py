"""Processes as descriptors (pidfd_open(2)): waiting and signalling without a race on the number.

Does not start processes (`process`); the process may be anybody's child, e.g. a VMM that an earlier
daemon started.
"""

import asyncio
import contextlib
import os
import select
import signal
from pathlib import Path
from types import TracebackType

KILL_WAIT_S = 10.0


def start_time_ticks(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot (proc(5), stat field 22), None if gone.

    A number and a start time together name one process for ever: numbers are used again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses and may itself hold blanks and parentheses.
    fields = stat.rpartition(b")")[2].split()
    return int(fields[22 - 3])


class PidHandle:
    """One process, ours or not; it stays the same process when its number is used again."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._exited: asyncio.Future[None] | None = None

    @classmethod
    def open(cls, pid: int, start_ticks: int | None = None) -> "PidHandle | None":
        """Return a handle of process `pid`, or None if it is gone or started at another time."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        handle = cls(pid, descriptor)
        # Checked after the descriptor is open: from then on the number cannot change its meaning.
        if start_ticks is not None and start_time_ticks(pid) != start_ticks:
            handle.close()
            return None
        return handle

    def __enter__(self) -> "PidHandle":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.Signals(number))

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        if self._descriptor < 0:
            return False
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        return not waiting.poll(0)

    async def wait_exit(self) -> None:
        """Return when the process has ended (its parent may not have reaped it yet)."""
        loop = asyncio.get_running_loop()
        if self._exited is None:
            self._exited = loop.create_future()
            loop.add_reader(self._descriptor, self._ended)
        await asyncio.shield(self._exited)

    async def terminate(self, grace_s: float = 2.0) -> None:
        """End the process: SIGTERM, after `grace_s` SIGKILL; 0 kills at once.

        Raises TimeoutError when even SIGKILL does not end it (stuck in the kernel).
        """
        if grace_s > 0:
            self.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    return await self.wait_exit()
        self.send_signal(signal.SIGKILL)
        async with asyncio.timeout(KILL_WAIT_S):
            await self.wait_exit()

    def close(self) -> None:
        """Let go of the process, which lives on."""
        if self._descriptor < 0:
            return
        if self._exited is not None and not self._exited.done():
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._exited.cancel()
        os.close(self._descriptor)
        self._descriptor = -1

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        if self._exited is not None and not self._exited.done():
            self._exited.set_result(None)
