"""How a pod starts and ends: its containers in order, with roll-back; run beside its supervisor.

One at a time per pod (`pod.turn`); a stop that comes while a pod starts ends that start.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from time import time

from hyper.core.errors import Conflict, Failure, HyperError, NotModified
from hyper.core.pod_spec import Role
from hyper.core.signals import SIGKILL, signal_number
from hyper.engine import ending, lifecycle
from hyper.engine.container import Container, Readiness
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod, pod_event
from hyper.engine.states import ACTIVE, ContainerState, PodState


async def start(pod: Pod) -> None:
    """Start a pod: its VM, then INIT containers and SIDECARs in order, then the others.

    Raises NotModified when it runs. When a container does not start, everything is stopped again
    and its reason raised.
    """
    async with pod.turn:
        if pod.machine is not None and all(_is_up(item) for item in pod.containers.values()):
            raise NotModified(f"pod {pod.row.spec.name} is already started")
        was_running = pod.machine is not None
        pod.beginning = True
        pod.stop_wanted.clear()
        try:
            await _start_all(pod)
        except BaseException:
            if was_running:
                pod.supervisor.post(pod.stop_if_idle)  # what ended meanwhile left that to us
            else:
                await _roll_back(pod)
            raise
        finally:
            pod.beginning = False
    await pod.supervisor.call(pod.stop_if_idle)


def await_deadline(pod: Pod, machine: Machine) -> None:
    """Stop a pod when its VM has run for as long as it may."""
    if pod.row.spec.deadline_s:
        pod.supervisor.spawn(partial(_stop_at_deadline, pod, machine), "deadline")


async def _stop_at_deadline(pod: Pod, machine: Machine) -> None:
    spec = pod.row.spec
    await asyncio.sleep(max(0.0, machine.began_ns / 1e9 + spec.deadline_s - time()))
    if pod.machine is not machine or machine.ending:
        return  # it was stopped, and maybe started again: that start has its own deadline
    pod.log.warning("its deadline of %g s is over: it is stopped", spec.deadline_s)
    await pod.services.tell(pod_event(pod.row, "deadline_exceeded"))
    with contextlib.suppress(NotModified):
        await stop(pod)


async def settled(pod: Pod) -> None:
    """Return once no start of a container is under way."""
    for container in tuple(pod.containers.values()):
        await container.launch.over()


def _is_up(container: Container) -> bool:
    done = container.spec.role is Role.INIT and container.status.state is ContainerState.EXITED
    return done or container.status.state in ACTIVE


def _has_succeeded(container: Container) -> bool:
    return container.status.state is ContainerState.EXITED and container.status.exit_code == 0


async def _start_all(pod: Pod) -> None:
    ordered = tuple(pod.containers.values())
    first = [item for item in ordered if item.spec.role is not Role.MAIN]
    rest = [item for item in ordered if item.spec.role is Role.MAIN]
    booted = pod.machine is None
    leader = next(iter((*first, *rest)), None)
    machine = await pod.supervisor.call(lambda: lifecycle.running_machine(pod, leader))
    if booted:
        await_deadline(pod, machine)
    for container in (*first, *rest):
        if pod.stop_wanted.is_set():
            raise Conflict(f"pod {pod.row.spec.name} was stopped while it started")
        if container.status.state in ACTIVE:
            continue
        if container.spec.role is Role.INIT and not booted and _has_succeeded(container):
            continue  # it ran when the VM started
        try:
            await _start_one(pod, container)
        except HyperError as err:
            raise _explained(pod, container, err) from err
    pod.inits_due = False


def _explained(pod: Pod, container: Container, err: HyperError) -> HyperError:
    name = container.spec.name_in_pod or container.row.name
    return Failure(f"pod {pod.row.spec.name}: container {name} did not start: {err}")


async def _start_one(pod: Pod, container: Container) -> None:
    await pod.supervisor.call(lambda: _start_unless_up(pod, container))
    match container.spec.role:
        case Role.INIT:
            await _await_completion(pod, container)
        case Role.SIDECAR:
            await _await(pod, container, lambda run: run.hooked and run.started)
        case Role.MAIN if container.spec.hooks.post_start:
            await _await(pod, container, lambda run: run.hooked)


async def _start_unless_up(pod: Pod, container: Container) -> None:
    if container.status.state not in ACTIVE:  # a user may have been faster
        await lifecycle.start(pod, container)


async def _await_completion(pod: Pod, container: Container) -> None:
    """Wait until an INIT container succeeded; its restart policy may give it more tries."""
    while container.status.state in ACTIVE:
        end = container.next_exit()
        if pod.stop_wanted.is_set():
            end.close()
            raise Conflict("the pod was stopped")
        await end
        await pod.supervisor.call(_nothing)  # what follows from the end has then been decided
    if container.status.exit_code != 0:
        raise Failure(_why_ended(container))


async def _nothing() -> None:
    return None


async def _await(pod: Pod, container: Container, reached: Callable[[Readiness], bool]) -> None:
    """Wait until hook or startup probe succeeded.

    Raises Failure when the container ends first, Conflict when its pod is to stop.
    """
    readiness, once = container.readiness, False
    while not (once or reached(readiness) or readiness.hook_error):
        if container.status.state not in ACTIVE:
            raise Failure(_why_ended(container))
        if pod.stop_wanted.is_set():
            raise Conflict("the pod was stopped")
        async with asyncio.TaskGroup() as group:
            waiting = (
                group.create_task(readiness.until(reached), name="until reached"),
                group.create_task(container.next_exit(), name="until ended"),
                group.create_task(pod.stop_wanted.wait(), name="until stopped"),
            )
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
        once = not waiting[0].cancelled()  # and may have ended since
        await pod.supervisor.call(_nothing)
    if readiness.hook_error:
        raise Failure(readiness.hook_error)


def _why_ended(container: Container) -> str:
    status = container.status
    return status.error or f"it ended with status {status.exit_code}"


async def _roll_back(pod: Pod) -> None:
    """End what a failed start had started, at once."""
    ended = failed = False
    while not ended:
        for container in reversed(tuple(pod.containers.values())):
            if container.status.state in ACTIVE:
                try:
                    await ending.kill_and_wait(pod, container, with_pod=True)
                except HyperError:
                    failed = True
        ended = await pod.supervisor.call(partial(_end_vm, pod, anyway=failed))


async def _end_vm(pod: Pod, *, anyway: bool = False) -> bool:
    """End a pod's VM, unless a user has just started a container in it."""
    active = any(container.status.state in ACTIVE for container in pod.containers.values())
    if active and pod.machine is not None and not anyway:
        return False
    await pod.stop_machine(graceful=True)
    return True


async def stop(pod: Pod, timeout_s: float | None = None) -> None:
    """Stop a pod: its MAIN containers together, then its SIDECARs in reverse, then the VM.

    Raises NotModified when it does not run.
    """
    pod.stop_wanted.set()
    await _end_inits(pod)
    async with pod.turn:
        if pod.row.state is PodState.STOPPED:
            raise NotModified(f"pod {pod.row.spec.name} is already stopped")
        ended = False
        while not ended:
            await _stop_containers(pod, timeout_s)
            ended = await pod.supervisor.call(partial(_end_vm, pod))


async def _end_inits(pod: Pod) -> None:
    """End INIT containers that run: they are what a start waits for."""
    for container in tuple(pod.containers.values()):
        if container.spec.role is Role.INIT and container.status.state in ACTIVE:
            with contextlib.suppress(HyperError):
                await ending.kill_and_wait(pod, container, with_pod=True)


async def _stop_containers(pod: Pod, timeout_s: float | None) -> None:
    containers = tuple(pod.containers.values())
    async with asyncio.TaskGroup() as group:
        for container in containers:
            if container.spec.role is not Role.SIDECAR:
                group.create_task(
                    _stop_one(pod, container, timeout_s), name=f"stop {container.id[:12]}"
                )
    for container in reversed(containers):
        if container.spec.role is Role.SIDECAR:
            await _stop_one(pod, container, timeout_s)


async def _stop_one(pod: Pod, container: Container, timeout_s: float | None) -> None:
    if container.status.state not in ACTIVE:
        return
    number = signal_number(container.row.command.stop_signal)
    limit_s = ending.grace_s(pod, container) if timeout_s is None else timeout_s
    try:
        await ending.end(pod, container, number, limit_s, with_pod=True)
    except Conflict:
        return  # it ended by itself meanwhile


async def kill(pod: Pod, number: int) -> None:
    """Signal the first process of every container that runs; SIGKILL returns when all ended.

    Raises Conflict when none runs.
    """
    await settled(pod)
    running = [item for item in pod.containers.values() if item.status.state in ACTIVE]
    if not running:
        raise Conflict(f"cannot kill pod {pod.row.spec.name}: no container of it is running")
    async with asyncio.TaskGroup() as group:
        for container in running:
            group.create_task(_signal(pod, container, number), name=f"kill {container.id[:12]}")


async def _signal(pod: Pod, container: Container, number: int) -> None:
    if number == SIGKILL:
        await ending.kill_and_wait(pod, container, with_pod=True)
        return
    by_user = number == signal_number(container.row.command.stop_signal)
    with contextlib.suppress(Conflict):
        await pod.supervisor.call(lambda: pod.signal(container, number, by_user=by_user))


async def set_paused(pod: Pod, containers: Sequence[Container], paused: bool) -> None:
    """Freeze or thaw every container that runs. Raises Conflict when there is none to."""
    await settled(pod)
    wanted = ContainerState.RUNNING if paused else ContainerState.PAUSED
    chosen = [item for item in containers if item.status.state is wanted]
    if not chosen:
        what = "running" if paused else "paused"
        raise Conflict(f"pod {pod.row.spec.name}: no container of it is {what}")
    for container in chosen:
        await pod.supervisor.call(partial(pod.set_paused, container, paused))
