"""What happens to the containers of a pod: start, exit, restart, removal, and the loss of their VM.

Functions over a Pod; those that change state run in the pod's supervisor (`pod.supervisor.call`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from time import monotonic, time_ns
from types import MappingProxyType

from hyper.agent import messages as guest
from hyper.core.errors import Conflict, HyperError
from hyper.core.health import complete_healthcheck
from hyper.core.signals import SIGKILL
from hyper.engine import (
    actions,
    boot,
    carriers,
    devices,
    ending,
    health,
    jobs,
    joining,
    linking,
    membership,
    plan,
    probes,
    renewal,
    visits,
)
from hyper.engine.container import Container
from hyper.engine.events import Event
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod, pod_event, settle_pause
from hyper.engine.states import ACTIVE, ContainerEvent, ContainerState, PodEvent
from hyper.engine.views import NetworkView, Status
from hyper.engine.volumes import mounted, unmounted
from hyper.hypervisor.driver import VmExit

LOST_VM = 255
_LEVELS = {3: logging.ERROR, 4: logging.WARNING, 6: logging.INFO, 7: logging.DEBUG}  # syslog(3)


# --- the VM ---------------------------------------------------------------------------------------


async def running_machine(pod: Pod, first: Container | None) -> Machine:
    """Return the pod's machine, started with `first`'s disks in its slots if there is none."""
    if pod.machine is None:
        await visits.end_all(pod)
        await pod.move(PodEvent.START)
        try:
            pod.machine = await boot.start(pod, pod.services, first, partial(watch, pod))
        except BaseException:
            await pod.move(PodEvent.GONE)
            raise
        await pod.move(PodEvent.READY)
    return pod.machine


def watch(pod: Pod, machine: Machine) -> None:
    """Serve a machine's agent and notice its end."""
    pod.supervisor.spawn(partial(_take_events, pod, machine), "events")
    pod.supervisor.spawn(partial(_run_agent, pod, machine), "agent")
    pod.supervisor.spawn(partial(_await_vm, pod, machine), "vm")


async def _run_agent(pod: Pod, machine: Machine) -> None:
    await machine.agent.run()
    for job in machine.jobs.values():
        job.lost()
    if not machine.ending:
        pod.log.warning("the connection to the guest's agent was lost: ending the VM")
        await machine.vm.kill()


async def _await_vm(pod: Pod, machine: Machine) -> None:
    ended = await machine.vm.wait()
    pod.supervisor.post(partial(_vm_gone, pod, machine, ended))


async def _take_events(pod: Pod, machine: Machine) -> None:
    async for event in machine.agent.events:
        match event:
            case guest.ProcessExited() if event.process_id in machine.jobs:
                machine.jobs.pop(event.process_id).ended(event)
                await machine.agent.acknowledge_exit(event.process_id)
            case guest.ProcessExited():
                ended = partial(pod.processes.ended, machine, event, partial(_record, pod))
                pod.supervisor.spawn(ended, "exit")
            case guest.Oom():
                if container := pod.containers.get(event.container):
                    await pod.services.tell(container.event("oom"))
            case guest.VmOom():
                pod.supervisor.post(partial(_record_vm_oom, pod, event.container))
            case guest.Log():
                pod.log.log(_LEVELS.get(event.level, logging.INFO), "guest: %s", event.text)


async def _record(pod: Pod, container: Container, event: guest.ProcessExited) -> None:
    await pod.supervisor.call(partial(record_exit, pod, container, event))


async def _record_vm_oom(pod: Pod, container_id: str) -> None:
    """Take note of who was killed because the VM, not a limit, had no memory left."""
    container = pod.containers.get(container_id)
    if container is None or container.status.state not in ACTIVE:
        return
    name = container.spec.name_in_pod or container.row.name
    pod.log.warning("the VM ran out of memory: a process of container %s was killed", name)
    told = () if pod.row.spec.lone else (pod_event(pod.row, "oom", container=name),)
    await pod.store_status(container, replace(container.status, vm_oom=True), *told)


async def _vm_gone(pod: Pod, machine: Machine, ended: VmExit) -> None:
    if pod.machine is not machine:
        await visits.lost(pod, machine)
        return
    console = ended.console_tail.strip().splitlines()[-4:]
    how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
    exits = {}
    for container in tuple(pod.containers.values()):
        if exited := await pod.processes.abandon(container):
            exits[container.id] = exited
        elif machine.agent.stall and container.status.stopped_by_user:
            exits[container.id] = guest.ProcessExited(container.status.process_id, signal=SIGKILL)
    await pod.processes.abandon_execs()
    await lost(pod, " / ".join([f"the VM ended unexpectedly ({how})", *console]), exits)


async def lost(
    pod: Pod, reason: str, exits: Mapping[str, guest.ProcessExited] = MappingProxyType({})
) -> None:
    """Record that the pod has no VM any more, and that what ran in it is gone.

    `exits` are those of containers of which the guest had told.
    """
    if pod.machine:
        pod.machine.ending = True
        await pod.machine.agent.close()
        pod.forget_visits(pod.machine)
        pod.machine = None
    pod.inits_due = True
    await boot.release(pod.services, pod.row.id)
    await pod.move(PodEvent.GONE)
    for container in tuple(pod.containers.values()):
        if exited := exits.get(container.id):
            await record_exit(pod, container, exited)
        elif container.status.state in (ContainerState.RUNNING, ContainerState.PAUSED):
            pod.log.error("container %s: %s", container.id[:12], reason)
            gone = guest.ProcessExited(
                process_id=container.status.process_id, exit_code=LOST_VM, exited_ns=time_ns()
            )
            await record_exit(pod, container, gone, reason)


# --- start ----------------------------------------------------------------------------------------


async def start(pod: Pod, container: Container, *, again: bool = False) -> None:
    """Start a container's first process, and the VM if needed. Undoes everything on failure.

    `again` says that its policy asks for it: those starts are counted.
    """
    container.after(ContainerEvent.START)
    with container.launch.going_on():
        await _start(pod, container, again=again)
    begin_checks(pod, container)
    await linking.tell_owners(pod, container)
    pod.supervisor.spawn(partial(_after_start, pod, container), "post-start")


async def _start(pod: Pod, container: Container, *, again: bool) -> None:
    await visits.end(pod, container)
    began = monotonic()
    metrics = pod.services.metrics
    try:
        async with AsyncExitStack() as undo:
            request, pid = await _launch(pod, container, undo)
            undo.pop_all()
    except HyperError as err:
        metrics.start_failures[type(err).__name__] += 1
        await _start_failed(pod, container, err)
        raise plan.start_error(err) from err
    status = container.after(
        ContainerEvent.START,
        pid=pid,
        process_id=request.process_id,
        started_ns=time_ns(),
        finished_ns=0,
        exit_code=0,
        error="",
        oom_killed=False,
        vm_oom=container.status.vm_oom and again,
        restart_count=container.status.restart_count if again else 0,
        stopped_by_user=False,
        health=None,
    )
    container.readiness.begin()
    joined = membership.moves(pod, container, "connect")
    joined += mounted(container.mounts, container.id)
    container.health = None
    await pod.store_status(container, status, *joined, container.event("start"))
    metrics.starts.observe(monotonic() - began)


def begin_checks(pod: Pod, container: Container) -> None:
    """Begin what watches a container that has just started, or was taken over."""
    probes.begin(pod, container)
    if check := complete_healthcheck(container.spec.healthcheck):
        pod.supervisor.spawn(partial(health.monitor, pod, container, check), "health")


async def _after_start(pod: Pod, container: Container) -> None:
    """Run the post-start hook; a failed one ends the container."""
    hook, machine, run = container.spec.hooks.post_start, pod.machine, container.turn
    if hook is None or machine is None:
        container.readiness.after_hook("")
        return
    outcome = await actions.perform(pod, machine, container, hook, timeout_s=0)
    if container.turn is not run:
        return  # it has ended meanwhile: its hook is of no matter for the next run
    container.readiness.after_hook("" if outcome.ok else outcome.text.strip()[:200] or "it failed")
    if not outcome.ok:
        pod.log.warning("container %s: post-start hook: %s", container.id[:12], outcome.text[:200])
        with contextlib.suppress(HyperError):  # it may have ended meanwhile
            await ending.kill_and_wait(pod, container, by_user=False)


async def _launch(
    pod: Pod, container: Container, undo: AsyncExitStack
) -> tuple[guest.ProcessStart, int]:
    container.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    container.log.open()
    undo.callback(container.log.close)
    joining.check(pod, container)
    devices.check_container(container.spec.devices)
    linked = linking.linked(pod, container)
    await membership.find_networks(pod, container)
    machine = await running_machine(pod, container)
    await membership.enter(pod, machine, container)
    disks = await boot.prepare_disks(pod.services, container)
    volumes = await carriers.prepare(pod, pod.services, container)
    own = devices.given(pod.row.spec, container.spec)
    attached = await machine.attach(container, disks, volumes, own.disks, starts=True)
    names = joining.names_of(pod, container)
    lines = linking.hosts_lines(linked)
    share_pid = pod.row.spec.share_pid
    await machine.create(
        container, attached, names, linked=lines, share_pid=share_pid, nodes=own.nodes
    )
    if machine.unsealed:
        await _fill(machine, container)
    request = plan.main_process(
        container.spec,
        container.row.command,
        machine.new_process_id(),
        container.id,
        container.hostname,
        machine.network.address,
        linking.environment(container.row.name, linked),
    )
    pod.processes.open_main(pod.supervisor, machine, container, request)
    undo.callback(pod.processes.discard, machine, request.process_id)
    pid = await machine.start(request)
    container.network = machine.network
    return request, pid


async def _fill(machine: Machine, container: Container) -> None:
    """Have the image's files put into empty volumes that are only read, and nothing after them.

    The guest does it when it mounts them: for a look at the container's files, before anything of
    a user's runs.
    """
    look = lambda process_id: guest.FileStat(container.id, process_id, "/")  # noqa: E731
    async with jobs.job(machine, container.id, look) as looking:
        await looking.finished()
    await machine.seal()


async def _start_failed(pod: Pod, container: Container, err: HyperError) -> None:
    code = plan.start_failure_code(err)
    status = container.after(
        ContainerEvent.FAIL, exit_code=code, error=str(plan.start_error(err)), finished_ns=0
    )
    await pod.store_status(container, status)
    if pod.machine:
        shared = len(pod.containers) > 1
        try:
            await boot.forget(pod, pod.services, pod.machine, container, detach=shared)
        except HyperError as cleanup:
            pod.log.warning("clean-up after a failed start: %s", cleanup)
    await pod.stop_if_idle()
    container.hub.end()
    container.renew_stdin()  # who waits for an exit goes on waiting, as with dockerd


# --- exit and restart -----------------------------------------------------------------------------


async def record_exit(
    pod: Pod, container: Container, ended: guest.ProcessExited, error: str = ""
) -> None:
    """Store how a container's first process ended, and do what follows from it."""
    if container.status.state not in (ContainerState.RUNNING, ContainerState.PAUSED):
        return
    code = 128 + ended.signal if ended.signal else ended.exit_code
    container.health = health.of_the_ended(container.health)
    status = container.after(
        ContainerEvent.EXIT,
        pid=0,
        process_id=0,
        exit_code=code,
        error=error or container.readiness.hook_error,
        oom_killed=ended.oom_killed,
        finished_ns=ended.exited_ns or time_ns(),
        health=container.health,
    )
    die = container.event("die", exitCode=str(code))
    left = membership.moves(pod, container, "disconnect")
    died = (die, *left, *unmounted(container.mounts, container.id))
    container.log.close()
    container.network = NetworkView()
    if container.spec.auto_remove and not container.restarted:
        await _remove_at_exit(pod, container, status, died)
        return
    again = plan.restarts(container.spec.restart_policy, status)
    if again:
        # In one step: who stops it from now on stops the restart, not a container that ended.
        state = container.after(ContainerEvent.RETRY).state
        status = replace(status, state=state, restart_count=status.restart_count + 1)
    await pod.store_status(container, status, *died)
    # Who is told of the end may use its ports and disks at once.
    first = not again and bool(container.spec.ports or _is_durable(pod))
    try:
        if first:
            await _rest(pod, container)
    finally:
        container.ended()
    if again:
        pod.supervisor.post(partial(_forget_in_guest, pod, container))
        schedule_restart(pod, container)
    elif not first:
        await _rest(pod, container)


def _is_durable(pod: Pod) -> bool:
    return pod.machine is not None and bool(pod.machine.durable)


async def _rest(pod: Pod, container: Container) -> None:
    await _forget_in_guest(pod, container)
    await pod.stop_if_idle()


async def _forget_in_guest(pod: Pod, container: Container) -> None:
    if pod.machine is None or pod.machine.ending:
        return
    try:
        await jobs.settled(pod.machine, container.id, visits.GRACE_S)
        await membership.exited(pod, pod.machine)
        await boot.forget(pod, pod.services, pod.machine, container, detach=True)
    except HyperError as err:  # it has ended all the same, and so may its VM
        pod.log.warning("clean-up after the end of container %s: %s", container.id[:12], err)


async def _remove_at_exit(
    pod: Pod, container: Container, status: Status, died: Sequence[Event]
) -> None:
    """Forget a --rm container in the transaction that records its end; clean up afterwards.

    Its anonymous volumes are gone, and its disks free, before anybody is told that it is.
    """
    container.set_status(replace(status, state=ContainerState.REMOVING))
    last = _is_last(pod)
    events = (*died, container.event("destroy"))
    store = pod.services.store
    await store.call(store.remove_container, container.id, pod.row.id if last else None, events)
    pod.services.feed.publish(*events)
    _drop(pod, container)
    if not last:
        await settle_pause(pod)
    first = _is_durable(pod) or any(mount.anonymous for mount in container.mounts)
    if first:
        await _end_at_exit(pod, container, last)
    container.ended()
    container.removed()
    if not first:
        await _end_at_exit(pod, container, last)
    if last:
        pod.supervisor.finish()
    await boot.delete_files(container)


async def _end_at_exit(pod: Pod, container: Container, last: bool) -> None:
    if last:
        await pod.stop_machine(graceful=False)
    else:
        await _rest(pod, container)
    await pod.services.release_volumes(container.mounts)


def schedule_restart(pod: Pod, container: Container) -> None:
    """Start a container again after its delay."""
    pod.supervisor.spawn(partial(_restart_later, pod, container), "restart")


async def _restart_later(pod: Pod, container: Container) -> None:
    if container.status.state is not ContainerState.RESTARTING:
        restarting = container.after(
            ContainerEvent.RETRY, restart_count=container.status.restart_count + 1
        )
        await pod.supervisor.call(partial(pod.store_status, container, restarting))
    await asyncio.sleep(plan.restart_delay_s(container.status))
    try:
        await renewal.run_inits(pod, container, start)
    except HyperError as err:
        await pod.supervisor.call(partial(_give_up, pod, container, err))
        return
    await pod.supervisor.call(partial(_restart, pod, container))


async def _restart(pod: Pod, container: Container) -> None:
    if container.status.state is not ContainerState.RESTARTING:
        return  # a user stopped it meanwhile
    try:
        await start(pod, container, again=True)
    except HyperError as err:
        await _give_up(pod, container, err)


async def _give_up(pod: Pod, container: Container, err: HyperError) -> None:
    if container.status.state is not ContainerState.RESTARTING:
        return
    pod.log.warning("restart of %s: %s", container.id[:12], err)
    given_up = container.after(ContainerEvent.GIVE_UP, error=str(err))
    await pod.store_status(container, given_up)
    container.ended()
    await pod.stop_if_idle()


# --- removal --------------------------------------------------------------------------------------


async def remove(pod: Pod, container: Container) -> None:
    """Remove a container that is not active, and the pod with it if it was made for it.

    Raises Conflict while it is active.
    """
    if container.status.state in ACTIVE:
        how = "Unpause and then stop" if container.status.state is ContainerState.PAUSED else "Stop"
        raise Conflict(
            f"You cannot remove a {container.status.state} container {container.id}. {how} the "
            "container before attempting removal or force remove"
        )
    if container.id not in pod.containers:
        raise Conflict(f"container {container.id} was removed")
    await visits.end(pod, container)
    container.set_status(container.after(ContainerEvent.REMOVE))
    last = _is_last(pod)
    if not last and pod.machine and container.id in pod.machine.containers:
        await boot.forget(pod, pod.services, pod.machine, container, detach=True)
    destroyed = container.event("destroy")
    store = pod.services.store
    await store.call(
        store.remove_container, container.id, pod.row.id if last else None, (destroyed,)
    )
    pod.services.feed.publish(destroyed)
    _drop(pod, container)
    container.removed()
    if last:
        await pod.stop_machine(graceful=False)
        pod.supervisor.finish()
    await boot.delete_files(container)


def _is_last(pod: Pod) -> bool:
    return len(pod.containers) == 1 and pod.row.spec.lone


def _drop(pod: Pod, container: Container) -> None:
    del pod.containers[container.id]
    for exec_id in [key for key, value in pod.execs.items() if value.container is container]:
        del pod.execs[exec_id]
