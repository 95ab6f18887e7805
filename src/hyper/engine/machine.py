"""Owns what exists only while a pod runs: its VM, its agent, what is attached to it.

It knows the order in which a guest is set up; it stores nothing and decides no life cycle.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Protocol

from hyper.agent import messages as guest
from hyper.agent.client import AgentClient
from hyper.core.errors import GuestError, HyperError
from hyper.core.pod_spec import InjectedFile, PodSpec
from hyper.core.protected import MASKED_PATHS, READ_ONLY_PATHS, protected
from hyper.core.spec import ContainerSpec, Disk, MountKind
from hyper.engine import plan, pod_plan
from hyper.engine.carriers import Carrier, is_durable
from hyper.engine.container import Container
from hyper.engine.devices import NOTHING, VOLUME_DEVICE
from hyper.engine.views import MountView, NetworkView
from hyper.host.files import is_empty_directory
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
    def of(
        cls, vm: Vm, container: Container, disks: tuple[Disk, Disk], names: Iterable[str]
    ) -> "Attached":
        """Return what a container occupies once its disks are in the VM; `names` are those of its
        volumes and of the disks it is given as they are.
        """
        layers, writable = (vm.disks.address_of(disk.disk_id) for disk in disks)
        return cls(
            layers=extent_devices(layers.bus, layers.index, disks[0].extents),
            writable=guest.Device(bus=writable.bus, index=writable.index),
            volumes=tuple(names),
        )


class RunningJob(Protocol):
    """A job of the guest (jobs.py) as its machine knows it."""

    container_id: str

    def ended(self, event: guest.ProcessExited) -> None:
        """Take note of its end."""
        ...

    def lost(self) -> None:
        """Take note that the VM is gone."""
        ...

    def gone(self) -> Coroutine[None, None, None]:
        """Return when nothing of it is left."""
        ...


@dataclass(slots=True)
class Machine:
    """A running VM. `containers` are those the guest knows, by id; `volumes` counts the uses of
    each, and `durable` ones have to be written out before the VM may be killed. `unsealed` are
    shares of volumes to be read only, into which the guest puts what the image has first.
    """

    vm: Vm
    agent: AgentClient
    network: NetworkView
    nameservers: tuple[str, ...]
    hostname: str
    link: Link
    began_ns: int = field(default_factory=time_ns)
    next_process: int = 1
    containers: dict[str, Attached] = field(default_factory=dict)
    volumes: dict[str, int] = field(default_factory=dict)
    durable: set[str] = field(default_factory=set)
    unsealed: set[str] = field(default_factory=set)
    jobs: dict[int, RunningJob] = field(default_factory=dict)
    ending: bool = False

    def new_process_id(self) -> int:
        """Return a process id never used in this VM."""
        self.next_process += 1
        return self.next_process - 1

    async def setup(
        self, interfaces: Sequence[guest.Interface], shm_bytes: int, spec: PodSpec
    ) -> None:
        """Give the guest its identity: clock, entropy, names, network."""
        await self.agent.request(
            guest.PodSetup(
                wall_ns=time_ns(),
                entropy=os.urandom(ENTROPY_BYTES),
                hostname=self.hostname,
                domainname=spec.domainname,
                machine_id=secrets.token_bytes(16),
                interfaces=tuple(interfaces),
                sysctls=tuple(guest.KeyValue(key, value) for key, value in spec.sysctls),
                shm_bytes=shm_bytes,
            )
        )

    async def attach(
        self,
        container: Container,
        disks: tuple[Disk, Disk],
        volumes: Mapping[str, Carrier],
        given: Mapping[str, Disk] = NOTHING.disks,
        *,
        starts: bool = False,
    ) -> Attached:
        """Make a container's disks and volumes reachable for the guest.

        `volumes` are what carries those that are no directories, `given` the disks that are
        handed on as they are, by their name in the VM. When it `starts`, those that are only read
        and empty are left `unsealed`.
        """
        for disk in disks:
            await self._plug(disk)
        mounts = [mount for mount in container.mounts if mount.source or mount.volume]
        names = (*(plan.share_name(mount) for mount in mounts), *given)
        attached = Attached.of(self.vm, container, disks, names)
        self.containers[container.id] = attached
        fresh = starts and container.status.started_ns == 0
        for mount in mounts:
            name = plan.share_name(mount)
            make = partial(self._make_volume, name, mount, volumes, fresh)
            await self._add_volume(name, make)
            self.note_volume(name, mount)
        for name, disk in given.items():
            await self._add_volume(name, partial(self._make_device, name, disk))
            self.note_volume(name)
        return attached

    async def seal(self) -> None:
        """Let nobody write any more to volumes that are only read: the image's files are in."""
        for name in tuple(self.unsealed):
            await self.vm.share_seal(name)
            self.unsealed.discard(name)

    def known_as(self, mount: MountView) -> str:
        """Return by which name a VM that was taken over knows what a mount mounts.

        Earlier releases had one share for those who write and those who only read.
        """
        name, earlier = plan.share_name(mount), plan.writable_name(mount)
        shares = self.vm.record.shares
        return earlier if name not in shares and earlier in shares else name

    async def _plug(self, disk: Disk) -> None:
        if not self.has_disk(disk.disk_id):
            await self.vm.disks.attach(disk)

    def has_disk(self, disk_id: str) -> bool:
        """Return whether the VM has a disk of this id now."""
        return any(disk.disk_id == disk_id for disk in self.vm.record.disks)

    async def _add_volume(self, name: str, make: Callable[[], Coroutine[None, None, None]]) -> None:
        if name not in self.volumes:
            try:
                await make()
            except BaseException:
                with contextlib.suppress(HyperError):
                    await self._withdraw(name)
                raise

    async def _make_volume(
        self, name: str, mount: MountView, volumes: Mapping[str, Carrier], fresh: bool
    ) -> None:
        if name in volumes:
            await self._carry(name, volumes[name])
            return
        read_only = plan.is_shared_read_only(mount)
        if read_only and fresh and mount.copy and mount.kind is MountKind.VOLUME:
            if is_empty_directory(Path(mount.source)):
                read_only = False
                self.unsealed.add(name)
        await self.vm.share_add(name, Path(mount.source), read_only=read_only)
        added = guest.VolumeAdd(volume=name, kind=pod_plan.VOLUME_SHARE, path=name)
        await self.agent.request(added, timeout_s=60)

    def note_volume(self, name: str, mount: MountView | None = None) -> None:
        """Count one more use of a volume the guest knows, or of a device without a mount."""
        self.volumes[name] = self.volumes.get(name, 0) + 1
        if mount is not None and is_durable(mount):
            self.durable.add(name)

    async def _carry(self, name: str, made: Carrier) -> None:
        address = None
        if made.disk:
            await self._plug(made.disk)
            address = self.vm.disks.address_of(name)
        try:
            await self.agent.request(pod_plan.volume(name, made.source, address), timeout_s=60)
        except GuestError as err:
            raise pod_plan.volume_failure(name, made.source, err) from err
        for file in made.source.files:
            await self.write_file("", name, file)

    async def _make_device(self, name: str, disk: Disk) -> None:
        await self._plug(disk)
        at = self.vm.disks.address_of(name)
        device = guest.Device(bus=int(at.bus), index=at.index)
        added = guest.VolumeAdd(
            volume=name, kind=VOLUME_DEVICE, device=device, read_only=disk.read_only
        )
        await self.agent.request(added, timeout_s=60)

    async def write_file(self, container: str, volume: str, file: InjectedFile) -> None:
        """Write a file into a created container's root file system, or into a volume."""
        for piece in pod_plan.file_pieces(container, volume, file):
            await self.agent.request(piece)

    async def create(
        self,
        container: Container,
        attached: Attached,
        names: ContainerSpec,
        *,
        linked: Sequence[str] = (),
        share_pid: bool = False,
        nodes: tuple[guest.Mount, ...] = (),
    ) -> None:
        """Have the guest mount a container's root file system, and put its files there.

        `names` says what its /etc/hosts and resolv.conf have, `linked` are more lines of the first;
        `nodes` are those of devices.
        """
        spec = container.spec
        security = spec.security
        files = plan.identity_files(
            names,
            container.hostname,
            self.network.joined,
            self.nameservers,
            self.link.host,
            linked,
        )
        fresh = container.status.started_ns == 0
        own_name = container.hostname if container.hostname != self.hostname else ""
        await self.agent.request(
            guest.ContainerCreate(
                container=container.id,
                layers=attached.layers,
                writable_kind=1,
                writable=attached.writable,
                read_only_root=spec.read_only_root,
                mounts=(*files, *plan.user_mounts(container.mounts, fresh, self.unsealed), *nodes),
                masked_paths=protected(security.masked_paths, MASKED_PATHS, security.privileged),
                read_only_paths=protected(
                    security.read_only_paths, READ_ONLY_PATHS, security.privileged
                ),
                cgroup=plan.cgroup(spec.resources),
                share_pid=share_pid,
                hostname=own_name,
                domainname=spec.domainname,
                init=spec.init,
                sysctls=tuple(guest.KeyValue(key, value) for key, value in spec.sysctls),
            ),
            timeout_s=60,
        )
        for file in spec.files:
            await self.write_file(container.id, "", file)

    async def start(self, request: guest.ProcessStart) -> int:
        """Start a process and return its pid in the VM. Raises GuestError with the failing step."""
        return (await self.agent.request(request, timeout_s=60)).pid

    async def forget(self, container: Container, *, detach: bool) -> int | None:
        """Have the guest unmount a container, and take its disks away.

        Returns the bytes it had written if the guest could tell at once.
        """
        attached = self.containers.pop(container.id, None)
        if attached is None:
            return None
        written = await self._retire(container)
        for name in attached.volumes:
            self.volumes[name] -= 1
            if not self.volumes[name] and not pod_plan.belongs_to_pod(name):
                del self.volumes[name]
                await self._remove_volume(name)
        if detach:
            for disk_id in disk_ids(container):
                await self._unplug(disk_id)
        return written

    async def _retire(self, container: Container) -> int | None:
        if not self.agent.welcome.features & guest.FEATURE_SIZES:  # an earlier release's guest
            await self.agent.request(guest.ContainerRemove(container=container.id))
            return None
        size = await self.agent.request(guest.ContainerRetire(container=container.id))
        return size.written_bytes if size.known else None

    async def _remove_volume(self, name: str) -> None:
        await self.agent.request(guest.VolumeRemove(volume=name))
        await self._withdraw(name)

    async def _withdraw(self, name: str) -> None:
        self.durable.discard(name)
        self.unsealed.discard(name)
        if name in self.vm.record.shares:
            await self.vm.share_remove(name)
        await self._unplug(name)

    async def _unplug(self, disk_id: str) -> None:
        if self.has_disk(disk_id):
            await self.vm.disks.detach(disk_id)


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
