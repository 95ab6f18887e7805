"""Gets rid of what a daemon that died had begun: VMs and containers the store does not know of.

The store is right: what it does not say is running must not run, and nothing may be in its way.
"""

import contextlib
import logging
from pathlib import Path

from hyper.agent import messages as guest
from hyper.core.errors import HyperError
from hyper.engine import pod_plan
from hyper.engine.container import Container
from hyper.engine.machine import Machine, disk_ids
from hyper.engine.pod import Pod
from hyper.engine.services import Services
from hyper.engine.states import ContainerState
from hyper.host.files import remove_tree
from hyper.host.threads import in_thread
from hyper.hypervisor.driver import end_leftover

_log = logging.getLogger("engine.restore")
_RUNNING = (ContainerState.RUNNING, ContainerState.PAUSED)


async def remove_strays(services: Services, running: set[str], container_ids: set[str]) -> None:
    """End VMs of no pod, or of one that is not stored as running; delete folders of nothing.

    `running` are the names of the folders of the pods whose VM is to go on.
    """
    folders = services.places.pods
    for folder in folders.iterdir() if folders.is_dir() else ():
        if folder.name not in running:
            await _end_vm(services, folder)
    folders = services.places.containers
    for folder in folders.iterdir() if folders.is_dir() else ():
        if folder.name not in container_ids:
            await in_thread("delete", remove_tree, folder)


async def _end_vm(services: Services, folder: Path) -> None:
    if await end_leftover(services.driver, folder):
        _log.warning("ended the VM %s, which belonged to no pod that runs", folder.name)
    await in_thread("delete", remove_tree, folder)


async def clear(pod: Pod, machine: Machine) -> None:
    """Have the VM of a pod that was taken over hold nothing but the containers that run.

    Without one, a VM that is there for them alone ends.
    """
    containers = tuple(pod.containers.values())
    if pod.row.spec.follows and not any(item.status.state in _RUNNING for item in containers):
        pod.log.info("no container runs in its VM: it ends")
        await pod.stop_machine(graceful=True)
        return
    for container in containers:
        if container.status.state not in _RUNNING:
            await _clear_container(pod, machine, container)
    for name in tuple(machine.vm.record.shares):
        if name not in machine.volumes and not pod_plan.belongs_to_pod(name):
            with contextlib.suppress(HyperError):  # it may not have come to know it
                await machine.agent.request(guest.VolumeRemove(volume=name))
            await machine.vm.share_remove(name)


async def _clear_container(pod: Pod, machine: Machine, container: Container) -> None:
    if not any(machine.has_disk(disk_id) for disk_id in disk_ids(container)):
        return
    pod.log.info("container %s was being started or ended: it is cleared away", container.id[:12])
    with contextlib.suppress(HyperError):  # the guest may not know it, or not any more
        await machine.agent.request(guest.ContainerRemove(container=container.id), timeout_s=60)
    for disk_id in disk_ids(container):
        if machine.has_disk(disk_id):
            await machine.vm.disks.detach(disk_id)
