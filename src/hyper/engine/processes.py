"""Owns the processes of one pod that run now: their output pumps, and what their ends lead to.

A pump takes output from the guest, keeps it in the log, acknowledges it, and hands it to attached
clients. An end counts only when the output before it was taken.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import time_ns
from typing import Literal, Protocol

from hyper.agent import messages as guest
from hyper.agent.streams import OutputStream
from hyper.core.errors import HyperError, Unavailable
from hyper.core.signals import SIGKILL
from hyper.engine.container import Container
from hyper.engine.execs import Exec
from hyper.engine.logs import LogFile
from hyper.engine.machine import Machine
from hyper.engine.output import OutputHub

_log = logging.getLogger("engine.processes")

Output = Literal[1, 2]
STDOUT: Literal[1] = 1
STDERR: Literal[2] = 2
_NAMES = {STDOUT: "stdout", STDERR: "stderr"}
OUTPUTS: tuple[Output, ...] = (STDOUT, STDERR)


class Spawner(Protocol):
    """Who runs the pumps: the pod's supervisor."""

    def spawn(self, work: Callable[[], Awaitable[object]], name: str) -> None:
        """Run `work` as a named task."""
        ...


@dataclass(slots=True)
class _Running:
    container: Container
    hub: OutputHub
    log: LogFile | None
    exec: Exec | None = None
    exited: guest.ProcessExited | None = None
    pumping: int = 0
    drained: asyncio.Event = field(default_factory=asyncio.Event)


class Processes:
    """The running processes of one pod, by process id."""

    def __init__(self, stream_bytes: Counter[str]) -> None:
        self._stream_bytes = stream_bytes
        self._running: dict[int, _Running] = {}

    def open_main(
        self, pod: Spawner, machine: Machine, container: Container, request: guest.ProcessStart
    ) -> None:
        """Open the streams of a container's first process, before it is started.

        Raises Unavailable when the connection to the guest is lost.
        """
        log = container.log if container.spec.log.driver != "none" else None
        running = _Running(container, container.hub, log)
        self._open(pod, machine, request.process_id, request.tty, running)
        if request.stdin:
            container.stdin.set_result(machine.agent.stream(request.process_id, 0))

    def open_exec(
        self, pod: Spawner, machine: Machine, started: Exec, request: guest.ProcessStart
    ) -> None:
        """Open the streams of an exec, before it is started. Raises Unavailable."""
        running = _Running(started.container, started.hub, None, started)
        self._open(pod, machine, request.process_id, request.tty, running)
        if request.stdin:
            started.stdin.set_result(machine.agent.stream(request.process_id, 0))

    def adopt_main(
        self,
        pod: Spawner,
        machine: Machine,
        container: Container,
        state: guest.ProcessState,
    ) -> None:
        """Take over the streams of a first process that outlived the last daemon."""
        log = container.log if container.spec.log.driver != "none" else None
        running = _Running(container, container.hub, log)
        offsets = {which: container.log.offset(which, state.process_id) for which in OUTPUTS}
        if log is None:
            offsets = {STDOUT: state.stdout_acked, STDERR: state.stderr_acked}
        self._open(pod, machine, state.process_id, container.spec.tty, running, offsets)
        if container.spec.open_stdin:
            stdin = machine.agent.stream(state.process_id, 0, resume_offset=state.stdin_received)
            container.stdin.set_result(stdin)

    def _open(
        self,
        pod: Spawner,
        machine: Machine,
        process_id: int,
        tty: bool,
        running: _Running,
        offsets: Mapping[Output, int] | None = None,
    ) -> None:
        outputs: tuple[Output, ...] = (STDOUT,) if tty else OUTPUTS
        # First: where the connection is lost nothing runs, and nobody is to wait for its end.
        streams = [
            machine.agent.stream(
                process_id, which, resume_offset=offsets[which] if offsets else None
            )
            for which in outputs
        ]
        self._running[process_id] = running
        running.pumping = len(streams)
        for which, stream in zip(outputs, streams, strict=True):
            pump = _Pump(running, process_id, which, stream, self._stream_bytes)
            pod.spawn(pump.run, f"output{which}")

    def discard(self, machine: Machine, process_id: int) -> None:
        """Forget a process that did not start."""
        running = self._running.pop(process_id, None)
        machine.agent.forget(process_id)
        if running and running.exec is None:
            running.container.renew_stdin()

    async def ended(
        self,
        machine: Machine,
        event: guest.ProcessExited,
        record: Callable[[Container, guest.ProcessExited], Awaitable[None]],
    ) -> None:
        """Take note of a process' end: once its output was taken, record it and tell the guest."""
        running = self._running.get(event.process_id)
        if running:
            running.exited = event
            await running.drained.wait()
            if self._running.pop(event.process_id, None) is None:
                return  # it was abandoned meanwhile, and so told
            if running.exec:
                running.exec.ended(exit_code(event))
            else:
                await record(running.container, event)
        if not machine.ending:
            try:
                await machine.agent.acknowledge_exit(event.process_id)
            except HyperError as err:
                _log.debug("exit of process %d not acknowledged: %s", event.process_id, err)

    async def abandon(self, container: Container) -> guest.ProcessExited | None:
        """The VM is gone: wait until what arrived of a container's output was taken.

        Returns how its first process ended if the guest had told.
        """
        exited = None
        for process_id, running in tuple(self._running.items()):
            if running.container is container and running.exec is None:
                container.hub.release()
                await running.drained.wait()
                self._running.pop(process_id, None)
                exited = running.exited
        return exited

    async def abandon_execs(self) -> None:
        """The VM is gone: every exec ended with it, as if killed unless the guest had told."""
        for process_id, running in tuple(self._running.items()):
            if running.exec:
                running.hub.release()
                await running.drained.wait()
                if self._running.pop(process_id, None) is not None:
                    running.exec.ended(exit_code(running.exited))


def exit_code(exited: guest.ProcessExited | None) -> int:
    """Return the status of a process that ended so, or of one that its VM's end killed."""
    if exited is None:
        return 128 + SIGKILL
    return 128 + exited.signal if exited.signal else exited.exit_code


@dataclass(frozen=True, slots=True)
class _Pump:
    running: _Running
    process_id: int
    which: Output
    stream: OutputStream
    stream_bytes: Counter[str]

    async def run(self) -> None:
        running = self.running
        failing = False
        try:
            async for offset, data in self.stream:
                after = offset + len(data)
                if running.log:
                    try:
                        running.log.append(self.which, self.process_id, time_ns(), after, data)
                        failing = False
                    except OSError as err:
                        if not failing:
                            _log.error(
                                "output of container %s is lost: %s", running.container.id[:12], err
                            )
                        failing = True
                    self.stream.ack(after)
                self.stream_bytes[_NAMES[self.which]] += len(data)
                await running.hub.publish(self.which, data)
                if not running.log:
                    self.stream.ack(after)
        except Unavailable as err:
            _log.debug("output of process %d ends: %s", self.process_id, err)
        finally:
            running.pumping -= 1
            if not running.pumping:
                running.drained.set()
