"""A pod in memory whose VM is a fake that does nothing by itself, for the order in which things
happen to it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hyper.agent import messages as guest
from hyper.agent.streams import InputStream, OutputStream
from hyper.core.errors import Unavailable
from hyper.core.pod_spec import PodSpec
from hyper.core.spec import ContainerSpec
from hyper.engine.container import Container
from hyper.engine.disk_use import DiskUses
from hyper.engine.events import EventFeed
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod
from hyper.engine.services import Services
from hyper.engine.states import ContainerState, PodState
from hyper.engine.store import ContainerRow, PodRow
from hyper.engine.views import Command, NetworkView, Status

COMMAND = Command(("sh",), (), ("sh",), (), "/", "", "SIGTERM")
RUNNING = Status(state=ContainerState.RUNNING, pid=7, process_id=1, started_ns=1)

NOWHERE = Path("/nonexistent")


class Store:
    """Remembers what was asked of it; `slow` are names of changes that wait for `go`."""

    def __init__(self) -> None:
        self.done: list[tuple[str, tuple[Any, ...]]] = []
        self.slow: set[str] = set()
        self.go = asyncio.Event()
        self.waiting = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(name=name) if not name.endswith("_table") else self

    async def call(self, change: Any, *arguments: Any) -> None:
        """Make a change, in its time."""
        await asyncio.sleep(0)
        if change.name in self.slow:
            self.waiting.set()
            await self.go.wait()
        self.done.append((change.name, arguments))

    def post(self, change: Any, *arguments: Any) -> None:
        """Make a change that nobody waits for."""
        self.done.append((change.name, arguments))


@dataclass
class Agent:
    """A guest that takes every request; `answer` may wait, or raise, instead."""

    vm: "Vm"
    asked: list[guest.Message] = field(default_factory=list)
    outputs: dict[tuple[int, int], OutputStream] = field(default_factory=dict)
    answer: Callable[[guest.Message], Any] | None = None
    welcome: guest.Welcome = field(default_factory=guest.Welcome)
    silent: bool = False
    stall: str = ""
    closed: bool = False

    def check_going(self) -> None:
        """Raise Unavailable when the VM stands still."""
        if self.stall:
            raise Unavailable(self.stall)

    async def request(self, message: guest.Message, timeout_s: float = 0) -> Any:
        """Take a request."""
        self.asked.append(message)
        if self.answer is not None:
            answered = self.answer(message)
            return await answered if asyncio.iscoroutine(answered) else answered
        await asyncio.sleep(0)
        if isinstance(message, guest.PodShutdown):
            await self.vm.kill()
        return SimpleNamespace(pid=1, known=False)

    def stream(
        self, process_id: int, which: int, resume_offset: int | None = None
    ) -> OutputStream | InputStream:
        """Open a stream, which the test feeds. Raises Unavailable when the connection is lost."""
        if self.closed:
            raise Unavailable("closed")
        if which == 0:

            async def nowhere(data: guest.Data, last: bool) -> None:
                return None

            return InputStream("stdin", 0, nowhere)
        made = self.outputs[process_id, which] = OutputStream("output", 0, False, lambda: None)
        return made

    def forget(self, process_id: int) -> None:
        """Drop the streams of a process."""
        for key, stream in self.outputs.items():
            if key[0] == process_id:
                stream.lose(Unavailable("forgotten"))

    async def acknowledge_exit(self, process_id: int) -> None:
        """Forget a process."""

    async def close(self) -> None:
        """Lose the connection."""
        self.closed = True
        for stream in self.outputs.values():
            stream.lose(Unavailable("closed"))


class Vm:
    """A VM that ends when it is killed."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.record = SimpleNamespace(
            pid=1, accelerator="tcg", memory_bytes=0, disks=(), shares=(), to_json=lambda: ""
        )

    async def kill(self) -> None:
        """End."""
        self.ended.set()

    async def wait(self) -> Any:
        """Return when it has ended."""
        await self.ended.wait()
        return SimpleNamespace(status=0, signal=9, console_tail="")

    async def close(self) -> None:
        """Let go of it."""


def services(store: Store) -> Services:
    """Return the services of a daemon without networks."""

    async def nothing(*_: Any) -> None:
        return None

    starts = SimpleNamespace(observe=lambda _: None)
    metrics = SimpleNamespace(stream_bytes=Counter(), starts=starts, start_failures=Counter())
    quiet = SimpleNamespace(
        store=store,
        feed=EventFeed(),
        metrics=metrics,
        registry=SimpleNamespace(wanted=lambda *_: (), known=lambda _: None, list=lambda: []),
        networks=SimpleNamespace(disconnect=nothing, rename=lambda *_: None),
        disk_uses=DiskUses(),
        places=SimpleNamespace(pods=NOWHERE, pod_disks=NOWHERE, containers=NOWHERE),
        pods_changed=asyncio.Event(),
        pods_ended=asyncio.Queue(),
        release_volumes=nothing,
        settings=SimpleNamespace(stop_timeout_s=10.0),
        pods=lambda: [],
    )
    quiet.tell = lambda *events: Services.tell(cast(Services, quiet), *events)
    quiet.tell_at_once = lambda *events: Services.tell_at_once(cast(Services, quiet), *events)
    return cast(Services, quiet)


def machine(agent: Agent) -> Machine:
    """Return a machine that runs."""
    link = SimpleNamespace(record={}, ports=(), joined=())
    return Machine(cast(Any, agent.vm), cast(Any, agent), NetworkView(), (), "h", cast(Any, link))


def container(
    pod: Pod, folder: Path, spec: ContainerSpec, status: Status = RUNNING, name: str = "c"
) -> Container:
    """Add a container to a pod."""
    row = ContainerRow(name * 64, name, pod.row.id, 1, spec, COMMAND, (), status)
    made = pod.containers[row.id] = Container(row, folder)
    return made


@asynccontextmanager
async def running(spec: PodSpec | None = None) -> AsyncIterator[tuple[Pod, Agent, Store]]:
    """Give a pod whose VM and supervisor run."""
    store, agent = Store(), Agent(Vm())
    asked = spec or PodSpec("p", follows=True)
    pod = Pod(PodRow("p" * 64, 1, asked, PodState.RUNNING, "", ""), services(store))
    pod.machine = machine(agent)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(pod.supervisor.run())
        await asyncio.sleep(0)
        try:
            yield pod, agent, store
        finally:
            task.cancel()


async def settle(turns: int = 50) -> None:
    """Let every task that can run do so, as far as it comes by itself."""
    for _ in range(turns):
        await asyncio.sleep(0)
