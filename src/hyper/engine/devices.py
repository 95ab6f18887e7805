"""Turns the devices a pod and its containers are given into disks of the VM and nodes in it.

What this host allows is `hypervisor.passthrough`; nothing is opened or plugged in here.
"""

import hashlib
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hyper.agent import messages as guest
from hyper.core.errors import Unsupported
from hyper.core.pod_spec import HostDevice, PodSpec
from hyper.core.spec import ContainerSpec, Device, Disk
from hyper.hypervisor import passthrough

VOLUME_DEVICE = 4
MOUNT_DEVICE = 8
_ROOT_ONLY = 0o660

GUEST_NODES = {
    "/dev/fuse": (10, 229),
    "/dev/net/tun": (10, 200),
    "/dev/loop-control": (10, 237),
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
}
"""Devices that every VM has itself (linux Documentation/admin-guide/devices.txt): who asks for one
of these gets the guest's."""


@dataclass(frozen=True, slots=True)
class GivenDevices:
    """What a container is given: `disks` of the VM by name, and the nodes in its /dev."""

    disks: dict[str, Disk]
    nodes: tuple[guest.Mount, ...]


NOTHING = GivenDevices({}, ())


def pci_devices(spec: PodSpec) -> tuple[str, ...]:
    """Return the PCI addresses of the devices a pod's VM is given."""
    return tuple(device.path for device in spec.devices if not _is_block(device))


def given(pod: PodSpec, container: ContainerSpec) -> GivenDevices:
    """Return what a container has of its pod's block devices and of its own devices."""
    if not pod.devices and not container.devices:
        return NOTHING
    disks: dict[str, Disk] = {}
    nodes: list[guest.Mount] = []
    for device in pod.devices:
        if _is_block(device):
            nodes.append(_block_node(device, disks))
    for asked in container.devices:
        place = _clean(asked.path_in_container or asked.path)
        if asked.path in GUEST_NODES:
            major, minor = GUEST_NODES[asked.path]
            options = f"{major}:{minor}"
            nodes.append(guest.Mount(kind=MOUNT_DEVICE, destination=place, options=options))
        else:
            read_only = "w" not in asked.permissions
            nodes.append(_block_node(HostDevice(asked.path, read_only, place), disks))
    return GivenDevices(disks, tuple(nodes))


def check(spec: PodSpec, memory_bytes: int) -> None:
    """Check that this host can give a pod its devices. Raises HyperError with the reason."""
    passthrough.nodes_for(pci_devices(spec), memory_bytes)
    for device in spec.devices:
        if _is_block(device):
            passthrough.check_block_device(device.path)


def check_container(devices: Iterable[Device]) -> None:
    """Check the devices of a container that starts. Raises HyperError, dockerd's words first."""
    for device in devices:
        if device.path in GUEST_NODES:
            continue
        try:
            passthrough.check_block_device(device.path)
        except Unsupported as err:
            own = ", ".join(GUEST_NODES)
            raise Unsupported(f"{err}; of its own a VM has {own}") from err


def _block_node(device: HostDevice, disks: dict[str, Disk]) -> guest.Mount:
    name = "device-" + hashlib.sha256(device.path.encode()).hexdigest()[:24]
    disks[name] = Disk(name, (Path(device.path),), device.read_only)
    place = _clean(device.target or device.path)
    return guest.Mount(kind=MOUNT_DEVICE, source=name, destination=place, mode=_ROOT_ONLY)


def _is_block(device: HostDevice) -> bool:
    return device.path.startswith("/")


def _clean(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))
