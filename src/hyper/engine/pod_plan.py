"""Turns what only pods have into what the guest is told: volumes, files. Pure functions, no I/O."""

import base64
import errno
import ipaddress
import os
from collections.abc import Iterator, Sequence

from hyper.agent import messages as guest
from hyper.core.errors import Failure, GuestError, HyperError, InvalidArgument
from hyper.core.mount_options import parse_nfs, split_flags
from hyper.core.pod_spec import InjectedFile, Medium, PodPort, PodService, PodSpec, VolumeSource
from hyper.core.spec import PortBinding
from hyper.engine.plan import clean_path
from hyper.hypervisor.driver import DeviceAddress

VOLUME_SHARE, VOLUME_DISK, VOLUME_TMPFS, VOLUME_NFS = 0, 1, 2, 3
FILE_PIECE_BYTES = 512 * 1024


def pod_volume_name(name: str) -> str:
    """Return a pod volume's name in the VM: one that no volume of Docker's can have."""
    return f"_pod.{name}"


def belongs_to_pod(name: str) -> bool:
    """Return whether this names a volume of the pod itself: it stays while the pod runs."""
    return name.startswith("_pod.")


def volume(name: str, source: VolumeSource, address: DeviceAddress | None) -> guest.VolumeAdd:
    """Return the request that makes a volume known that is no directory of the host."""
    device = guest.Device(bus=int(address.bus), index=address.index) if address else guest.Device()
    if source.medium is Medium.NFS:
        parsed = parse_nfs(source.options)
        return guest.VolumeAdd(
            volume=name,
            kind=VOLUME_NFS,
            path=source.source,
            fstype=parsed.data,
            read_only=source.read_only,
            flags=parsed.flags,
        )
    flags, rest = split_flags(source.options)
    if source.medium is Medium.DISK:
        return guest.VolumeAdd(
            volume=name,
            kind=VOLUME_DISK,
            path=",".join(rest),
            device=device,
            fstype=source.fstype,
            read_only=source.read_only,
            flags=flags,
            grow=source.grow,
        )
    size = (f"size={source.size_bytes}",) if source.size_bytes else ()
    options = ",".join((*size, *rest)) or "mode=1777"
    return guest.VolumeAdd(volume=name, kind=VOLUME_TMPFS, path=options, flags=flags)


_WHY = {
    errno.ECONNREFUSED: "nothing serves NFS there",
    errno.ETIMEDOUT: "the server did not answer in time",
    errno.EHOSTUNREACH: "the server is not reachable from the pod's networks",
    errno.ENETUNREACH: "the pod has no network that leads there",
    errno.ENOENT: "the server exports no such path",
    errno.EACCES: "the server does not let this pod in",
    errno.EPERM: "the server does not let this pod in (it may want a port below 1024)",
    errno.EPROTONOSUPPORT: "the server has no such version of NFS",
    errno.EINVAL: "the kernel does not take these options together",
}


def volume_failure(name: str, source: VolumeSource, err: GuestError) -> HyperError:
    """Return the error of a volume the guest could not mount, in one line."""
    what = f"volume {name.removeprefix('_pod.')}"
    if source.medium is Medium.NFS:
        reason = os.strerror(err.errno).lower()
        why = f": {_WHY[err.errno]}" if err.errno in _WHY else ""
        return Failure(f"{what}: cannot mount the NFS export {source.source}: {reason}{why}")
    if source.medium is Medium.DISK and err.errno == errno.EROFS:
        return Failure(
            f"{what}: its {source.fstype} was not unmounted cleanly and cannot be repaired "
            "read-only: mount it writable once"
        )
    if source.medium is Medium.DISK and err.step == "mount":
        disk = source.source or "its disk"
        reason = os.strerror(err.errno).lower()
        return Failure(f"{what}: cannot mount {disk} as {source.fstype}: {reason}: is it one?")
    return err


def file_pieces(container: str, volume: str, file: InjectedFile) -> Iterator[guest.FileWrite]:
    """Return the requests that write a file. Raises InvalidArgument for corrupt base64."""
    content = file_content(file)
    for offset in range(0, len(content) or 1, FILE_PIECE_BYTES):
        yield guest.FileWrite(
            container=container,
            volume=volume,
            path=clean_path(file.path),
            offset=offset,
            mode=file.mode,
            owner=file.owner,
            content=content[offset : offset + FILE_PIECE_BYTES],
        )


def file_content(file: InjectedFile) -> bytes:
    """Return a file's bytes. Raises InvalidArgument for corrupt base64."""
    try:
        return base64.b64decode(file.content, validate=True)
    except ValueError as err:
        raise InvalidArgument(f"file {file.path}: its content is not base64: {err}") from err


PROTOCOLS = {"tcp": 6, "udp": 17}  # linux/in.h


def service_request(
    service: PodService, services: Sequence[PodService], own_address: str
) -> guest.ServiceSet:
    """Return the request that balances one of the services of a pod.

    Its clients' address is the pod's, `own_address`, so that other pods can answer; the loopback's
    where all backends are there: what a UDP server sends to the pod's address would not come from
    the loopback, where it was asked.
    """
    address = pack_address(service.address)
    own = pack_address(own_address) if own_address else b""
    backends = [
        ipaddress.ip_address(backend.address)
        for other in (*services, service)
        if other.address == service.address
        for backend in other.backends
    ]
    if backends and all(backend.is_loopback for backend in backends):
        own = backends[0].packed
    return guest.ServiceSet(
        address=address,
        port=service.port,
        protocol=PROTOCOLS[service.protocol],
        scheduler=service.scheduler,
        source=own if len(own) == len(address) else b"",
        backends=tuple(
            guest.Backend(pack_address(item.address), item.port, item.weight)
            for item in service.backends
        ),
    )


def service_removal(service: PodService, left: Sequence[PodService]) -> guest.ServiceRemove:
    """Return the request that ends a service; its address stays while one of `left` has it."""
    return guest.ServiceRemove(
        address=pack_address(service.address),
        port=service.port,
        protocol=PROTOCOLS[service.protocol],
        withdraw=service.address not in {other.address for other in left},
    )


def binding(port: PodPort, pod: PodSpec) -> PortBinding:
    """Return a pod's port as the networks know ports."""
    return PortBinding(
        port.container_port,
        port.protocol,
        port.host_ip,
        port.host_port,
        sources=pod.port_sources,
    )


def pack_address(address: str) -> bytes:
    """Return an IP address in network order. Raises InvalidArgument."""
    try:
        return ipaddress.ip_address(address).packed
    except ValueError as err:
        raise InvalidArgument(f"not an IP address: {address!r}") from err
