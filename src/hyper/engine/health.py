"""Runs a container's health checks while it runs, and tells when its health changes.

Timing and wording as moby `daemon/health.go`. A change of health is stored with its event, so a new
daemon goes on from there; the probes in between are in memory only.
"""

import asyncio
from dataclasses import replace
from functools import partial
from time import time_ns

from hyper.core.spec import Healthcheck
from hyper.engine import actions
from hyper.engine.container import Container
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod
from hyper.engine.states import ContainerState
from hyper.engine.views import Health, HealthProbe

PROBES_KEPT = 5
SHELL = ("/bin/sh", "-c")
STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"


async def monitor(pod: Pod, container: Container, check: Healthcheck) -> None:
    """Probe a container at its intervals until its present run ends."""
    began_ns = container.status.started_ns
    if container.health is None:  # otherwise an earlier daemon has begun
        container.health = Health(STARTING)
    run = container.turn
    while container.turn is run:
        health = container.health or Health(STARTING)
        starting = _in_start_period(check, health, began_ns)
        interval_s = check.start_interval_s if starting else check.interval_s
        try:
            async with asyncio.timeout(interval_s):
                await container.next_exit()
                return
        except TimeoutError:
            pass
        if container.status.state is not ContainerState.RUNNING or pod.machine is None:
            continue  # paused: Docker does not probe then
        if pod.machine.agent.stall:
            continue  # it cannot help it
        probe = await _probe(pod, pod.machine, container, check)
        excused = _in_start_period(check, health, began_ns) and probe.exit_code != 0
        if container.turn is run:
            await _take(pod, container, after(health, probe, check.retries, excused=excused), run)


def _in_start_period(check: Healthcheck, health: Health, began_ns: int) -> bool:
    return health.status == STARTING and time_ns() - began_ns < check.start_period_s * 1e9


def after(health: Health, probe: HealthProbe, retries: int, *, excused: bool) -> Health:
    """Return the health after a probe; an excused failure (start period) does not count."""
    log = (*health.log, probe)[-PROBES_KEPT:]
    if probe.exit_code == 0:
        return Health(HEALTHY, 0, log)
    if excused:
        return replace(health, log=log)
    streak = health.failing_streak + 1
    return Health(UNHEALTHY if streak >= retries else health.status, streak, log)


async def _take(pod: Pod, container: Container, health: Health, run: object) -> None:
    before = container.health
    if before is None or before.status == health.status:
        container.health = health
    else:
        await pod.supervisor.call(partial(_change, pod, container, health, run))


async def _change(pod: Pod, container: Container, health: Health, run: object) -> None:
    if container.turn is not run:
        return  # it ended meanwhile
    changed = container.event(f"health_status: {health.status}")
    await pod.store_status(container, replace(container.status, health=health), changed)
    container.health = health


def of_the_ended(health: Health | None) -> Health | None:
    """Return the health of a container that has ended (moby: unhealthy, for compatibility)."""
    return replace(health, status=UNHEALTHY) if health else None


async def _probe(
    pod: Pod, machine: Machine, container: Container, check: Healthcheck
) -> HealthProbe:
    kind, *rest = check.test
    shell = container.spec.shell or SHELL
    command = (*shell, *rest) if kind == "CMD-SHELL" else tuple(rest)
    started_ns = time_ns()
    result = await actions.run(pod, machine, container, command, check.timeout_s)
    text = f"Health check {result.text}" if result.timed_out else result.text
    return HealthProbe(started_ns, time_ns(), result.exit_code, text)
