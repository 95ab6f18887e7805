"""Owns execs: additional processes in running containers. They live in memory only, as Docker's
do.
"""

import asyncio
from collections.abc import Callable

from hyper.agent.streams import InputStream
from hyper.core.spec import ExecSpec
from hyper.engine.container import Container
from hyper.engine.events import Event
from hyper.engine.output import OutputHub
from hyper.engine.views import ExecView


class Exec:
    """One exec, from create until its container is removed."""

    def __init__(self, exec_id: str, container: Container, spec: ExecSpec) -> None:
        self.id = exec_id
        self.container = container
        self.spec = spec
        self.hub = OutputHub(container.folder)
        self.stdin: asyncio.Future[InputStream] = asyncio.get_running_loop().create_future()
        self.process_id = 0
        self.pid = 0
        self.exit_code: int | None = None
        self._done = asyncio.Event()
        self._tell: Callable[[Event], None] | None = None

    @property
    def started(self) -> bool:
        """Whether it was started, now or earlier."""
        return self.process_id != 0

    def note(self, step: str, **attributes: str) -> Event:
        """Return an event about it, with the command in its name as Docker has it."""
        named = step in ("exec_create", "exec_start")
        action = f"{step}: {' '.join(self.spec.command)}" if named else step
        return self.container.event(action, execID=self.id, **attributes)

    def ended(self, exit_code: int) -> None:
        """Take note of its end."""
        self.exit_code = exit_code
        self.pid = 0
        self.hub.end()
        self._done.set()
        if self._tell is not None:
            self._tell(self._die())

    def follow(self, tell: Callable[[Event], None]) -> None:
        """Have `tell` called with the event of its end; at once when it has ended already."""
        if self._done.is_set():
            tell(self._die())
        else:
            self._tell = tell

    def _die(self) -> Event:
        return self.note("exec_die", exitCode=str(self.exit_code))

    async def wait(self) -> int:
        """Return its exit status when it has ended."""
        await self._done.wait()
        assert self.exit_code is not None
        return self.exit_code

    def view(self) -> ExecView:
        """Return a snapshot."""
        running = self.started and self.exit_code is None
        return ExecView(self.id, self.container.id, self.spec, running, self.exit_code, self.pid)
