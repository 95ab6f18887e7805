"""Owns visits: the use of the files of a pod's containers from outside, running or not.

A container that does not run is mounted for the purpose: in its pod's VM if there is one, else in
a VM made for the visit, without a network, its disks attached. Both stay for a moment, because
`docker cp` asks twice. Mounting and unmounting happen only in the pod's supervisor, and a start or
a removal of the container ends the visit first: its writable disk is never in two VMs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from hyper.core.errors import Conflict
from hyper.engine import boot, carriers, written
from hyper.engine.boot import Watch
from hyper.engine.container import Container
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod
from hyper.engine.states import ContainerState
from hyper.engine.visit import Visit, Visitor

IDLE_S = 5.0
"""How long a VM waits for the next request."""
GRACE_S = 10.0
"""How long a start, a removal or an exit waits for work on the files before it is cut off."""


@asynccontextmanager
async def files_of(pod: Pod, container: Container, watch: Watch) -> AsyncIterator[Machine]:
    """Give a VM in which the container is mounted, for as long as the block runs.

    `watch` serves a VM made for this. Raises Conflict when the container is being removed.
    """
    visitor = Visitor()
    try:
        yield await pod.supervisor.call(partial(_enter, pod, container, watch, visitor))
    finally:
        visitor.leave()


async def _enter(pod: Pod, container: Container, watch: Watch, visitor: Visitor) -> Machine:
    if container.id not in pod.containers or container.status.state in (
        ContainerState.REMOVING,
        ContainerState.DEAD,
    ):
        raise Conflict(f"container {container.id} is being removed: its files are out of reach")
    visit = pod.visits.get(container.id)
    if visit is None:
        if pod.machine and container.id in pod.machine.containers:
            return pod.machine
        visit = await _begin(pod, container, watch)
        pod.visits[container.id] = visit
        pod.supervisor.spawn(partial(_end_when_idle, pod, container, visit), "visit")
    visitor.enter(visit)
    return visit.machine


async def _begin(pod: Pod, container: Container, watch: Watch) -> Visit:
    """Mount a container: in the pod's VM, else in that of another visit, else in a new one."""
    container.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written.drop(container)
    machine = pod.machine
    own = machine is None
    if machine is None:
        others = [visit.machine for visit in pod.visits.values() if visit.own]
        machine = others[0] if others else None
    made = machine is None
    if machine is None:
        machine = await boot.start_visit(pod, pod.services, container, watch)
    try:
        disks = await boot.prepare_disks(pod.services, container)
        volumes = await carriers.prepare(pod, pod.services, container)
        attached = await machine.attach(container, disks, volumes)
        await machine.create(container, attached, container.spec)
    except BaseException:
        if made:
            await _end_vm(pod, machine, graceful=False)
        else:
            await boot.forget(pod, pod.services, machine, container, detach=True)
        raise
    return Visit(machine, own)


async def _end_when_idle(pod: Pod, container: Container, visit: Visit) -> None:
    while not visit.ended:
        await visit.until(used=False)
        try:
            async with asyncio.timeout(IDLE_S):
                await visit.until(used=True)
        except TimeoutError:
            await pod.supervisor.call(partial(_end_if_idle, pod, container, visit))


async def _end_if_idle(pod: Pod, container: Container, visit: Visit) -> None:
    if not visit.used and not visit.ended:
        await end(pod, container)


async def end(pod: Pod, container: Container) -> None:
    """End the visit to a container, if there is one, when nobody works on its files any more.

    Work that goes on for GRACE_S is cut off. For the pod's supervisor.
    """
    visit = pod.visits.get(container.id)
    if visit is None:
        return
    try:
        async with asyncio.timeout(GRACE_S):
            await visit.until(used=False)
    except TimeoutError:
        pod.log.warning("work on the files of container %s is cut off", container.id[:12])
    if pod.visits.get(container.id) is not visit:
        return
    del pod.visits[container.id]
    visit.end()
    last = visit.own and not any(other.machine is visit.machine for other in pod.visits.values())
    try:
        await boot.forget(pod, pod.services, visit.machine, container, detach=not last)
    finally:
        if last:
            await _end_vm(pod, visit.machine, graceful=True)


async def end_all(pod: Pod) -> None:
    """End every visit to the pod's containers, before the pod has a VM or is no more."""
    for container in [pod.containers[key] for key in pod.visits if key in pod.containers]:
        await end(pod, container)


async def _end_vm(pod: Pod, machine: Machine, *, graceful: bool) -> None:
    await pod.end_vm(machine, graceful=graceful)
    await boot.release_visit(pod, pod.services)


async def lost(pod: Pod, machine: Machine) -> None:
    """Take note that the VM of visits ended by itself."""
    if any(visit.machine is machine for visit in pod.visits.values()):
        pod.log.error("the VM in which files of the pod's containers were used is gone")
        pod.forget_visits(machine)
        await _end_vm(pod, machine, graceful=False)
