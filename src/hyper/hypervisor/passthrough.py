"""Owns what this host must be like to give a device of it to a VM. It reads, and changes nothing.

A PCI device goes through VFIO (linux Documentation/driver-api/vfio.rst): all devices of its IOMMU
group must be out of the hands of the host's drivers, and all of the guest's memory is locked,
because the device reaches it by itself. A block device is opened exclusively: what the host has
mounted, or another VM has, cannot be written to.
"""

import contextlib
import os
import resource
import stat
from collections.abc import Sequence
from pathlib import Path

from hyper.core.errors import Conflict, Forbidden, NotFound, Unsupported
from hyper.core.units import MIB

DRIVER = "vfio-pci"
CONTAINER = "vfio/vfio"
MEMORY_SLACK_BYTES = 64 * MIB
"""What a VMM locks beside the guest's memory: the firmware, and windows of the device."""

_HARMLESS = frozenset({DRIVER, "pci-stub", "pcieport", ""})
"""Drivers that do not use a device: linux drivers/vfio/vfio_main.c, vfio_driver_allowed."""


def nodes_for(
    addresses: Sequence[str], memory_bytes: int, root: Path = Path("/")
) -> tuple[str, ...]:
    """Return what below /dev a VMM needs in order to be given the PCI devices at `addresses`.

    Raises NotFound, Conflict, Forbidden, Unsupported with what is in the way and what to do.
    """
    if not addresses:
        return ()
    groups = sorted({_group(address, root) for address in addresses}, key=int)
    nodes = (CONTAINER, *(f"vfio/{group}" for group in groups))
    for node in nodes:
        _check_node(root / "dev" / node)
    check_locked_memory(memory_bytes, _lockable_bytes())
    return nodes


def locked_bytes(addresses: Sequence[str], memory_bytes: int) -> int:
    """Return how much memory a VMM may have to lock."""
    return memory_bytes + MEMORY_SLACK_BYTES if addresses else 0


def check_locked_memory(memory_bytes: int, lockable_bytes: int) -> None:
    """Check that the memory of a guest may be locked; -1 is no limit. Raises Forbidden."""
    wanted = memory_bytes + MEMORY_SLACK_BYTES
    if 0 <= lockable_bytes < wanted:
        raise Forbidden(
            f"a VM with a PCI device locks its memory, {wanted // MIB} MiB, and the daemon may "
            f"lock {lockable_bytes // MIB} MiB: raise its limit (ulimit -l, or LimitMEMLOCK= of "
            "its unit)"
        )


def check_block_device(path: str) -> None:
    """Check that a block device can be given to a VM, if nobody uses it then. Raises as
    `nodes_for`.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as err:
        raise NotFound("device", path, str(err.strerror).lower()) from err
    if not stat.S_ISBLK(mode):
        kind = "a character device" if stat.S_ISCHR(mode) else "no block device"
        raise Unsupported(
            f"device {path} is {kind}: only block devices and PCI devices are given to a VM (an "
            "image file can be a volume of the pod, driver raw)"
        )
    os.close(open_block_device(path, read_only=True))


def open_block_device(path: str, *, read_only: bool) -> int:
    """Open a block device, for writing only if nobody else on this host uses it."""
    flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_EXCL
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except PermissionError as err:
        raise Forbidden(
            f"device {path} may not be opened by the daemon's user: run hyperd as root, or make "
            "the device accessible to it"
        ) from err
    except OSError as err:
        raise Conflict(
            f"device {path} cannot be opened: {str(err.strerror).lower()}: unmount it on the host, "
            "and stop the pod that has it"
        ) from err


def _group(address: str, root: Path) -> str:
    device = root / "sys/bus/pci/devices" / address
    if not device.exists():
        raise NotFound("PCI device", address, "lspci -D lists those of this host")
    groups = root / "sys/kernel/iommu_groups"
    if not groups.is_dir() or not any(groups.iterdir()):
        raise Unsupported(
            f"PCI device {address}: this host has no IOMMU: switch on VT-d or AMD-Vi in its "
            "firmware, and boot its kernel with intel_iommu=on or amd_iommu=on"
        )
    link = device / "iommu_group"
    if not link.exists():
        raise Unsupported(f"PCI device {address} is in no IOMMU group: its bus has no IOMMU")
    group = link.resolve().name
    bound = _driver(device)
    if bound != DRIVER:
        state = f"is bound to the host's driver {bound}" if bound else "is bound to no driver"
        raise Conflict(
            f"PCI device {address} {state}, not to {DRIVER}: driverctl set-override {address} "
            f"{DRIVER} (or write {DRIVER} into {device}/driver_override, {address} into its "
            "driver/unbind and into /sys/bus/pci/drivers_probe)"
        )
    _check_group(group, address, link)
    return group


def _check_group(group: str, address: str, link: Path) -> None:
    others = []
    for other in sorted((link / "devices").iterdir()):
        driver = _driver(other)
        if other.name != address and driver not in _HARMLESS:
            others.append(f"{other.name} ({driver})")
    if others:
        raise Conflict(
            f"PCI device {address}: IOMMU group {group} is not viable: the host's drivers have "
            f"{', '.join(others)} of it: bind them to {DRIVER} as well"
        )


def _driver(device: Path) -> str:
    with contextlib.suppress(OSError):
        return (device / "driver").resolve(strict=True).name
    return ""


def _check_node(node: Path) -> None:
    if not node.exists():
        raise Unsupported(f"{node} does not exist: load VFIO on the host (modprobe {DRIVER})")
    if not os.access(node, os.R_OK | os.W_OK):
        raise Forbidden(
            f"{node} may not be opened by the daemon's user: run hyperd as root, or give the user "
            "the device (a udev rule)"
        )


def _lockable_bytes() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return -1 if os.geteuid() == 0 else hard  # RLIM_INFINITY is -1
