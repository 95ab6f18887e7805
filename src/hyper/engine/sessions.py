"""Owns clients' sessions with running processes: attach, exec, logs, resize, top, statistics."""

import asyncio
import errno
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from hyper.agent import messages as guest
from hyper.agent.streams import InputStream
from hyper.core.errors import (
    Conflict,
    GuestError,
    HyperError,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from hyper.core.ids import new_id
from hyper.core.spec import ExecSpec
from hyper.engine import linking, plan
from hyper.engine.container import Container
from hyper.engine.execs import Exec
from hyper.engine.logs import LogRecord
from hyper.engine.machine import Machine
from hyper.engine.output import Feed
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods, find_container, settled_container
from hyper.engine.states import ContainerState
from hyper.engine.views import ExecView

READABLE_DRIVERS = ("json-file", "local")


class Session:
    """A client attached to a process: iterate `output` for (1|2, bytes); `write` feeds stdin."""

    def __init__(
        self,
        source: "Container | Exec",
        feed: Feed,
        tty: bool,
        close_stdin: bool,
        stream_bytes: Counter[str],
        on_detach_keys: Callable[[], None],
    ) -> None:
        self.output = feed
        self.tty = tty
        self._source = source
        self._close_stdin = close_stdin
        self._stream_bytes = stream_bytes
        self._on_detach_keys = on_detach_keys

    async def write(self, data: bytes) -> None:
        """Write to the process' stdin; waits until the process started and reads.

        Raises Unavailable when it has ended.
        """
        stdin = await self._stdin()
        await stdin.write(data)
        self._stream_bytes["stdin"] += len(data)

    async def close_stdin(self) -> None:
        """End the process' stdin, unless it is to stay open for other clients or is a terminal."""
        if self._close_stdin and not self.tty:
            try:
                await (await self._stdin()).close()
            except Unavailable:
                return

    async def _stdin(self) -> InputStream:
        # The future belongs to the container and must survive this client's cancellation.
        return await asyncio.shield(self._source.stdin)

    def detach(self, *, keys: bool = False) -> None:
        """Leave; the process goes on. With the detach `keys`, that is an event."""
        self.output.close()
        if keys:
            self._on_detach_keys()


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a container, for top."""

    ticks_per_second: int
    boottime_ns: int
    entries: tuple[guest.ProcessEntry, ...]


class Sessions:
    """Everything a client does with a container's processes besides its life cycle."""

    def __init__(self, pods: Pods, stream_bytes: Counter[str]) -> None:
        self._pods = pods
        self._stream_bytes = stream_bytes

    async def attach(
        self,
        reference: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        told: bool = False,
    ) -> Session:
        """Attach to a container's first process from now on; also before it starts.

        `told` says that there is an event about it already. Raises Conflict while it is paused or
        restarting.
        """
        pod, container = find_container(self._pods, reference)
        if container.status.state in (ContainerState.PAUSED, ContainerState.RESTARTING):
            raise Conflict(
                f"container {container.id} is {container.status.state}, unpause the container "
                f"before attach"
                if container.status.state is ContainerState.PAUSED
                else f"container {container.id} is restarting, wait until the container is running"
            )
        feed = container.hub.open(stdout=stdout, stderr=stderr)
        close_stdin = stdin and container.spec.stdin_once
        tell = pod.services.tell_at_once
        if not told:
            tell(container.event("attach"))
        return Session(
            container,
            feed,
            container.spec.tty,
            close_stdin,
            self._stream_bytes,
            lambda: tell(container.event("detach")),
        )

    def logs(
        self,
        reference: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since_ns: int = 0,
        until_ns: int = 0,
        tail: int | None = None,
        follow: bool = False,
        idle: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[LogRecord]:
        """Yield a container's output so far, line by line; `idle` is called before waiting for
        more. Raises Unsupported for the driver none.
        """
        _, container = find_container(self._pods, reference)
        if container.spec.log.driver not in READABLE_DRIVERS:
            raise Unsupported("configured logging driver does not support reading")
        records = container.log.read(
            tail=tail, since_ns=since_ns, until_ns=until_ns, follow=follow, idle=idle
        )
        wanted = {number for number, on in ((1, stdout), (2, stderr)) if on}
        return _only(records, wanted)

    async def resize(self, reference: str, rows: int, columns: int) -> None:
        """Set the size of a container's terminal, if it has one. Raises Conflict when it does not
        run.
        """
        pod, container = await settled_container(self._pods, reference)
        machine = self._machine(pod, container)
        if container.spec.tty:
            size = guest.ProcessResize(container.status.process_id, rows, columns)
            await _resize(machine, size, f"container {container.id}")
            pod.services.tell_at_once(
                container.event("resize", height=str(rows), width=str(columns))
            )

    async def exec_create(self, reference: str, spec: ExecSpec) -> str:
        """Prepare an exec and return its id. Raises Conflict unless the container runs."""
        pod, container = await settled_container(self._pods, reference)
        if container.status.state is ContainerState.PAUSED:
            raise Conflict(f"Container {reference} is paused, unpause the container before exec")
        self._machine(pod, container)
        if not spec.command:
            raise InvalidArgument("No exec command specified")
        linking.linked(pod, container)
        exec_id = new_id()
        pod.execs[exec_id] = Exec(exec_id, container, spec)
        pod.services.tell_at_once(pod.execs[exec_id].note("exec_create"))
        return exec_id

    async def exec_start(
        self, exec_id: str, *, detach: bool, rows: int = 0, columns: int = 0
    ) -> Session | None:
        """Start an exec; returns its session, None when detached. Raises Conflict if it was
        started.
        """
        pod, asked = self._exec(exec_id)
        if asked.started or asked.exit_code is not None:
            raise Conflict(f"exec {exec_id} has already been started")
        machine = self._machine(pod, asked.container)
        spec = asked.spec
        feed = asked.hub.open(
            stdout=not detach and spec.attach_stdout, stderr=not detach and spec.attach_stderr
        )
        container = asked.container
        request = plan.exec_process(
            container.spec,
            container.row.command,
            spec,
            machine.new_process_id(),
            container.id,
            container.hostname,
            container.network.address,
            (rows, columns),
            linking.environment(container.row.name, linking.linked(pod, container)),
        )
        asked.process_id = request.process_id
        try:
            pod.processes.open_exec(pod.supervisor, machine, asked, request)
            asked.pid = await machine.start(request)
        except HyperError as err:
            pod.processes.discard(machine, request.process_id)
            asked.ended(plan.exec_failure_code(err))
            raise plan.start_error(err) from err
        pod.services.tell_at_once(asked.note("exec_start"))
        asked.follow(pod.services.tell_at_once)
        if detach:
            feed.close()
            return None
        tell = pod.services.tell_at_once
        detached = lambda: tell(asked.note("exec_detach"))  # noqa: E731
        return Session(asked, feed, spec.tty, True, self._stream_bytes, detached)

    def exec_inspect(self, exec_id: str) -> ExecView:
        """Return an exec's view. Raises NotFound."""
        return self._exec(exec_id)[1].view()

    async def exec_wait(self, exec_id: str) -> int:
        """Return an exec's exit status when it has ended."""
        return await self._exec(exec_id)[1].wait()

    async def exec_resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set the size of an exec's terminal, if it has one. Raises Conflict when it does not
        run.
        """
        pod, found = self._exec(exec_id)
        machine = self._machine(pod, found.container)
        if not found.view().running:
            raise Conflict(f"exec {exec_id} is not running")
        if found.spec.tty:
            size = guest.ProcessResize(found.process_id, rows, columns)
            await _resize(machine, size, f"exec {exec_id}")

    async def processes(self, reference: str) -> Processes:
        """Return a container's processes. Raises Conflict when it does not run."""
        pod, container = await settled_container(self._pods, reference)
        machine = self._machine(pod, container)
        listed = await machine.agent.request(guest.ContainerProcesses(container=container.id))
        pod.services.tell_at_once(container.event("top"))
        return Processes(listed.ticks_per_second, listed.boottime_ns, listed.processes)

    async def statistics(self, reference: str) -> guest.ContainerStatistics:
        """Return a container's counters. Raises Conflict when it does not run."""
        pod, container = await settled_container(self._pods, reference)
        machine = self._machine(pod, container)
        return await machine.agent.request(guest.ContainerStats(container=container.id))

    def _machine(self, pod: Pod, container: Container) -> Machine:
        container.check_running()
        if pod.machine is None:
            raise Conflict(f"Container {container.id} is not running")
        pod.machine.agent.check_going()
        return pod.machine

    def _exec(self, exec_id: str) -> tuple[Pod, Exec]:
        for pod in self._pods.all():
            if exec_id in pod.execs:
                return pod, pod.execs[exec_id]
        raise NotFound("exec", exec_id)


async def _resize(machine: Machine, size: guest.ProcessResize, what: str) -> None:
    try:
        await machine.agent.request(size)
    except GuestError as err:
        if err.errno != errno.ESRCH:
            raise
        # It has just ended, or is just being started.
        raise Conflict(f"{what} is not running") from err


async def _only(records: AsyncIterator[LogRecord], wanted: set[int]) -> AsyncIterator[LogRecord]:
    async for record in records:
        if record.stream in wanted:
            yield record
