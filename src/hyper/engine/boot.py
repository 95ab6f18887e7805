"""The steps that start a pod's VM and prepare a container in it, each with its undo.

Resources are acquired in order on an AsyncExitStack (network, disks, VM, agent); when a step fails
the stack unwinds and nothing is left behind.
"""

import json
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from hyper.agent import messages as guest
from hyper.agent.client import AgentClient
from hyper.core.errors import HyperError, HypervisorError
from hyper.core.pod_spec import PodSpec
from hyper.core.spec import ContainerSpec, Disk, Nic, NicKind, VmSpec
from hyper.engine import devices, links, plan, pod_plan, written
from hyper.engine.container import Container
from hyper.engine.machine import Machine, container_disks
from hyper.engine.services import Services
from hyper.engine.store import PodRow
from hyper.host.files import private_directory
from hyper.host.threads import in_thread
from hyper.hypervisor.driver import Vm
from hyper.network.networks import Link
from hyper.storage.disks import create_writable

_log = logging.getLogger("engine.boot")

CONNECT_S = 30.0
Watch = Callable[[Machine], None]
"""Serves a machine's agent and notices its end."""


class Booting(Protocol):
    """What of a pod the steps need."""

    row: PodRow
    containers: dict[str, Container]


async def start(pod: Booting, services: Services, first: Container | None, watch: Watch) -> Machine:
    """Start the pod's VM, with `first`'s disks in its slots, and set it up.

    Raises HyperError; whatever had been acquired is given back.
    """
    containers = tuple(pod.containers.values())
    specs = [container.spec for container in containers]

    async def link_to(nic: Nic | None) -> Link:
        return await links.connect(pod.row, containers, services, nic)

    async with AsyncExitStack() as undo:
        connected = bool(services.registry.wanted(pod.row.spec, containers))
        shape = vm_shape(pod.row, services, specs, connected=connected)
        vm, link, spec = await _acquire(services, pod.row.id, shape, first, link_to, undo)
        try:
            machine = await connect(pod, vm, link, watch, resume=False)
        except HypervisorError:
            # If it was a clone, its template may be bad; a few of these and it is made anew.
            services.factory.reject(await services.driver.template_key(spec))
            raise
        _log.debug("%s: the agent answers", spec.vm_id[:12])
        undo.push_async_callback(_abandon, machine)
        shm_bytes = pod.row.spec.shm_size_bytes or max(
            (spec.shm_size_bytes for spec in specs), default=0
        )
        await machine.setup(links.interfaces(link), shm_bytes, pod.row.spec)
        await _begin_small(machine, pod.row.spec, specs)
        for service in pod.row.spec.services:
            request = pod_plan.service_request(
                service, pod.row.spec.services, machine.network.address
            )
            await machine.agent.request(request)
        undo.pop_all()
    return machine


async def _begin_small(
    machine: Machine, spec: PodSpec, containers: Sequence[ContainerSpec]
) -> None:
    """Have a VM that may grow use no more than it is to begin with."""
    if spec.max_vcpus:
        vcpus = plan.vm_vcpus(containers, spec.vcpus, spec.max_vcpus)
        await machine.agent.request(guest.CpusSet(online=vcpus))
    if spec.max_memory_bytes:
        await machine.vm.balloon(spec.memory_bytes)


async def _acquire(
    services: Services,
    name: str,
    shape: VmSpec,
    first: Container | None,
    link_to: Callable[[Nic | None], Awaitable[Link]],
    undo: AsyncExitStack,
) -> tuple[Vm, Link, VmSpec]:
    """Start a VM of this shape: link, disks, folder, VM, each with its undo.

    A waiting VM brings its network device, so it is taken before the link is made, under `name`.
    """
    waiting = await services.factory.take(shape)
    try:
        link = await link_to(waiting.nic if waiting else None)
    except BaseException:
        if waiting:
            await services.factory.end(waiting)
        raise
    undo.push_async_callback(services.networks.disconnect, name)
    if waiting:
        undo.push_async_callback(waiting.kill)
    disks = await prepare_disks(services, first) if first else ()
    shutil.rmtree(shape.run_dir, ignore_errors=True)
    private_directory(shape.run_dir)
    undo.callback(shutil.rmtree, shape.run_dir, ignore_errors=True)
    spec = replace(shape, disks=disks, nic=link.nic)
    vm = await services.factory.start(spec, waiting)
    _log.debug("%s: has a VM", spec.vm_id[:12])
    undo.push_async_callback(vm.kill)
    services.networks.settle(name)
    return vm, link, spec


async def start_visit(pod: Booting, services: Services, first: Container, watch: Watch) -> Machine:
    """Start a VM in which containers' files are used while their pod has none: without a network.

    Its folder is of no pod, so a daemon that starts ends what an earlier one left of these. Raises
    HyperError; whatever had been acquired is given back.
    """
    name = _visit_name(pod)

    async def link_to(nic: Nic | None) -> Link:
        return await services.networks.connect(name, (), (), nic)

    async with AsyncExitStack() as undo:
        run_dir = services.places.pods / name
        shape = vm_shape(pod.row, services, [first.spec], connected=False)
        shape = replace(shape, vm_id=name, run_dir=run_dir, machine="", pci_devices=())
        vm, link, _ = await _acquire(services, name, shape, first, link_to, undo)
        machine = await connect(pod, vm, link, watch, resume=False)
        undo.push_async_callback(_abandon, machine)
        await machine.setup((), 0, pod.row.spec)
        undo.pop_all()
    return machine


async def release_visit(pod: Booting, services: Services) -> None:
    """Give back what a visit's VM had on the host, once it is gone."""
    name = _visit_name(pod)
    services.disk_uses.release(pod.row.id)
    await services.networks.disconnect(name)
    await in_thread("delete", shutil.rmtree, services.places.pods / name, True)


def _visit_name(pod: Booting) -> str:
    return f"files-{pod.row.id[:12]}"


async def release(services: Services, pod_id: str) -> None:
    """Give back what a pod's VM had on the host, once it is gone: its link and its run folder."""
    services.disk_uses.release(pod_id)
    await services.networks.disconnect(pod_id)
    await in_thread("delete", shutil.rmtree, services.places.pods / pod_id[:12], True)


def vm_shape(
    row: PodRow, services: Services, specs: list[ContainerSpec], *, connected: bool
) -> VmSpec:
    """Return the shape of the pod's VM: all but its disks, and its device only by kind."""
    settings = services.settings
    kind = services.networks.kind
    if kind is NicKind.USER and not connected:
        kind = NicKind.NONE  # that device leads out whatever the guest is told
    memory = row.spec.max_memory_bytes or row.spec.memory_bytes
    vcpus = row.spec.max_vcpus or row.spec.vcpus or settings.vcpus
    return VmSpec(
        vm_id=row.id[:12],
        vcpus=plan.vm_vcpus(specs, vcpus, os.cpu_count() or 1),
        memory_bytes=memory or plan.vm_memory_bytes(specs, settings.memory_bytes),
        kernel=services.kernel_of(row.spec.kernel),
        kernel_parameters=row.spec.kernel_parameters,
        initrd=services.initrd,
        run_dir=services.places.pods / row.id[:12],
        nic=Nic(kind, ""),
        machine=row.spec.machine,
        pci_devices=devices.pci_devices(row.spec),
    )


async def connect(pod: Booting, vm: Vm, link: Link, watch: Watch, *, resume: bool) -> Machine:
    """Connect to a VM's agent and have the pod watch both. Raises HypervisorError if it is
    silent.
    """
    try:
        agent = await AgentClient.connect(vm.agent_socket, resume=resume, timeout_s=CONNECT_S)
    except HyperError as err:
        await vm.kill()
        ended = await vm.wait()
        raise HypervisorError(f"the VM did not start: {err}", ended.console_tail) from err
    machine = Machine(
        vm=vm,
        agent=agent,
        network=links.view(link),
        nameservers=link.nameservers,
        hostname=hostname(pod),
        link=link,
    )
    watch(machine)
    return machine


async def greet(agent_socket: Path) -> None:
    """Return once a VM's agent answers; for templates and waiting clones, which have no pod yet."""
    agent = await AgentClient.connect(agent_socket, resume=False, timeout_s=CONNECT_S)
    await agent.close()


async def _abandon(machine: Machine) -> None:
    machine.ending = True
    await machine.agent.close()


async def forget(
    pod: Booting, services: Services, machine: Machine, container: Container, *, detach: bool
) -> None:
    """Have a VM forget a container, and let others have the disks it alone used."""
    try:
        size = await machine.forget(container, detach=detach)
    finally:
        services.disk_uses.release(pod.row.id, machine.volumes)
    if size is not None:
        written.put(container, size)


async def prepare_disks(services: Services, container: Container) -> tuple[Disk, Disk]:
    """Return a container's disks; its writable one is made if this is its first start."""
    image = services.images.get(container.spec.image_id)
    chain = await services.images.chain(image)
    if not container.rw_disk.exists():
        container.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = container.spec.storage_size_bytes or services.settings.disk_bytes
        private_directory(container.folder)
        await create_writable(container.rw_disk, size, empty_images=services.places.empty_disks)
    return container_disks(container, chain)


async def delete_pod_files(services: Services, pod_id: str) -> None:
    """Delete the volumes a removed pod had for itself."""
    await in_thread("delete", shutil.rmtree, services.places.pod_disks / pod_id, True)


async def delete_files(container: Container) -> None:
    """Delete a removed container's folder: its log and writable disk."""
    container.log.remove()
    await in_thread("delete", shutil.rmtree, container.folder, True)


def hostname(pod: Booting) -> str:
    """Return the pod's host name: its own or, of a lone one, that of its container."""
    if pod.row.spec.hostname or not pod.containers:
        return pod.row.spec.hostname or pod.row.spec.name
    return next(iter(pod.containers.values())).hostname


# --- what is stored of a running machine ----------------------------------------------------------


def resources_record(machine: Machine) -> str:
    """Return what is needed, besides the driver's record, to take the machine over later."""
    return json.dumps(
        {
            "link": machine.link.record,
            "next_process": machine.next_process,
            "began_ns": machine.began_ns,
        }
    )


def vm_record(machine: Machine) -> str:
    """Return the driver's record of the VM as text."""
    return machine.vm.record.to_json()
