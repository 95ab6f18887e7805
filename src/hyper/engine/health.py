"""Runs a container's health checks while it runs, and tells when its health changes.

Timing and wording as moby `daemon/health.go`. Health lives in memory: a new daemon starts anew.
"""

import asyncio
from dataclasses import replace
from time import time_ns

from hyper.agent import messages as guest
from hyper.core.errors import HyperError
from hyper.core.ids import new_id
from hyper.core.signals import SIGKILL
from hyper.core.spec import ExecSpec, Healthcheck
from hyper.engine import plan
from hyper.engine.container import Container
from hyper.engine.execs import Exec
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod
from hyper.engine.states import ContainerState
from hyper.engine.views import Health, HealthProbe

OUTPUT_BYTES = 4096
PROBES_KEPT = 5
SHELL = ("/bin/sh", "-c")
STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
TIMED_OUT = -1


async def monitor(pod: Pod, container: Container, check: Healthcheck) -> None:
    """Probe a container at its intervals until its present run ends."""
    container.health = Health(STARTING)
    began_ns = time_ns()
    while True:
        health = container.health
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
        probe = await _probe(pod, pod.machine, container, check)
        excused = _in_start_period(check, health, began_ns) and probe.exit_code != 0
        await _take(pod, container, after(health, probe, check.retries, excused=excused))


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


async def _take(pod: Pod, container: Container, health: Health) -> None:
    before, container.health = container.health, health
    if before and before.status != health.status:
        changed = container.event(f"health_status: {health.status}")
        store = pod.services.store
        await store.call(store.put_events, (changed,))
        pod.services.feed.publish(changed)


async def _probe(
    pod: Pod, machine: Machine, container: Container, check: Healthcheck
) -> HealthProbe:
    kind, *rest = check.test
    shell = container.spec.shell or SHELL
    spec = ExecSpec(command=(*shell, *rest) if kind == "CMD-SHELL" else tuple(rest))
    started_ns = time_ns()
    run = Exec(new_id(), container, spec)
    feed = run.hub.open(stdout=True, stderr=True)
    output = bytearray()
    try:
        async with asyncio.timeout(check.timeout_s):
            await _start(pod, machine, run)
            async for _, data in feed:
                output += data[: OUTPUT_BYTES - len(output)]
            code = await run.wait()
    except TimeoutError:
        code = TIMED_OUT
        output = bytearray(f"Health check exceeded timeout ({check.timeout_s:g}s)".encode())
        await _kill(machine, run)
    except HyperError as err:
        code, output = TIMED_OUT, bytearray(str(plan.start_error(err)).encode())
    finally:
        feed.close()
    return HealthProbe(started_ns, time_ns(), code, output.decode(errors="replace"))


async def _start(pod: Pod, machine: Machine, run: Exec) -> None:
    container = run.container
    process_id = machine.new_process_id()
    request = plan.exec_process(
        container.spec,
        container.row.command,
        run.spec,
        process_id,
        container.id,
        container.hostname,
        (0, 0),
    )
    run.process_id = process_id
    pod.processes.open_exec(pod.supervisor, machine, run, request)
    try:
        run.pid = await machine.start(request)
    except HyperError:
        pod.processes.discard(machine, process_id)
        raise


async def _kill(machine: Machine, run: Exec) -> None:
    try:
        await machine.agent.request(guest.ProcessSignal(run.process_id, signal=SIGKILL))
    except HyperError:
        return  # it has just ended, or the VM has
