"""Runs a container's probes while it runs: startup, liveness and readiness, as Kubernetes does.

What they decided last is noted beside the container's disk and holds for one run: with a new daemon
who was ready is ready, and services go on leading to it; only the counting starts anew. What a
failure leads to is here too: the container is ended, and its restart policy decides what follows.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from functools import partial

from hyper.core.errors import HyperError
from hyper.core.pod_spec import Probe
from hyper.core.signals import signal_number
from hyper.engine import actions, ending
from hyper.engine.container import Container
from hyper.engine.pod import Pod
from hyper.engine.states import ContainerState

_NOTE = "probed"
_log = logging.getLogger("engine.probes")


def begin(pod: Pod, container: Container) -> None:
    """Probe a container that has just started, or was taken over; one without is ready."""
    probes = container.spec.probes
    at_once = probes.startup is None, probes.startup is None and probes.readiness is None
    started, ready = _noted(container) or at_once
    container.readiness.probed(started=started, ready=ready)
    pod.services.pods_changed.set()
    if probes.startup or probes.liveness or probes.readiness:
        pod.supervisor.spawn(partial(_run_all, pod, container), "probes")


def _probed(pod: Pod, container: Container, *, started: bool, ready: bool) -> None:
    known = container.readiness
    if (known.started, known.ready) != (started, ready):
        with contextlib.suppress(OSError):  # it is being removed, or the disk is full: no note then
            note = f"{container.status.started_ns} {started:d} {ready:d}\n"
            (container.folder / _NOTE).write_text(note)
    known.probed(started=started, ready=ready)
    pod.services.pods_changed.set()


def _noted(container: Container) -> tuple[bool, bool] | None:
    """Return what is noted of this run: whether it has started, and is ready; None for nothing."""
    try:
        run, started, ready = map(int, (container.folder / _NOTE).read_text().split())
    except (OSError, ValueError):  # a daemon that was killed may leave half a note
        return None
    return (bool(started), bool(ready)) if run == container.status.started_ns else None


async def _run_all(pod: Pod, container: Container) -> None:
    ended = container.next_exit()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(_probe_all(pod, container), name=f"probe {container.id[:12]}")
        end = group.create_task(ended, name=f"end of {container.id[:12]}")
        await asyncio.wait((work, end), return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            work.cancel()


async def _probe_all(pod: Pod, container: Container) -> None:
    probes = container.spec.probes
    if probes.startup and not container.readiness.started:
        startup = _Repeated(pod, container, probes.startup)
        if not await startup.until_decided():
            await _give_up(pod, container, "startup", probes.startup)
            return
        _probed(pod, container, started=True, ready=probes.readiness is None)
    async with asyncio.TaskGroup() as group:
        if probes.liveness:
            group.create_task(
                _watch_liveness(pod, container, probes.liveness), name="liveness probe"
            )
        if probes.readiness:
            group.create_task(
                _watch_readiness(pod, container, probes.readiness), name="readiness probe"
            )


async def _watch_liveness(pod: Pod, container: Container, probe: Probe) -> None:
    repeated = _Repeated(pod, container, probe)
    while await repeated.until_decided():
        pass
    await _give_up(pod, container, "liveness", probe)


async def _watch_readiness(pod: Pod, container: Container, probe: Probe) -> None:
    repeated = _Repeated(pod, container, probe)
    while True:
        _probed(pod, container, started=True, ready=await repeated.until_decided())


async def _give_up(pod: Pod, container: Container, name: str, probe: Probe) -> None:
    """End a container whose probe failed for good; its restart policy decides what follows."""
    pod.log.warning("container %s: its %s probe failed: it is ended", container.id[:12], name)
    await pod.services.tell(container.event(f"probe_failed: {name}"))
    number = signal_number(container.row.command.stop_signal)
    grace_s = probe.termination_grace_s
    limit_s = ending.grace_s(pod, container) if grace_s is None else grace_s
    # In a task of the pod's: the end of the container ends this probe.
    pod.supervisor.spawn(partial(_end, pod, container, number, limit_s), f"{name}-failed")


async def _end(pod: Pod, container: Container, number: int, limit_s: float) -> None:
    try:
        await ending.end(pod, container, number, limit_s, by_user=False)
    except HyperError as err:
        pod.log.debug("container %s has ended already: %s", container.id[:12], err)


@dataclass(slots=True)
class _Repeated:
    """One probe, asked again and again; counts what it answered in a row."""

    pod: Pod
    container: Container
    probe: Probe
    waited: bool = False
    last: bool | None = None
    streak: int = 0

    async def until_decided(self) -> bool:
        """Return after each attempt that settles something: True for success, False for failure.

        A success is settled after `success_threshold` in a row, a failure after
        `failure_threshold`.
        """
        while True:
            await asyncio.sleep(self.probe.period_s if self.waited else self.probe.initial_delay_s)
            self.waited = True
            machine = self.pod.machine
            if machine is None or self.container.status.state is not ContainerState.RUNNING:
                continue  # paused: it is not asked then
            if machine.agent.stall:
                continue  # it cannot help it
            answer = await actions.perform(
                self.pod, machine, self.container, self.probe.action, self.probe.timeout_s
            )
            if not answer.ok:
                _log.debug("container %s: %s", self.container.id[:12], answer.text)
            self.streak = self.streak + 1 if answer.ok == self.last else 1
            self.last = answer.ok
            needed = self.probe.success_threshold if answer.ok else self.probe.failure_threshold
            if self.streak >= needed:
                return answer.ok
