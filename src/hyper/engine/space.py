"""Has VMs go on that stood still because the host's disk was full, once there is space.

QEMU stops a VM whose write finds no space, so nothing is lost and the guest's file system is not
damaged; that it tries again is up to us. While all is well no VM is asked: a connection to its
monitor takes time and memory.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from hyper.core.errors import HyperError
from hyper.core.units import MIB
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod
from hyper.engine.services import Services
from hyper.host.files import free_bytes
from hyper.hypervisor.driver import Vm

PERIOD_S = 1.0
STALL = (
    "the VM stands still, for the host's disk is full: free some space and it goes on, or end it: "
    "hyper rm -f, for a pod of several containers hyper pod rm -f"
)
_MOMENT_S = 0.05
_LOW_BYTES = 32 * MIB
_ENOUGH_BYTES = 4 * MIB  # with less it would stop again, and take what the database gets


async def keep(services: Services) -> None:
    """Look after the space under the root folder, and VMs that wait for some, until cancelled."""
    before = free_bytes(services.places.root)
    while True:
        await asyncio.sleep(PERIOD_S)
        free = free_bytes(services.places.root)
        await look(services, free, before)
        before = free


async def keep_going(vm: Vm, done: asyncio.Event) -> None:
    """Have a VM that stands still go on, over and over, until something is done.

    Should it stop again at once, such moments are enough for the guest to greet a new daemon.
    """
    with contextlib.suppress(HyperError):  # it ends
        while not done.is_set():
            if await vm.is_stalled():
                await vm.resume()
            await asyncio.sleep(_MOMENT_S)


async def look(services: Services, free: int, before: int) -> None:
    """Look once, with so many bytes `free` now and `before`: what was full may be so no more.

    A VM may wait for a disk other than the root's, that of a volume: then it is silent.
    """
    async with asyncio.TaskGroup() as tasks:
        for pod in services.pods():
            for machine in _machines(pod):
                agent = machine.agent
                if min(free, before) < _LOW_BYTES or agent.silent or agent.stall:
                    look_at = _look_at(pod, machine, free)
                    tasks.create_task(look_at, name=f"space of {pod.row.id[:12]}")
    reserve = services.store.reserve
    if not reserve.whole:
        await services.store.call(reserve.take)


def _machines(pod: Pod) -> Iterator[Machine]:
    if pod.machine is not None:
        yield pod.machine
    for visit in pod.visits.values():
        if visit.own:
            yield visit.machine


async def _look_at(pod: Pod, machine: Machine, free: int) -> None:
    agent = machine.agent
    try:
        stalled = await machine.vm.is_stalled()
        if stalled and free >= _ENOUGH_BYTES:
            await machine.vm.resume()
    except HyperError as err:  # it ends, mostly
        pod.log.debug("whether the VM stands still: %s", err)
        return
    if stalled and not agent.stall:
        agent.stall = STALL
        pod.log.warning("the VM stands still: the host has no space for what it writes")
    elif agent.stall and not stalled:
        agent.stall = ""
        pod.log.warning("the VM goes on: there is space again")
