"""What `hyper doctor` says of the machine: one `Check` a line. The drivers add their own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hyper.core.units import GIB, MIB, binary_size
from hyper.host.files import free_bytes
from hyper.hypervisor.check import Check
from hyper.hypervisor.memory import available_bytes

if TYPE_CHECKING:
    from hyper.hypervisor.driver import Driver

__all__ = ["Check", "diagnose"]

_MEMORY_BYTES = 512 * MIB
_DISK_BYTES = 2 * GIB


async def diagnose(driver: "Driver", root: Path) -> tuple[Check, ...]:
    """Return every check there is: the driver's, then memory and disk."""
    return (*await driver.diagnose(), _memory(), _disk(root), _processors())


def _memory() -> Check:
    free = available_bytes()
    advice = "" if free >= _MEMORY_BYTES else "free some: no clone waits in the pool below 512 MiB"
    return Check("memory", not advice, f"{binary_size(free)} available", advice)


def _disk(root: Path) -> Check:
    free = free_bytes(root)
    advice = "" if free >= _DISK_BYTES else "free some, or remove images nobody uses"
    return Check("disk", not advice, f"{binary_size(free)} free for {root}", advice)


def _processors() -> Check:
    return Check("processors", True, f"{len(os.sched_getaffinity(0))} usable")
