"""Owns what is done to a volume that is a disk image as a whole: snapshots, their return, growth.

A snapshot of a disk that a pod writes to is taken while the guest holds its writers up; that it
still did afterwards is the proof that the copy is consistent.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from hyper.agent import messages as guest
from hyper.core.errors import Conflict, Failure, HyperError, InvalidArgument, NotFound, Unsupported
from hyper.core.ids import new_id
from hyper.core.pod_spec import Medium, VolumeSource
from hyper.engine.disk_use import Use, disk_identity
from hyper.engine.machine import Machine
from hyper.engine.pods import Pods
from hyper.engine.services import Services
from hyper.engine.views import VolumeView
from hyper.engine.volumes import Volumes
from hyper.storage.volume_disks import Snapshot, VolumeDisks

FREEZE_S = 60.0
GROW_S = 150.0


class Snapshots:
    """Snapshots and sizes of volumes."""

    def __init__(
        self, services: Services, pods: Pods, volumes: Volumes, disks: VolumeDisks
    ) -> None:
        self._services = services
        self._pods = pods
        self._volumes = volumes
        self._disks = disks

    async def list(self, name: str) -> Sequence[Snapshot]:
        """Return the snapshots of a volume, oldest first. Raises NotFound."""
        return self._volumes.snapshots(await self._volumes.get(name))

    async def take(self, name: str, snapshot: str) -> Snapshot:
        """Take a snapshot of a volume, in use or not.

        Raises NotFound, Conflict when there is one of this name, Unsupported for a volume that is
        no disk image, Failure when a pod went on writing before the copy was done.
        """
        volume, source = await self._file_of(name, "snapshot")
        self._disks.check_new(name, snapshot)
        writer = self._writer(source)
        if writer is None:
            async with self._held(source, volume, "a snapshot being taken", read_only=True):
                await self._disks.take(name, Path(source.source), snapshot)
        else:
            await self._take_frozen(volume, source, snapshot, writer)
        return next(item for item in self._volumes.snapshots(volume) if item.name == snapshot)

    async def _take_frozen(
        self, volume: VolumeView, source: VolumeSource, snapshot: str, writer: Use
    ) -> None:
        machine = self._machine_of(writer, volume.name)
        await machine.agent.request(
            guest.VolumeFreeze(volume=writer.name, frozen=True), timeout_s=FREEZE_S
        )
        try:
            await self._disks.take(volume.name, Path(source.source), snapshot)
        finally:
            thawed = await self._thaw(machine, writer.name)
        if thawed is not None:
            self._disks.remove(volume.name, snapshot)
            raise Failure(
                f"volume {volume.name}: {writer.user} went on before the snapshot was whole "
                f"({thawed}): stop the pod and take it again"
            )

    async def _thaw(self, machine: Machine, name: str) -> HyperError | None:
        """Let the writers of a volume go on; return why it was not held up any more, if so."""
        try:
            await machine.agent.request(guest.VolumeFreeze(volume=name, frozen=False))
        except HyperError as err:
            return err
        return None

    def _machine_of(self, use: Use, name: str) -> Machine:
        if use.pod_id:
            try:
                machine = self._pods.find(use.pod_id).machine
            except NotFound:
                machine = None
            if machine is not None and use.name in machine.volumes:
                return machine
        raise Conflict(f"volume {name}: {use.user} works on it: try again when that is done")

    async def restore(self, name: str, snapshot: str) -> VolumeView:
        """Make a volume what it was at a snapshot. Raises NotFound, Conflict while it is in use."""
        volume, source = await self._file_of(name, "restore")
        self._disks.snapshot_path(name, snapshot)
        async with self._held(source, volume, "the restore of a snapshot", read_only=False):
            size = await self._disks.restore(
                name, Path(source.source), snapshot, source.image_format
            )
            if source.grow:
                volume = replace(volume, source=replace(source, size_bytes=size))
            await self._volumes.store(volume, "restore")
        return volume

    async def remove(self, name: str, snapshot: str) -> None:
        """Delete a snapshot. Raises NotFound."""
        self._disks.remove((await self._volumes.get(name)).name, snapshot)

    async def resize(self, name: str, size_bytes: int) -> VolumeView:
        """Make a volume larger: at once if a pod writes to it, else its file system follows at its
        next use.

        Raises Conflict while pods read it, InvalidArgument for a smaller size, Unsupported when
        its image is not Hyper's own, Failure when the pod's guest does not follow.
        """
        volume, source = await self._disk_of(name, "resize")
        if not source.grow:
            raise Unsupported(
                f"resize {name}: {source.source} is not an image Hyper made: enlarge it and its "
                "file system with their own tools"
            )
        if size_bytes < source.size_bytes:
            raise InvalidArgument(
                f"resize {name}: it has {source.size_bytes} bytes: a volume can only be made "
                "larger; copy what is in it to a smaller one"
            )
        if writer := self._writer(source):
            return await self._grow_in_use(volume, source, size_bytes, writer)
        async with self._held(source, volume, "a change of its size", read_only=False):
            size = await self._disks.grow(Path(source.source), size_bytes, source.image_format)
            return await self._store_size(volume, source, size)

    async def _grow_in_use(
        self, volume: VolumeView, source: VolumeSource, size_bytes: int, writer: Use
    ) -> VolumeView:
        """Enlarge disk and file system of a pod that runs; the VMM enlarges the image."""
        machine = self._machine_of(writer, volume.name)
        size = self._disks.size_after(Path(source.source), size_bytes, source.image_format)
        await machine.vm.disks.resize(writer.name, size)
        volume = await self._store_size(volume, source, size)
        try:
            await machine.agent.request(guest.VolumeGrow(volume=writer.name), timeout_s=GROW_S)
        except HyperError as err:
            raise Failure(
                f"resize {volume.name}: its image has {size} bytes now, but {writer.user} did not "
                f"enlarge the file system ({err}): that follows at the next start"
            ) from err
        return volume

    async def _store_size(
        self, volume: VolumeView, source: VolumeSource, size_bytes: int
    ) -> VolumeView:
        volume = replace(volume, source=replace(source, size_bytes=size_bytes))
        await self._volumes.store(volume, "resize")
        return volume

    def _writer(self, source: VolumeSource) -> Use | None:
        users = self._services.disk_uses.users(disk_identity(source.source))
        return next((use for use in users if not use.read_only), None)

    async def _disk_of(self, name: str, what: str) -> tuple[VolumeView, VolumeSource]:
        volume = await self._volumes.get(name)
        source = volume.source
        if source is not None and source.medium is Medium.DISK:
            return volume, source
        kind = "a directory" if source is None else f"of medium {source.medium}"
        raise Unsupported(
            f"{what} {name}: the volume is {kind}, only one that is a disk image can: make it with "
            "a size (--opt size=1g)"
        )

    async def _file_of(self, name: str, what: str) -> tuple[VolumeView, VolumeSource]:
        volume, source = await self._disk_of(name, what)
        if disk_identity(source.source)[0] == "block":
            raise Unsupported(
                f"{what} {name}: {source.source} is a block device: use what its driver offers "
                "(LVM, ZFS)"
            )
        return volume, source

    @asynccontextmanager
    async def _held(
        self, source: VolumeSource, volume: VolumeView, work: str, *, read_only: bool
    ) -> AsyncIterator[None]:
        """Keep pods from using a disk while we work on it. Raises Conflict while one does."""
        key = f"work {new_id()}"
        uses = self._services.disk_uses
        identity = disk_identity(source.source)
        if not read_only and (users := uses.users(identity)):
            raise Conflict(
                f"volume {volume.name}: {users[0].user} uses it, and {work} is possible only while "
                "nobody does: stop it first"
            )
        uses.claim(identity, f"volume {volume.name}", Use(key, work, "", read_only))
        try:
            yield
        finally:
            uses.release(key)
