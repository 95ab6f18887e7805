"""Owns the state of one visit: who uses a container's files in which VM. See visits.py."""

import asyncio

from hyper.engine.machine import Machine


class Visit:
    """The files of a container that does not run, mounted in `machine`; `own`: made for this."""

    def __init__(self, machine: Machine, own: bool) -> None:
        self.machine = machine
        self.own = own
        self.ended = False
        self._users = 0
        self._changed = asyncio.Event()

    @property
    def used(self) -> bool:
        """Whether somebody uses it now."""
        return self._users > 0

    def enter(self) -> None:
        """Begin to use it."""
        self._users += 1
        self._changed.set()

    def leave(self) -> None:
        """Use it no more."""
        self._users -= 1
        self._changed.set()

    def end(self) -> None:
        """Take note that its VM is gone, or the container there."""
        self.ended = True
        self._changed.set()

    async def until(self, used: bool) -> None:
        """Return when it is used, or not used, or has ended."""
        while not self.ended and self.used is not used:
            self._changed.clear()
            await self._changed.wait()


class Visitor:
    """Somebody who asks for a visit, and may have gone before it begins."""

    def __init__(self) -> None:
        self._visit: Visit | None = None
        self._left = False

    def enter(self, visit: Visit) -> None:
        """Use a visit, unless gone already."""
        if not self._left:
            self._visit = visit
            visit.enter()

    def leave(self) -> None:
        """Go, and use the visit no more."""
        self._left = True
        if self._visit is not None:
            self._visit.leave()
