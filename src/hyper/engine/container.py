"""Owns one container's run-time objects: its output, log, stdin and who waits for it.

It decides nothing: its pod's supervisor is the only one that changes its status.
"""

import asyncio
from collections.abc import Callable, Coroutine
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
        self.hooked, self.hook_error = True, error
        self._tell()

    def reset(self) -> None:
        """Forget everything: the run ended."""
        self.started = self.ready = self.hooked = False
        self.hook_error = ""
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(self, reached: Callable[["Readiness"], bool]) -> None:
        """Return once `reached` holds."""
        while not reached(self):
            await self._changed.wait()


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
        self._turn: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
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
        """Take over a status that was stored."""
        self.row = replace(self.row, status=status)

    def ended(self) -> None:
        """Tell who waits that a run ended; the next run gets new waiters and a new stdin."""
        loop = asyncio.get_running_loop()
        turn, self._turn = self._turn, loop.create_future()
        turn.set_result(self.exit)
        self.readiness.reset()
        self.renew_stdin()

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


async def _first(*ends: asyncio.Future[Exit]) -> Exit:
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    return done.pop().result()


def _log_file(row: ContainerRow, folder: Path) -> LogFile:
    options = dict(row.spec.log.options)
    size = options.get("max-size", "-1" if row.spec.log.driver == "json-file" else "20m")
    files = int(options.get("max-file", "1" if row.spec.log.driver == "json-file" else "5"))
    return LogFile(folder / "output.log", 0 if size == "-1" else parse_size(size), files)
