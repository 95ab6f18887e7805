"""Owns what exists only while a pod runs: its VM, its agent, what is attached to it.

It knows the order in which a guest is set up; it stores nothing and decides no life cycle.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time_ns

from hyper.agent import messages as guest
from hyper.agent.client import AgentClient
from hyper.core.spec import Disk
from hyper.engine import plan
from hyper.engine.container import Container
from hyper.engine.views import NetworkView
from hyper.hypervisor.driver import Vm
from hyper.network.networks import Link

ENTROPY_BYTES = 64


@dataclass(frozen=True, slots=True)
class Attached:
    """What one container occupies in the VM."""

    layers: tuple[guest.Device, ...]
    writable: guest.Device
    volumes: tuple[str, ...] = ()

    @classmethod
    def of(cls, vm: Vm, container: Container, disks: tuple[Disk, Disk]) -> "Attached":
        """Return what a container occupies once its disks are in the VM."""
        layers, writable = (vm.device_of(disk.disk_id) for disk in disks)
        return cls(
            layers=extent_devices(layers.bus, layers.index, disks[0].extents),
            writable=guest.Device(bus=writable.bus, index=writable.index),
            volumes=tuple(plan.share_name(mount) for mount in container.mounts if mount.source),
        )


@dataclass(slots=True)
class Machine:
    """A running VM. `containers` are those the guest knows, by id."""

    vm: Vm
    agent: AgentClient
    network: NetworkView
    nameservers: tuple[str, ...]
    hostname: str
    link: Link
    next_process: int = 1
    containers: dict[str, Attached] = field(default_factory=dict)
    disks: set[str] = field(default_factory=set)
    volumes: dict[str, int] = field(default_factory=dict)
    ending: bool = False

    def new_process_id(self) -> int:
        """Return a process id never used in this VM."""
        self.next_process += 1
        return self.next_process - 1

    async def setup(self, interfaces: Sequence[guest.Interface], shm_bytes: int) -> None:
        """Give the guest its identity: clock, entropy, names, network."""
        await self.agent.request(
            guest.PodSetup(
                wall_ns=time_ns(),
                entropy=os.urandom(ENTROPY_BYTES),
                hostname=self.hostname,
                domainname="",
                machine_id=secrets.token_bytes(16),
                interfaces=tuple(interfaces),
                sysctls=(),
                shm_bytes=shm_bytes,
            )
        )

    async def attach(self, container: Container, disks: tuple[Disk, Disk]) -> Attached:
        """Make a container's disks and volumes reachable for the guest."""
        for disk in disks:
            if disk.disk_id not in self.disks:
                await self.vm.attach_disk(disk)
                self.disks.add(disk.disk_id)
        attached = Attached.of(self.vm, container, disks)
        self.containers[container.id] = attached
        for mount in container.mounts:
            if mount.source:
                await self._share(plan.share_name(mount), Path(mount.source))
        return attached

    async def _share(self, name: str, source: Path) -> None:
        # Read-only is a property of each container's mount, so the share itself is writable.
        users = self.volumes.get(name, 0)
        if not users:
            await self.vm.share_add(name, source, read_only=False)
            await self.agent.request(guest.VolumeAdd(volume=name, kind=0, path=name))
        self.volumes[name] = users + 1

    async def create(self, container: Container, attached: Attached) -> None:
        """Have the guest mount a container's root file system."""
        spec = container.spec
        security = spec.security
        files = plan.identity_files(
            spec, container.hostname, self.network.address, self.nameservers
        )
        own_name = container.hostname if container.hostname != self.hostname else ""
        await self.agent.request(
            guest.ContainerCreate(
                container=container.id,
                layers=attached.layers,
                writable_kind=1,
                writable=attached.writable,
                read_only_root=spec.read_only_root,
                mounts=(*files, *plan.user_mounts(container.mounts)),
                masked_paths=plan.paths(
                    security.masked_paths, plan.MASKED_PATHS, security.privileged
                ),
                read_only_paths=plan.paths(
                    security.read_only_paths, plan.READ_ONLY_PATHS, security.privileged
                ),
                cgroup=plan.cgroup(spec.resources),
                share_pid=False,
                hostname=own_name,
                domainname=spec.domainname,
                init=spec.init,
                sysctls=tuple(guest.KeyValue(key, value) for key, value in spec.sysctls),
            ),
            timeout_s=60,
        )

    async def start(self, request: guest.ProcessStart) -> int:
        """Start a process and return its pid in the VM. Raises GuestError with the failing step."""
        return (await self.agent.request(request, timeout_s=60)).pid

    async def forget(self, container: Container, *, detach: bool) -> None:
        """Have the guest unmount a container, and take its disks away."""
        attached = self.containers.pop(container.id, None)
        if attached is None:
            return
        await self.agent.request(guest.ContainerRemove(container=container.id))
        for name in attached.volumes:
            self.volumes[name] -= 1
            if not self.volumes[name]:
                del self.volumes[name]
                await self.agent.request(guest.VolumeRemove(volume=name))
                await self.vm.share_remove(name)
        if detach:
            for disk_id in disk_ids(container):
                if disk_id in self.disks:
                    await self.vm.detach_disk(disk_id)
                    self.disks.discard(disk_id)


def disk_ids(container: Container) -> tuple[str, str]:
    """Return the ids of a container's two disks: its image's layers, and its writable one."""
    short = container.id[:12]
    return f"image-{short}", f"rw-{short}"


def container_disks(container: Container, chain: Sequence[Path]) -> tuple[Disk, Disk]:
    """Return a container's disks in slot order."""
    image_id, writable_id = disk_ids(container)
    return (
        Disk(image_id, tuple(chain), read_only=True),
        Disk(writable_id, (container.rw_disk,), read_only=False),
    )


def extent_devices(bus: int, index: int, chain: Sequence[Path]) -> tuple[guest.Device, ...]:
    """Return where on a disk each layer lies; a lone layer is the whole disk."""
    if len(chain) == 1:
        return (guest.Device(bus=bus, index=index),)
    devices = []
    offset = 0
    for path in chain:
        length = path.stat().st_size
        devices.append(guest.Device(bus=bus, index=index, offset_bytes=offset, length_bytes=length))
        offset += length
    return tuple(devices)
