"""Owns named volumes: their records, and which mounts of a container become which volume.

Their folders and files are storage's.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import time_ns
from weakref import WeakValueDictionary

from hyper.core.errors import Conflict, HyperError, InvalidArgument, NotFound
from hyper.core.ids import check_name, new_id
from hyper.core.pod_spec import Medium, PodVolume, VolumeSource
from hyper.core.spec import ContainerSpec, Mount, MountKind
from hyper.engine.events import Event, EventFeed
from hyper.engine.plan import clean_path
from hyper.engine.pod_plan import pod_volume_name
from hyper.engine.store import Store
from hyper.engine.views import ContainerView, MountView, VolumeView
from hyper.engine.volume_options import LOCAL, volume_source
from hyper.images.catalog import Image
from hyper.storage.volume_disks import Snapshot, VolumeDisks
from hyper.storage.volumes import Volumes as VolumeFolders

UNKNOWN_BYTES = -1
"""What Docker calls the size of a volume that it cannot measure."""


class Volumes:
    """All named volumes; what carries one is decided by its driver and options
    (volume_options).
    """

    def __init__(
        self, store: Store, feed: EventFeed, folders: VolumeFolders, disks: VolumeDisks
    ) -> None:
        self._store = store
        self._feed = feed
        self._folders = folders
        self._disks = disks
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _turn(self, name: str) -> asyncio.Lock:
        """Return what is held to make or remove a volume of this name: two at once would cross."""
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = asyncio.Lock()
        return turn

    async def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        labels: tuple[tuple[str, str], ...] = (),
        options: tuple[tuple[str, str], ...] = (),
        anonymous: bool = False,
    ) -> VolumeView:
        """Create a volume, or return the one of that name; a `driver` of "" is local, or its own.

        Raises InvalidArgument, Unsupported, Conflict when the one there is has another driver.
        """
        if name:
            check_name(name, "volume")
        async with self._turn(name) if name else contextlib.nullcontext():
            return await self._create(name, driver, labels, options, anonymous)

    async def _create(
        self,
        name: str,
        driver: str,
        labels: tuple[tuple[str, str], ...],
        options: tuple[tuple[str, str], ...],
        anonymous: bool,
    ) -> VolumeView:
        if name and (existing := await self._existing(name)):
            if driver not in ("", existing.driver):
                raise Conflict(f"create {name}: conflict: volume name must be unique")
            return existing
        source = volume_source(name, driver or LOCAL, dict(options))
        name = name or new_id()
        source, path = await self._place(name, source)
        volume = VolumeView(
            name, driver or LOCAL, path, time_ns(), labels, options, anonymous, source=source
        )
        await self.store(volume, "create")
        return volume

    async def _existing(self, name: str) -> VolumeView | None:
        try:
            return await self.get(name)
        except NotFound:
            return None

    async def _place(
        self, name: str, source: VolumeSource | None
    ) -> tuple[VolumeSource | None, str]:
        """Make what a volume has of its own; return what carries it, and where that is."""
        if source is None:
            return None, str(self._folders.create(name))
        if source.medium is Medium.DISK and not source.source:
            path = await self._disks.create(name, source.size_bytes, source.image_format)
            size = path.stat().st_size if source.image_format == "raw" else source.size_bytes
            return replace(source, source=str(path), size_bytes=size), str(path)
        on_host = source.medium in (Medium.DISK, Medium.DIRECTORY)
        return source, source.source if on_host else ""

    async def store(self, volume: VolumeView, action: str) -> None:
        """Store a volume as it is now, with the event of what was done to it."""
        event = Event("volume", action, volume.name, (("driver", volume.driver),))
        await self._store.call(self._store.volume_table.put, volume, (event,))
        self._feed.publish(event)

    async def get(self, name: str) -> VolumeView:
        """Return a volume. Raises NotFound."""
        for volume in await self.list():
            if volume.name == name:
                return volume
        raise NotFound("volume", name)

    async def list(self) -> list[VolumeView]:
        """Return every volume."""
        return await self._store.call(self._store.volume_table.all)

    def snapshots(self, volume: VolumeView) -> Sequence[Snapshot]:
        """Return the snapshots of a volume, oldest first; one that is no disk image has none."""
        if volume.source is None:
            return ()
        return self._disks.snapshots(volume.name, volume.source.image_format)

    async def remove(self, name: str, force: bool = False) -> None:
        """Remove a volume and what Hyper keeps of it. Raises NotFound, Conflict while a container
        names it or, unless forced, it has snapshots.
        """
        async with self._turn(name):
            await self._remove(name, force)

    async def _remove(self, name: str, force: bool) -> None:
        try:
            volume = await self.get(name)
        except NotFound:
            if force:
                return
            raise
        kept = () if force or volume.reference_count else self.snapshots(volume)
        if kept:
            names = ", ".join(snapshot.name for snapshot in kept)
            raise Conflict(f"remove {name}: it has snapshots ({names}): remove them, or use force")
        removed = Event("volume", "destroy", name, (("driver", volume.driver),))
        await self._store.call(self._store.volume_table.remove, name, (removed,))
        try:
            await self._folders.remove(name)
        except NotFound:
            if volume.source is None:
                raise
        self._feed.publish(removed)

    async def usage_bytes(self, name: str) -> int:
        """Return the bytes a volume takes on the host, UNKNOWN_BYTES when that is not Hyper's."""
        source = (await self.get(name)).source
        if source is None:
            return await self._folders.usage_bytes(name)
        if not source.grow:
            return UNKNOWN_BYTES
        try:
            return os.stat(source.source).st_blocks * 512
        except OSError:
            return UNKNOWN_BYTES

    async def resolve(
        self,
        spec: ContainerSpec,
        image: Image,
        container_of: Callable[[str], ContainerView],
        of_pod: Sequence[PodVolume] = (),
    ) -> tuple[MountView, ...]:
        """Return a container's mounts; named and anonymous volumes are made when missing.

        The user's mounts win over --volumes-from, and those over the image's VOLUMEs. `of_pod`
        are the volumes its pod has. Of a failure no anonymous volume is left.
        """
        mounts: dict[str, MountView] = {}
        try:
            await self._resolve(spec, image, container_of, of_pod, mounts)
        except HyperError:
            await self.release(tuple(mounts.values()))
            raise
        return tuple(mounts.values())

    async def _resolve(
        self,
        spec: ContainerSpec,
        image: Image,
        container_of: Callable[[str], ContainerView],
        of_pod: Sequence[PodVolume],
        mounts: dict[str, MountView],
    ) -> None:
        for reference in spec.volumes_from:
            name, _, mode = reference.partition(":")
            if mode not in ("", "ro", "rw", "z", "Z"):
                raise InvalidArgument(f"invalid mode: {mode}")
            try:
                mounts_of = container_of(name).mounts
            except NotFound as err:
                # Not 404: that would tell the docker command to pull the image.
                raise InvalidArgument(str(err)) from err
            for inherited in mounts_of:
                read_only = inherited.read_only or mode == "ro"
                mounts[inherited.destination] = replace(inherited, read_only=read_only)
        asked: set[str] = set()
        for mount in spec.mounts:
            destination = clean_path(mount.destination)
            if destination in asked:
                raise InvalidArgument(f"Duplicate mount point: {destination}")
            if destination == "/":
                raise InvalidArgument("invalid specification: destination can't be '/'")
            asked.add(destination)
            if mount.kind is MountKind.POD:
                mounts[destination] = _of_pod(_view(mount, destination), mount.source, of_pod)
            else:
                mounts[destination] = await self._resolve_one(mount, destination)
        for path in image.config.volumes:
            destination = clean_path(path)
            if destination not in mounts:
                anonymous = Mount(MountKind.VOLUME, destination)
                mounts[destination] = await self._resolve_one(anonymous, destination)

    async def _resolve_one(self, mount: Mount, destination: str) -> MountView:
        view = _view(mount, destination)
        if mount.kind is MountKind.TMPFS:
            return view
        if mount.kind is MountKind.BIND:
            return replace(view, source=_bind_source(mount), copy=False)
        volume = await self.create(
            mount.source,
            driver=mount.driver,
            labels=mount.labels,
            options=mount.driver_options,
            anonymous=not mount.source,
        )
        view = replace(view, name=volume.name, source=volume.mountpoint, driver=volume.driver)
        return replace(_carried(view, volume.source), anonymous=not mount.source)

    async def release(self, mounts: Sequence[MountView]) -> None:
        """Remove the anonymous volumes among the mounts of a container that is gone."""
        for mount in mounts:
            if mount.anonymous:
                try:
                    await self.remove(mount.name, force=True)
                except Conflict:
                    continue  # shared through --volumes-from with a container that lives on


def mounted(mounts: Sequence[MountView], container_id: str) -> tuple[Event, ...]:
    """Return the events of a container's start about the volumes among its mounts."""
    return tuple(
        _use(
            "mount",
            mount,
            container_id,
            ("destination", mount.destination),
            ("propagation", mount.propagation),
            ("read/write", str(not mount.read_only).lower()),
        )
        for mount in mounts
        if mount.kind is MountKind.VOLUME
    )


def unmounted(mounts: Sequence[MountView], container_id: str) -> tuple[Event, ...]:
    """Return the events of a container's end about the volumes among its mounts."""
    return tuple(
        _use("unmount", mount, container_id) for mount in mounts if mount.kind is MountKind.VOLUME
    )


def _use(action: str, mount: MountView, container_id: str, *more: tuple[str, str]) -> Event:
    attributes = (("container", container_id), ("driver", mount.driver or LOCAL), *more)
    return Event("volume", action, mount.name, attributes)


def _view(mount: Mount, destination: str) -> MountView:
    return MountView(
        kind=mount.kind,
        destination=destination,
        read_only=mount.read_only,
        subpath=mount.subpath,
        subpath_mode=mount.subpath_mode,
        copy=mount.copy,
        propagation=mount.propagation,
        options=mount.options,
        size_bytes=mount.size_bytes,
        mode=mount.mode,
    )


def _carried(view: MountView, source: VolumeSource | None) -> MountView:
    """Return a mount of a volume that `source` carries."""
    if source is None:
        return view
    view = replace(view, read_only=view.read_only or source.read_only)
    if source.medium is Medium.DIRECTORY:
        return replace(view, source=_bind_source(Mount(MountKind.BIND, "", source.source)))
    return replace(view, volume=source, copy=view.copy and not source.read_only)


def _of_pod(view: MountView, name: str, volumes: Sequence[PodVolume]) -> MountView:
    """Return a mount of a volume of the pod. Raises InvalidArgument when it has none so named."""
    volume = next((volume for volume in volumes if volume.name == name), None)
    if volume is None:
        raise InvalidArgument(f"{view.destination}: the pod has no volume named {name!r}")
    source = volume.source
    view = replace(
        view, name=pod_volume_name(name), copy=False, read_only=view.read_only or source.read_only
    )
    if source.medium is Medium.DIRECTORY:
        return replace(view, source=_bind_source(Mount(MountKind.BIND, "", source.source)))
    return replace(view, volume=source)


def _bind_source(mount: Mount) -> str:
    refusal = 'invalid mount config for type "bind": '
    if not os.path.isabs(mount.source):
        raise InvalidArgument(
            f"{refusal}invalid mount path: '{mount.source}' mount path must be absolute"
        )
    if not os.path.exists(mount.source):
        if not mount.create_source:
            raise InvalidArgument(f"{refusal}bind source path does not exist: {mount.source}")
        os.makedirs(mount.source, exist_ok=True)
    return os.path.realpath(mount.source)
