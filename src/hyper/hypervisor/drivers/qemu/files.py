"""The descriptors a VMM is born with: sockets, console, kernel, disks, in their order.

Opens files on behalf of the VMM, which therefore needs neither their paths nor permission for them.
Does not build the command line (`arguments`).
"""

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from hyper.core.errors import HypervisorError, InvalidArgument
from hyper.core.spec import Disk
from hyper.hypervisor.drivers.qemu import disks
from hyper.hypervisor.drivers.qemu.disks import JsonObject
from hyper.hypervisor.passthrough import open_block_device

FIRST = 3
"""The number the VMM sees of the first descriptor after stderr (`launcher.Launcher.launch`)."""

MAX_EXTENTS = 200


class Descriptors:
    """Owns open descriptors until the VMM has them. Use as a context manager."""

    def __init__(self) -> None:
        self.open: list[int] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Descriptors":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def add(self, descriptor: int) -> int:
        """Take over a descriptor and return the number the VMM will see."""
        self._stack.callback(os.close, descriptor)
        return self.lend(descriptor)

    def lend(self, descriptor: int) -> int:
        """Pass on a descriptor that stays its owner's; return the number the VMM will see."""
        self.open.append(descriptor)
        return FIRST - 1 + len(self.open) - 1

    def add_file(self, path: Path) -> str:
        """Open a file for reading and return the path under which the VMM can open it again."""
        return f"/proc/self/fd/{self.add(open_file(path, read_only=True))}"


def open_file(path: Path, *, read_only: bool) -> int:
    """Open a file or block device of the VM. Raises HypervisorError, naming it."""
    if path.is_block_device():
        return open_block_device(str(path), read_only=read_only)
    try:
        return os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    except OSError as err:
        raise HypervisorError(f"cannot open {path}: {err.strerror}") from err


def check_disk(disk: Disk) -> None:
    """Raise InvalidArgument when a disk cannot be."""
    if not disk.extents:
        raise InvalidArgument(f"disk {disk.disk_id} has no file")
    if len(disk.extents) > 1 and disk.image_format != "raw":
        raise InvalidArgument(f"disk {disk.disk_id} has several files and is not raw")
    if len(disk.extents) > 1 and not disk.read_only:
        raise InvalidArgument(f"disk {disk.disk_id} has several files and is not read-only")
    if len(disk.extents) > MAX_EXTENTS:
        raise InvalidArgument(f"disk {disk.disk_id} has more than {MAX_EXTENTS} files")


def single_node(name: str, fdset: int, descriptor: int, disk: Disk) -> JsonObject:
    """Return the node of a disk of one file, open as `descriptor`. Raises InvalidArgument."""
    if disk.image_format == "raw":
        block = stat.S_ISBLK(os.fstat(descriptor).st_mode)
        return disks.file_node(name, fdset, disk.read_only, block_device=block)
    disks.check_qcow2(os.pread(descriptor, 104, 0), str(disk.extents[0]))
    return disks.qcow2_node(name, fdset, disk.read_only)


def describe_extents(descriptors: Sequence[int], fdsets: Sequence[int]) -> int:
    """Return an open descriptor file of extents that are open here as `descriptors`."""
    sizes = [os.fstat(descriptor).st_size for descriptor in descriptors]
    text = disks.flat_descriptor(sizes, fdsets)
    memory = os.memfd_create("extents")
    try:
        os.write(memory, text)
        # Opened again because an fd set only serves the access mode its descriptors have.
        return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(memory)


def add_disk(descriptors: Descriptors, name: str, disk: Disk) -> tuple[JsonObject, list[int]]:
    """Open a disk's files; return its block node and the fd sets it needs."""
    check_disk(disk)
    opened = [open_file(path, read_only=disk.read_only) for path in disk.extents]
    fdsets = [descriptors.add(descriptor) for descriptor in opened]
    if len(opened) == 1:
        return single_node(name, fdsets[0], opened[0], disk), fdsets
    descriptor = descriptors.add(describe_extents(opened, fdsets))
    return disks.extents_node(name, descriptor), [*fdsets, descriptor]
