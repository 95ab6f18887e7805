"""Makes ready what carries a container's volumes before its VM is told of them: disks, exports.

A disk that is made for a pod is made here at its first use; who else uses a disk is disk_use's.
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from hyper.core.errors import HyperError, NotFound
from hyper.core.mount_options import join_export, parse_nfs, split_export
from hyper.core.pod_spec import Medium, VolumeSource
from hyper.core.spec import Disk, MountKind
from hyper.engine import plan
from hyper.engine.container import Container
from hyper.engine.disk_use import Use, disk_identity, memory_identity
from hyper.engine.services import Services
from hyper.engine.store import PodRow
from hyper.engine.views import MountView
from hyper.host.files import private_directory
from hyper.storage.disks import create_writable

NFS_PORT = 2049
LOOKUP_S = 10.0


@dataclass(frozen=True, slots=True)
class Carrier:
    """What carries a volume that is no directory of the host; `disk` if it is one."""

    source: VolumeSource
    disk: Disk | None = None


class Carried(Protocol):
    """What of a pod is needed here."""

    row: PodRow
    containers: dict[str, Container]


async def prepare(pod: Carried, services: Services, container: Container) -> dict[str, Carrier]:
    """Return the carriers of a container's volumes by their name in the VM.

    Raises Conflict when another pod's use of a disk forbids this one's, NotFound.
    """
    found = {}
    for mount in container.mounts:
        source = mount.volume
        if source is None:
            continue
        name = plan.share_name(mount)
        if source.medium is Medium.DISK:
            found[name] = await _disk(pod, services, mount, source)
        elif source.medium is Medium.NFS:
            found[name] = Carrier(await _export(pod, services, mount, source))
        else:
            if mount.kind is MountKind.VOLUME:
                use = Use(pod.row.id, _user(pod), name, read_only=False)
                services.disk_uses.claim(memory_identity(name), _described(mount), use)
            found[name] = Carrier(source)
    return found


def resume(pod: Carried, services: Services, container: Container) -> None:
    """Claim again what a container uses whose VM an earlier daemon left."""
    for mount in container.mounts:
        source, name = mount.volume, plan.share_name(mount)
        if source is None or source.medium is Medium.NFS:
            continue
        use = Use(pod.row.id, _user(pod), name, _is_read_only(pod, mount, source))
        try:
            if source.medium is Medium.DISK and source.source:
                identity = disk_identity(source.source)
                services.disk_uses.claim(identity, _described(mount), use)
            elif source.medium is Medium.MEMORY and mount.kind is MountKind.VOLUME:
                services.disk_uses.claim(memory_identity(name), _described(mount), use)
        except HyperError:
            continue  # its file was deleted behind our back: nobody else can open it either


def is_durable(mount: MountView) -> bool:
    """Return whether what was written to a volume has to reach it before its VM may be killed."""
    source = mount.volume
    return source is not None and (
        source.medium is Medium.NFS or (source.medium is Medium.DISK and bool(source.source))
    )


async def _disk(
    pod: Carried, services: Services, mount: MountView, source: VolumeSource
) -> Carrier:
    name = plan.share_name(mount)
    path = Path(source.source)
    if not source.source:
        path = services.places.pod_disks / pod.row.id / f"{name}.ext4"
        if not path.exists():
            size = source.size_bytes or services.settings.disk_bytes
            private_directory(path.parent)
            await create_writable(path, size, empty_images=services.places.empty_disks)
    else:
        read_only = _is_read_only(pod, mount, source)
        source = replace(source, read_only=read_only, grow=source.grow and not read_only)
        use = Use(pod.row.id, _user(pod), name, read_only)
        services.disk_uses.claim(disk_identity(source.source), _described(mount), use)
    return Carrier(source, Disk(name, (path,), source.read_only, source.image_format))


def _is_read_only(pod: Carried, mount: MountView, source: VolumeSource) -> bool:
    """Return whether a disk is given to the VM read-only: nobody in the pod may write to it."""
    name = plan.share_name(mount)
    return source.read_only or all(
        other.read_only
        for container in pod.containers.values()
        for other in container.mounts
        if plan.share_name(other) == name
    )


def _user(pod: Carried) -> str:
    """Return how a pod is called; one that was made for its container, by that one's name."""
    names = [container.row.name for container in pod.containers.values()]
    if pod.row.spec.lone and names:
        return f"container {names[0]}"
    return f"pod {pod.row.spec.name}"


def _described(mount: MountView) -> str:
    return f"volume {mount.name.removeprefix('_pod.')}"


async def _export(
    pod: Carried, services: Services, mount: MountView, source: VolumeSource
) -> VolumeSource:
    """Return an NFS source whose server is an address: the guest looks no names up."""
    host, path = split_export(source.source)
    host = parse_nfs(source.options).address or host
    try:
        address = str(ip_address(host))
    except ValueError:
        address = await _address_of(pod, services, host, _described(mount))
    return replace(source, source=join_export(address, path))


async def _address_of(pod: Carried, services: Services, host: str, what: str) -> str:
    """Look a name up as the pod would: on its networks first, then as the host does."""
    found = services.names.find(pod.row.id, host)
    if found:
        return found[0]
    why = "no pod of its networks has this name"
    if found is None:
        try:
            async with asyncio.timeout(LOOKUP_S):
                answers = await asyncio.get_running_loop().getaddrinfo(
                    host, NFS_PORT, type=socket.SOCK_STREAM
                )
        except TimeoutError:
            why = f"the host's resolver did not answer within {LOOKUP_S:g} s"
        except OSError as err:
            why = f"{why}, and the host's resolver says: {(err.strerror or str(err)).lower()}"
        else:
            first: Mapping[int, str] = {int(each[0]): str(each[4][0]) for each in reversed(answers)}
            return first.get(int(socket.AF_INET)) or next(iter(first.values()))
    raise NotFound("NFS server", host, f"{what}: {why}")
