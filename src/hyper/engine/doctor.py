"""What `hyper doctor` says of the machine: one `Check` a line. The drivers add their own."""

import os
import shutil
from pathlib import Path

from hyper.core.errors import HyperError
from hyper.core.units import GIB, MIB, binary_size
from hyper.engine.kernels import Kernels, kernel_version
from hyper.host.files import free_bytes
from hyper.hypervisor.check import Check
from hyper.hypervisor.driver import Driver
from hyper.hypervisor.memory import available_bytes
from hyper.network.networks import Networks

_PROGRAMS = (("sqfstar", "squashfs-tools"), ("mkfs.ext4", "e2fsprogs"))
_PROGRAM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_MEMORY_BYTES = 512 * MIB
_DISK_BYTES = 2 * GIB


async def diagnose(
    driver: Driver, kernels: Kernels, root: Path, networks: Networks
) -> tuple[Check, ...]:
    """Return every check there is: the driver's, then kernel, network, programs, memory, disk."""
    return (
        *await driver.diagnose(),
        _kernel(kernels),
        _network(networks),
        *(_program(name, package) for name, package in _PROGRAMS),
        _memory(),
        _disk(root),
        Check("processors", True, f"{len(os.sched_getaffinity(0))} usable"),
    )


def _kernel(kernels: Kernels) -> Check:
    try:
        path = kernels.path("")
    except HyperError as err:
        return Check("guest kernel", False, str(err), "make kernel")
    return Check("guest kernel", True, f"{kernel_version(path)} ({path})")


def _network(networks: Networks) -> Check:
    ok, detail, advice = networks.diagnosis
    return Check("network", True, detail, advice, not ok)


def _program(name: str, package: str) -> Check:
    found = shutil.which(name, path=_PROGRAM_PATH)
    if found is None:
        return Check(name, False, "missing", f"install the package {package}")
    return Check(name, True, found)


def _memory() -> Check:
    free = available_bytes()
    advice = "" if free >= _MEMORY_BYTES else "free some: no clone waits in the pool below 512 MiB"
    return Check("memory", True, f"{binary_size(free)} available", advice, bool(advice))


def _disk(root: Path) -> Check:
    free = free_bytes(root)
    advice = "" if free >= _DISK_BYTES else "free some, remove images nobody uses, or set --root"
    return Check("disk", True, f"{binary_size(free)} free for {root}", advice, bool(advice))
