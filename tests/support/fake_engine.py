"""An engine in memory for tests of the API: the real views, feeds and errors, made-up processes.

A container's command is one of `PROGRAMS`: echo, cat, true, false, sleep, sh -c exit N, both...
"""

import asyncio
import dataclasses
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time_ns
from types import SimpleNamespace
from typing import Any

from hyper.agent import messages as guest
from hyper.core.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    NotModified,
    Unavailable,
    Unsupported,
)
from hyper.core.ids import check_name, new_id, new_name
from hyper.core.metrics import Metrics
from hyper.core.signals import signal_number
from hyper.core.spec import (
    ContainerSpec,
    ExecSpec,
    MountKind,
    NetworkSpec,
    Resources,
    RestartPolicy,
)
from hyper.engine.events import Event, EventFeed
from hyper.engine.logs import LogRecord
from hyper.engine.membership import Member
from hyper.engine.memory import Memory
from hyper.engine.networks import NetworkRegistry, predefined_id
from hyper.engine.output import Feed, OutputHub
from hyper.engine.plan import resolve_command
from hyper.engine.sessions import Processes
from hyper.engine.settings import Places, Settings
from hyper.engine.states import ACTIVE, ContainerState
from hyper.engine.system import SystemInfo
from hyper.engine.views import (
    ContainerView,
    ExecView,
    Exit,
    MountView,
    NetworkInfo,
    NetworkView,
    Status,
)
from hyper.hypervisor.check import Check
from hyper.hypervisor.driver import Capabilities
from hyper.network.networks import Joined
from hyper.network.user import UserNetworks
from tests.support.fake_files import FakeFiles
from tests.support.fake_images import FakeImages, FakeVolumes

S = ContainerState


class Process:
    """A made-up process: what it prints goes to `hub`, what it is sent comes by `read`."""

    def __init__(self, args: tuple[str, ...], tty: bool) -> None:
        self.args = args
        self.tty = tty
        self.hub = OutputHub()
        self.log: list[LogRecord] = []
        self.size = (0, 0)
        self.left_by_keys = False
        self.signal: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = False

    async def print(self, data: bytes, stream: int = 1) -> None:
        stream = 1 if self.tty else stream
        self.log.append(LogRecord(stream, time_ns(), data))
        await self.hub.publish(stream, data)

    async def read(self) -> bytes:
        return await self._input.get()

    def feed(self, data: bytes) -> None:
        if self.closed:
            raise Unavailable("stdin is closed")
        self.closed = not data
        self._input.put_nowait(data)

    async def run(self) -> int:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(PROGRAMS[posixpath.basename(self.args[0])](self))
            await asyncio.wait({work, self.signal}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                return 128 + self.signal.result()
        return work.result()


async def _echo(process: Process) -> int:
    await process.print(" ".join(process.args[1:]).encode() + b"\n")
    return 0


async def _cat(process: Process) -> int:
    while data := await process.read():
        await process.print(data)
    return 0


async def _both(process: Process) -> int:
    await process.print(b"out\n", 1)
    await process.print(b"err\n", 2)
    return 3


async def _sleep(process: Process) -> int:
    await asyncio.Event().wait()
    return 0


async def _shell(process: Process) -> int:
    words = process.args[-1].split()
    if words[0] == "echo":
        await process.print(" ".join(words[1:]).encode() + b"\n")
        return 0
    return int(words[1]) if words[0] == "exit" else await _sleep(process)


async def _flood(process: Process) -> int:
    for _ in range(int(process.args[1])):
        await process.print(b"x" * 65535 + b"\n")
    return 0


async def _status(number: int) -> int:
    return number


PROGRAMS: dict[str, Callable[[Process], Coroutine[Any, Any, int]]] = {
    "echo": _echo,
    "cat": _cat,
    "both": _both,
    "sleep": _sleep,
    "sh": _shell,
    "flood": _flood,
    "true": lambda process: _status(0),
    "false": lambda process: _status(1),
}


@dataclass(slots=True)
class FakeContainer:
    """A container and its present process."""

    view: ContainerView
    process: Process
    turn: "asyncio.Future[Exit]"
    removed: "asyncio.Future[Exit]"


@dataclass(slots=True)
class FakeSession:
    """A client's session with a made-up process."""

    process: Process
    output: Feed
    tty: bool
    closes_stdin: bool

    async def write(self, data: bytes) -> None:
        self.process.feed(data)

    async def close_stdin(self) -> None:
        if self.closes_stdin and not self.process.closed and not self.tty:
            self.process.feed(b"")

    def detach(self, *, keys: bool = False) -> None:
        self.output.close()
        self.process.left_by_keys |= keys


class FakeContainers:
    """Containers in a dictionary; verbs and texts are the real engine's."""

    def __init__(self, engine: "FakeEngine") -> None:
        self._engine = engine
        self.all: dict[str, FakeContainer] = {}

    def find(self, reference: str) -> FakeContainer:
        name = reference.removeprefix("/")
        for found in self.all.values():
            if reference == found.view.id or name == found.view.name:
                return found
        matches = [v for v in self.all.values() if reference and v.view.id.startswith(reference)]
        if len(matches) > 1:
            raise InvalidArgument(f"Multiple IDs found with provided prefix: {reference}")
        if not matches:
            raise NotFound("container", reference)
        return matches[0]

    def get(self, reference: str) -> ContainerView:
        found = self.find(reference)
        execs = self._engine.sessions.execs.values()
        ids = tuple(view.id for view, _ in execs if view.container_id == found.view.id)
        return replace(found.view, exec_ids=ids)

    async def get_settled(self, reference: str) -> ContainerView:
        return self.get(reference)

    def list(self, all: bool = False) -> "list[ContainerView]":
        views = [found.view for found in self.all.values() if all or found.view.active]
        return sorted(views, key=lambda view: view.created_ns, reverse=True)

    async def create(
        self, spec: ContainerSpec, name: str = "", *, attached: bool = False
    ) -> ContainerView:
        image = self._engine.images.get(spec.image)
        name = check_name(name.removeprefix("/")) if name else new_name()
        for other in self.all.values():
            if other.view.name == name:
                raise Conflict(
                    f'Conflict. The container name "/{name}" is already in use by container '
                    f'"{other.view.id}". You have to remove (or rename) that container to be able '
                    "to reuse that name."
                )
        endpoints = self._engine.networks.registry.resolve(spec, None)
        spec = replace(
            spec,
            endpoints=endpoints,
            image_id=image.id,
            log=replace(spec.log, driver=spec.log.driver or "json-file"),
        )
        mounts = tuple(
            MountView(m.kind, m.destination, name=m.source, source=m.source, read_only=m.read_only)
            if m.kind is not MountKind.TMPFS
            else MountView(m.kind, m.destination)
            for m in spec.mounts
        )
        command = resolve_command(spec, image)
        loop = asyncio.get_running_loop()
        container_id = new_id()
        view = ContainerView(
            container_id, name, new_id(), time_ns(), spec, command, Status(), mounts
        )
        process = Process(command.args, spec.tty)
        turn, removed = loop.create_future(), loop.create_future()
        self.all[container_id] = FakeContainer(view, process, turn, removed)
        self._event(view, "create")
        return view

    async def start(self, reference: str) -> None:
        found = self.find(reference)
        if found.view.active:
            raise NotModified(f"container {found.view.id} is already started")
        program = found.view.command.args[0]
        if posixpath.basename(program) not in PROGRAMS:
            text = f'exec: "{program}": executable file not found in $PATH'
            self._set(found, exit_code=127, error=text)
            found.process.hub.end()
            raise InvalidArgument(text)
        at = Joined(predefined_id("bridge"), 0, "52:54:00:12:34:56", "10.0.2.15", 24, "10.0.2.2")
        network = NetworkView((at,), found.view.spec.ports)
        found.view = replace(found.view, network=network)
        self._set(found, state=S.RUNNING, pid=4242, started_ns=time_ns(), exit_code=0)
        self._event(found.view, "start")
        self._engine.tasks.create_task(self._run(found), name="fake process")

    async def _run(self, found: FakeContainer) -> None:
        code = await found.process.run()
        self._set(found, state=S.EXITED, pid=0, exit_code=code, finished_ns=time_ns())
        self._event(found.view, "die")
        old, command = found.process, found.view.command
        found.process = Process(command.args, found.view.spec.tty)
        found.process.log = old.log
        turn, found.turn = found.turn, asyncio.get_running_loop().create_future()
        turn.set_result(Exit(code))
        old.hub.end()
        if found.view.spec.auto_remove:
            await self.remove(found.view.id)

    async def _end(self, found: FakeContainer, number: int) -> None:
        turn = found.turn
        if not found.process.signal.done():
            found.process.signal.set_result(number)
        await asyncio.shield(turn)

    async def stop(self, ref: str, timeout_s: float | None = None, signal: str = "") -> None:
        found = self.find(ref)
        if not found.view.active:
            raise NotModified(f"container {found.view.id} is already stopped")
        await self._end(found, 15)

    async def kill(self, ref: str, signal: str = "KILL") -> None:
        number = signal_number(signal)
        found = self.find(ref)
        if not found.view.active:
            raise Conflict(
                f"Cannot kill container: {ref}: Container {found.view.id} is not running"
            )
        await self._end(found, number)

    async def restart(self, ref: str, timeout_s: float | None = None, signal: str = "") -> None:
        if self.find(ref).view.active:
            await self.stop(ref)
        await self.start(ref)

    async def remove(
        self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        found = self.find(ref)
        if link:
            raise Conflict("Conflict, cannot remove the default link name of the container")
        if found.view.active and not force:
            raise Conflict(
                f"You cannot remove a running container {found.view.id}. Stop the container before "
                "attempting removal or force remove"
            )
        if found.view.active:
            await self._end(found, 9)
        if self.all.pop(found.view.id, None):
            found.removed.set_result(Exit(found.view.status.exit_code))
            self._event(found.view, "destroy")

    async def rename(self, ref: str, name: str) -> None:
        found = self.find(ref)
        found.view = replace(found.view, name=check_name(name))

    async def wait(self, ref: str, condition: str = "not-running") -> Exit:
        found = self.find(ref)
        if condition == "not-running" and not found.view.active:
            return Exit(found.view.status.exit_code)
        return await asyncio.shield(found.removed if condition == "removed" else found.turn)

    async def update(
        self,
        ref: str,
        change: Callable[[Resources], Resources],
        restart_policy: RestartPolicy | None,
    ) -> None:
        found = self.find(ref)
        resources = change(found.view.spec.resources)
        policy = restart_policy or found.view.spec.restart_policy
        spec = replace(found.view.spec, resources=resources, restart_policy=policy)
        found.view = replace(found.view, spec=spec)

    async def set_paused(self, ref: str, paused: bool) -> None:
        found = self.find(ref)
        if found.view.state not in ACTIVE:
            raise Conflict(f"Container {found.view.id} is not running")
        self._set(found, state=S.PAUSED if paused else S.RUNNING)

    def _set(self, found: FakeContainer, **changes: Any) -> None:
        found.view = replace(found.view, status=dataclasses.replace(found.view.status, **changes))

    def _event(self, view: ContainerView, action: str) -> None:
        attributes = {"image": view.spec.image, "name": view.name} | dict(view.spec.labels)
        self._engine.publish(Event("container", action, view.id, tuple(attributes.items())))


class FakeSessions:
    """Streams of the made-up processes."""

    def __init__(self, engine: "FakeEngine") -> None:
        self._engine = engine
        self.execs: dict[str, tuple[ExecView, Process]] = {}

    async def attach(
        self,
        ref: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        told: bool = False,
    ) -> FakeSession:
        found = self._engine.containers.find(ref)
        feed = found.process.hub.open(stdout=stdout, stderr=stderr)
        spec = found.view.spec
        return FakeSession(found.process, feed, spec.tty, stdin and spec.stdin_once)

    def logs(self, ref: str, **options: Any) -> AsyncIterator[LogRecord]:
        return self._logs(self._engine.containers.find(ref), **options)

    async def _logs(
        self,
        found: FakeContainer,
        *,
        stdout: bool,
        stderr: bool,
        since_ns: int = 0,
        until_ns: int = 0,
        tail: int | None = None,
        follow: bool = False,
        idle: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[LogRecord]:
        wanted = {1: stdout, 2: stderr}
        feed = found.process.hub.open(stdout=stdout, stderr=stderr) if follow else None
        records = [record for record in found.process.log if wanted[record.stream]]
        records = [r for r in records if since_ns <= r.time_ns <= (until_ns or r.time_ns)]
        for record in records if tail is None else records[max(0, len(records) - tail) :]:
            yield record
        if feed is not None:
            assert idle is not None
            await idle()
            async for stream, data in feed:
                yield LogRecord(stream, time_ns(), data)
                await idle()

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        self._running(ref).process.size = (rows, columns)

    def _running(self, ref: str) -> FakeContainer:
        found = self._engine.containers.find(ref)
        if not found.view.active:
            raise Conflict(f"Container {found.view.id} is not running")
        return found

    async def exec_create(self, ref: str, spec: ExecSpec) -> str:
        found = self._running(ref)
        exec_id = new_id()
        view = ExecView(exec_id, found.view.id, spec, False, None, 0)
        self.execs[exec_id] = view, Process(spec.command, spec.tty)
        return exec_id

    async def exec_start(
        self, exec_id: str, *, detach: bool, rows: int = 0, columns: int = 0
    ) -> FakeSession | None:
        view, process = self._exec(exec_id)
        if view.running or view.exit_code is not None:
            raise Conflict(f"exec {exec_id} has already been started")
        if posixpath.basename(process.args[0]) not in PROGRAMS:
            self.execs[exec_id] = replace(view, exit_code=127), process
            raise InvalidArgument(f'exec: "{process.args[0]}": executable file not found in $PATH')
        process.size = rows, columns
        self.execs[exec_id] = replace(view, running=True, pid=77), process
        spec = view.spec
        feed = process.hub.open(stdout=spec.attach_stdout, stderr=spec.attach_stderr)
        self._engine.tasks.create_task(self._run(exec_id), name="fake exec")
        return None if detach else FakeSession(process, feed, view.spec.tty, True)

    async def _run(self, exec_id: str) -> None:
        _, process = self.execs[exec_id]
        code = await process.run()
        view, _ = self.execs[exec_id]
        self.execs[exec_id] = replace(view, running=False, exit_code=code), process
        process.hub.end()

    def _exec(self, exec_id: str) -> tuple[ExecView, Process]:
        if exec_id not in self.execs:
            raise NotFound("exec", exec_id)
        return self.execs[exec_id]

    def exec_inspect(self, exec_id: str) -> ExecView:
        return self._exec(exec_id)[0]

    async def exec_resize(self, exec_id: str, rows: int, columns: int) -> None:
        self._exec(exec_id)[1].size = (rows, columns)

    async def processes(self, ref: str) -> Processes:
        found = self._running(ref)
        line = " ".join(found.view.command.args)
        entry = guest.ProcessEntry(
            pid=1, ppid=0, uid=0, state=ord("S"), tty_nr=0, start_ticks=100, cpu_ticks=5,
            rss_bytes=4096, vsize_bytes=8192, threads=1, nice=0, command=line, comm="x",
        )  # fmt: skip
        return Processes(100, 5_000_000_000, (entry,))

    async def statistics(self, ref: str) -> guest.ContainerStatistics:
        self._running(ref)
        numbers = {
            item.name: 7
            for item in dataclasses.fields(guest.ContainerStatistics)
            if item.name not in ("memory_stat", "network")
        }
        card = guest.NetworkCounters("eth0", 1, 2, 3, 4, 5, 6, 7, 8)
        stat = (guest.KeyValue("anon", "4096"),)
        return guest.ContainerStatistics(**numbers, memory_stat=stat, network=(card,))


@dataclass(slots=True)
class FakeStore:
    """The stored events."""

    kept: list[Event] = field(default_factory=list)

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    networks: Any = field(default_factory=lambda: SimpleNamespace(all=list, put=lambda *args: None))

    def put_events(self, events: tuple[Event, ...]) -> None:
        self.kept += events

    def events(self, since_ns: int, until_ns: int) -> list[Event]:
        return [event for event in self.kept if since_ns <= event.time_ns <= until_ns]


@dataclass
class FakeMemberships:
    """The networks of a host without namespaces, and which made-up containers are on them."""

    registry: NetworkRegistry
    containers: FakeContainers

    def members(self, network_id: str) -> list[Member]:
        return [
            Member(view.id, view.name, at.mac, at.address, at.prefix_length)
            for view in self.containers.list()
            for at in view.network.joined
            if at.network_id == network_id
        ]

    async def create(self, spec: NetworkSpec) -> NetworkInfo:
        return await self.registry.create(spec)

    async def remove(self, reference: str) -> None:
        await self.registry.remove(self.registry.find(reference))

    async def connect(self, reference: str, container: str, endpoint: object) -> None:
        self.registry.find(reference)
        self.containers.find(container)
        raise Unsupported("a second network is not supported: this host has no namespaces")

    async def disconnect(self, reference: str, container: str, *, force: bool) -> None:
        info = self.registry.find(reference)
        found = self.containers.find(container)
        if all(at.network_id != info.id for at in found.view.network.joined):
            raise Conflict(f"container {container} is not connected to network {info.spec.name}")

    async def prune(self, chosen: Sequence[NetworkInfo]) -> list[str]:
        return [info.spec.name for info in chosen if not info.predefined]


class FakeEngine:
    """All parts the API uses; `tasks` carries the made-up processes."""

    def __init__(self, tasks: asyncio.TaskGroup, folder: Path) -> None:
        self.tasks = tasks
        self.settings = Settings()
        self.places = Places(folder / "root", folder / "run")
        self.store = FakeStore()
        self.driver = SimpleNamespace(name="fake")
        self.events = EventFeed()
        self.metrics = Metrics()
        self.waiting_vms = lambda: {"shape": 2}
        self.images = FakeImages()
        self.volumes = FakeVolumes()
        self.sessions = FakeSessions(self)
        self.containers = FakeContainers(self)
        self.container_changes = self.containers
        self.pods = SimpleNamespace(list=lambda: [], get=self._pod)
        self.memory = Memory(self.pods, folder / "pool", UserNetworks())  # type: ignore[arg-type]
        self.kernels = SimpleNamespace(list=lambda: [])
        registry = NetworkRegistry(self.store, self.events, UserNetworks())  # type: ignore[arg-type]
        self.networks = FakeMemberships(registry, self.containers)
        self.balancing = SimpleNamespace(on_network=lambda network_id: (), views=tuple)
        self.files = FakeFiles(self)
        self.system = SimpleNamespace(
            info=self._info, doctor=_checks, container_sizes=self._container_sizes
        )

    async def _container_sizes(self, references: list[str]) -> dict[str, tuple[int, int]]:
        return {self.containers.find(ref).view.id: (12345, 67890) for ref in references}

    def _pod(self, reference: str) -> SimpleNamespace:
        """Return a container's pod; there are no others."""
        if reference not in {view.pod_id for view in self.containers.list(all=True)}:
            raise NotFound("pod", reference)
        return SimpleNamespace(memory_bytes=512 << 20)

    async def _info(self) -> SystemInfo:
        states = [view.state for view in self.containers.list(all=True)]
        running = states.count(S.RUNNING)
        can = Capabilities("fake", "1", "none", "fake", 0, *[False] * 5)
        return SystemInfo(
            len(states), running, 0, len(states) - running, 0, 2, 1 << 30, "6.1", "6.1", "Linux",
            "x86_64", "host", self.places.root, can, self.settings,
        )  # fmt: skip

    def publish(self, event: Event) -> None:
        self.store.kept.append(event)
        self.events.publish(event)


async def _checks() -> tuple[Check, ...]:
    return (Check("memory", False, "none", "buy some"),)
