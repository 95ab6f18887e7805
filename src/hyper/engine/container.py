"""Owns one container's run-time objects: its output, log, stdin and who waits for it.

It decides nothing: its pod's supervisor is the only one that changes its status.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path

from hyper.agent.streams import InputStream
from hyper.core.errors import Conflict
from hyper.core.spec import ContainerSpec
from hyper.core.units import parse_size
from hyper.engine.events import Event
from hyper.engine.logs import LogFile
from hyper.engine.output import OutputHub
from hyper.engine.states import ACTIVE, CONTAINER, ContainerEvent, ContainerState, next_state
from hyper.engine.store import ContainerRow
from hyper.engine.views import ContainerView, Exit, Health, MountView, NetworkView, Status

RUNS = frozenset({ContainerState.RUNNING, ContainerState.PAUSED})


class Readiness:
    """What probes and hooks say of a container's run, and who waits for them."""

    def __init__(self) -> None:
        self.started = False
        self.ready = False
        self.hooked = False
        self.hook_error = ""
        self._changed = asyncio.Event()

    def probed(self, *, started: bool, ready: bool) -> None:
        """Take note of what the probes say."""
        if (started, ready) != (self.started, self.ready):
            self.started, self.ready = started, ready
            self._tell()

    def after_hook(self, error: str) -> None:
        """Take note that the post-start hook has run; `error` is empty when it went well."""
        self.hooked = True
        self.hook_error = error and f"its post-start hook failed: {error}"
        self._tell()

    def reset(self) -> None:
        """Take note that the run ended. Why its hook failed is known until the next one begins."""
        self.started = self.ready = self.hooked = False
        self._tell()

    def begin(self) -> None:
        """Forget the run before."""
        self.hook_error = ""

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(self, reached: Callable[["Readiness"], bool]) -> None:
        """Return once `reached` holds."""
        while not reached(self):
            await self._changed.wait()


class Launch:
    """Whether a container is being started: its process may run, but its status does not say."""

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self._over.set()

    @property
    def under_way(self) -> bool:
        """Whether it is."""
        return not self._over.is_set()

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Let it be under way for the block."""
        self._over.clear()
        try:
            yield
        finally:
            self._over.set()

    async def over(self) -> None:
        """Return once it is not."""
        await self._over.wait()


class Container:
    """A container in memory. `row` is what is stored of it."""

    def __init__(self, row: ContainerRow, folder: Path) -> None:
        self.row = row
        self.folder = folder
        self.hub = OutputHub(folder)
        self.log = _log_file(row, folder)
        self.stdin: asyncio.Future[InputStream] = asyncio.get_running_loop().create_future()
        self.network = NetworkView()
        self.health: Health | None = row.status.health
        self.readiness = Readiness()
        self.restarted = 0  # how many are stopping it in order to start it
        self.launch = Launch()
        self._turn: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._left: asyncio.Future[Exit] | None = None  # the turn that ended, still to be told
        self._end_feeds: Callable[[], None] = _nothing
        self._removed: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    @property
    def id(self) -> str:
        """The container's id."""
        return self.row.id

    @property
    def spec(self) -> ContainerSpec:
        """What the user asked for."""
        return self.row.spec

    @property
    def status(self) -> Status:
        """The changing part."""
        return self.row.status

    @property
    def active(self) -> bool:
        """Whether Docker would call it Running (also when paused or restarting)."""
        return self.row.status.state in ACTIVE

    def check_running(self) -> None:
        """Raise Conflict, in Docker's words, unless its process runs or is paused."""
        state = self.row.status.state
        if state is ContainerState.RESTARTING:
            raise Conflict(
                f"Container {self.id} is restarting, wait until the container is running"
            )
        if state not in ACTIVE:
            raise Conflict(f"Container {self.id} is not running")

    @property
    def hostname(self) -> str:
        """Its own host name, by default the short id as with Docker."""
        return self.row.spec.hostname or self.row.id[:12]

    @property
    def mounts(self) -> tuple[MountView, ...]:
        """The mounts as resolved at create."""
        return self.row.mounts

    @property
    def rw_disk(self) -> Path:
        """The file of the writable disk."""
        return self.folder / "rw.ext4"

    def after(self, event: ContainerEvent, **changes: object) -> Status:
        """Return the status after `event`. Raises Conflict when it is not possible now."""
        state = next_state(CONTAINER, self.status.state, event, f"container {self.id[:12]}")
        return replace(self.status, state=state, **changes)  # type: ignore[arg-type]

    def set_status(self, status: Status) -> None:
        """Take over a status that was stored.

        Who comes once it does not run any more waits for, and is attached to, the next run.
        """
        ran = self.status.state in RUNS
        self.row = replace(self.row, status=status)
        if ran and status.state not in RUNS:
            self._leave()

    def _leave(self) -> None:
        self._left, self._turn = self._turn, asyncio.get_running_loop().create_future()
        self._end_feeds = self.hub.turn_over()
        self.renew_stdin()

    def ended(self) -> None:
        """Tell who waits for the end of the run, or is attached to it, that it ended."""
        if self._left is None:
            self._leave()
        left, self._left = self._left, None
        assert left is not None
        self._end_feeds()
        left.set_result(self.exit)
        self.readiness.reset()

    def renew_stdin(self) -> None:
        """Forget the stdin of the run that ended."""
        if self.stdin.done():
            self.stdin = asyncio.get_running_loop().create_future()

    def removed(self) -> None:
        """Tell who waits that the container is gone."""
        if not self._removed.done():
            self._removed.set_result(Exit(self.status.exit_code))  # moby: SetRemoved clears it
        self.hub.end()

    @property
    def exit(self) -> Exit:
        """How the last run ended."""
        return Exit(self.status.exit_code, self.status.error)

    @property
    def turn(self) -> object:
        """What stands for the present run, or the next if none is: each has another."""
        return self._turn

    async def last_exit(self) -> Exit:
        """Return how the last run ended, once everybody is told."""
        return self.exit if self._left is None else await _first(self._left, self._removed)

    def next_exit(self) -> Coroutine[None, None, Exit]:
        """Wait, from the moment of this call, for the end of the present or next run.

        Gives the last end if the container is removed instead.
        """
        return _first(self._turn, self._removed)

    async def removal(self) -> Exit:
        """Return the last exit status once the container is removed."""
        return await asyncio.shield(self._removed)

    def event(self, action: str, **attributes: str) -> Event:
        """Return an event about this container with the attributes Docker gives it."""
        own = (
            {"image": self.spec.image, "name": self.row.name} | dict(self.spec.labels) | attributes
        )
        if self.spec.name_in_pod:
            own["pod"] = self.row.pod_id
        return Event("container", action, self.id, tuple(own.items()))

    def view(
        self, exec_ids: tuple[str, ...] = (), linked_as: tuple[str, ...] = ()
    ) -> ContainerView:
        """Return a snapshot."""
        row = self.row
        return ContainerView(
            id=row.id,
            name=row.name,
            pod_id=row.pod_id,
            created_ns=row.created_ns,
            spec=row.spec,
            command=row.command,
            status=row.status,
            mounts=row.mounts,
            network=self.network,
            exec_ids=exec_ids,
            linked_as=linked_as,
            log_path=str(self.log.path) if row.spec.log.driver != "none" else "",
            health=self.health,
            started=self.readiness.started,
            ready=self.readiness.ready,
        )


def _nothing() -> None:
    return None


async def _first(*ends: asyncio.Future[Exit]) -> Exit:
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    return done.pop().result()


def _log_file(row: ContainerRow, folder: Path) -> LogFile:
    options = dict(row.spec.log.options)
    size = options.get("max-size", "-1" if row.spec.log.driver == "json-file" else "20m")
    files = int(options.get("max-file", "1" if row.spec.log.driver == "json-file" else "5"))
    return LogFile(folder / "output.log", 0 if size == "-1" else parse_size(size), files)
