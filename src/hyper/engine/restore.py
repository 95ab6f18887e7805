"""Takes over what an earlier daemon left: VMs are reconnected, dead ones recorded.

The guest keeps exit statuses and unacknowledged output; the log says how much of it is ours.
"""

import asyncio
import json
import logging
from functools import partial
from time import time_ns

from hyper.agent import messages as guest
from hyper.core.errors import HyperError
from hyper.core.pod_spec import Role
from hyper.core.spec import MountKind
from hyper.engine import (
    boot,
    carriers,
    devices,
    leftovers,
    lifecycle,
    membership,
    plan,
    pod_life,
    space,
)
from hyper.engine.container import Container
from hyper.engine.machine import Attached, Machine
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods
from hyper.engine.processes import STDERR, STDOUT
from hyper.engine.services import Services
from hyper.engine.states import ContainerEvent, ContainerState, PodState
from hyper.hypervisor.driver import Vm, VmRecord, end_leftover, read_record

_log = logging.getLogger("engine.restore")


async def restore(services: Services, pods: Pods) -> None:
    """Load every pod, reconnect to the VMs that still run, and remove what belongs to nothing."""
    store = services.store
    containers = await store.call(store.containers)
    rows = await store.call(store.pod_table.all)
    running = {row.id[:12] for row in rows if row.state is not PodState.STOPPED}
    await leftovers.remove_strays(services, running, {row.id for row in containers})
    for row in rows:
        pod = Pod(row, services)
        for container_row in containers:
            if container_row.pod_id == row.id:
                folder = services.places.containers / container_row.id
                pod.containers[container_row.id] = Container(container_row, folder)
        pods.add(pod)
        if row.state is not PodState.STOPPED:
            await pod.supervisor.call(partial(_resume, services, pod))
        await pod.supervisor.call(partial(_settle, pod))


async def _resume(services: Services, pod: Pod) -> None:
    """Reconnect to a pod's VM, or record that it is gone."""
    try:
        # The driver keeps its own record current: disks and shares come and go while a VM runs.
        record = read_record(services.places.pods / pod.row.id[:12])
        if record is None and pod.row.vm:
            record = VmRecord.from_json(pod.row.vm)
        vm = await services.driver.reattach(record) if record else None
        if vm is None:
            await lifecycle.lost(pod, "the VM ended while the daemon was not running")
            return
        await _take_over(services, pod, vm)
    except (KeyError, TypeError, ValueError) as err:  # another release's record
        pod.log.error("cannot take over its VM: its record cannot be read: %r", err)
        await _give_up(services, pod, "the VM's record is of another release of hyperd")
    except HyperError as err:
        pod.log.error("cannot take over its VM: %s", err)
        await _give_up(services, pod, f"the VM could not be taken over: {err}")


async def _give_up(services: Services, pod: Pod, reason: str) -> None:
    """End a VM that cannot be taken over: it would run on, and hold the disks, unknown to all."""
    try:
        await end_leftover(services.driver, services.places.pods / pod.row.id[:12])
    except HyperError as err:
        pod.log.error("%s", err)
    await lifecycle.lost(pod, reason)


async def _take_over(services: Services, pod: Pod, vm: Vm) -> None:
    record = json.loads(pod.row.resources)
    link = await services.networks.restore(pod.row.id, record["link"])
    greeted = asyncio.Event()
    pod.supervisor.spawn(partial(space.keep_going, vm, greeted), "keep-going")
    try:
        machine = await boot.connect(pod, vm, link, partial(lifecycle.watch, pod), resume=True)
    finally:
        greeted.set()
    pod.machine = machine
    machine.next_process = record["next_process"]
    machine.began_ns = record.get("began_ns", machine.began_ns)
    pod_life.await_deadline(pod, machine)
    states = {state.process_id: state for state in machine.agent.welcome.processes}
    machine.next_process = max([machine.next_process, *(number + 1 for number in states)])
    for container in tuple(pod.containers.values()):
        await _take_over_container(services, pod, machine, container, states)
    mains = {container.status.process_id for container in pod.containers.values()}
    for state in machine.agent.welcome.processes:
        if state.process_id not in mains:
            _let_go(machine, state)
    await leftovers.clear(pod, machine)
    membership.rename(pod)
    pod.log.info("taken over, VMM pid %d", vm.record.pid)


def _let_go(machine: Machine, state: guest.ProcessState) -> None:
    """Take an exec's output from the guest and drop it: its client went with the last daemon."""
    for which, acked in ((STDOUT, state.stdout_acked), (STDERR, state.stderr_acked)):
        machine.agent.stream(state.process_id, which, resume_offset=acked).discard()


async def _take_over_container(
    services: Services,
    pod: Pod,
    machine: Machine,
    container: Container,
    states: dict[int, guest.ProcessState],
) -> None:
    if container.status.state not in (ContainerState.RUNNING, ContainerState.PAUSED):
        return
    state = states.get(container.status.process_id)
    if state is None:
        ended = guest.ProcessExited(
            process_id=container.status.process_id, exit_code=lifecycle.LOST_VM, exited_ns=time_ns()
        )
        await lifecycle.record_exit(
            pod, container, ended, "the guest does not know the process any more"
        )
        return
    disks = await boot.prepare_disks(services, container)
    given = devices.given(pod.row.spec, container.spec).disks
    mounts = [mount for mount in container.mounts if mount.source or mount.volume]
    names = [machine.known_as(mount) for mount in mounts]
    machine.containers[container.id] = Attached.of(machine.vm, container, disks, (*names, *given))
    for name, mount in zip(names, mounts, strict=True):
        machine.note_volume(name, mount)
        if mount.kind is MountKind.VOLUME and plan.is_shared_read_only(mount):
            machine.unsealed.update({name} & {plan.share_name(mount)})  # its start was cut off
    for name in given:
        machine.note_volume(name)
    try:
        await machine.seal()
    except HyperError as err:
        pod.log.warning("a read-only volume of container %s: %s", container.id[:12], err)
    carriers.resume(pod, services, container)
    container.network = machine.network
    container.log.open()
    lifecycle.begin_checks(pod, container)
    pod.processes.adopt_main(pod.supervisor, machine, container, state)


async def _settle(pod: Pod) -> None:
    """Start what its restart policy wants running, and finish what was begun."""
    for container in tuple(pod.containers.values()):
        match container.status.state:
            case ContainerState.RESTARTING:
                lifecycle.schedule_restart(pod, container)
            case ContainerState.REMOVING:
                container.set_status(container.after(ContainerEvent.FAIL))
                await lifecycle.remove(pod, container)
            case ContainerState.EXITED if container.spec.auto_remove:
                # The daemon died while it restarted it.
                await lifecycle.remove(pod, container)
                await pod.services.release_volumes(container.mounts)
            case ContainerState.EXITED:
                if plan.starts_with_daemon(container.spec.restart_policy, container.status):
                    _start_again(pod, container)
            case _:
                pass


def _start_again(pod: Pod, container: Container) -> None:
    inits = any(item.spec.role is Role.INIT for item in pod.containers.values())
    if pod.machine is None and inits:
        pod.inits_due = True
        lifecycle.schedule_restart(pod, container)  # which runs them first
    else:
        pod.supervisor.post(partial(lifecycle.start, pod, container))
