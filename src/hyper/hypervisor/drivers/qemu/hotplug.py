"""Disks of a running VMM: its block nodes, fd sets and SCSI devices, by QMP. Keeps no state.

A slot is filled by pointing the `drive` of its virtio-blk device at another node (qom-set, which
QEMU allows for this property of a running device): the guest notices nothing, so needs no scan. It
goes on believing in 1 TiB; accesses beyond the file fail and do not grow it. Whoever reads the
device through the page cache should do so in a partition of the right length, or readahead near the
end fails, too.
"""

import contextlib
import os
import re
from dataclasses import dataclass, field

from hyper.core.errors import HypervisorError
from hyper.core.spec import Disk
from hyper.hypervisor.drivers.qemu import disks
from hyper.hypervisor.drivers.qemu.arguments import scsi_disk
from hyper.hypervisor.drivers.qemu.disks import SLOT_READ_ONLY, JsonObject
from hyper.hypervisor.drivers.qemu.files import (
    check_disk,
    describe_extents,
    open_file,
    single_node,
)
from hyper.hypervisor.qmp import Qmp

_LUN_NODE = re.compile(r"lun-\d+-disk")


def slot_node(slot: int) -> str:
    """Return the name of the block node of a filled slot."""
    return f"slot-{slot}-disk"


def empty_node(slot: int) -> str:
    """Return the name of the block node of an empty slot."""
    return f"slot-{slot}-null"


def lun_node(lun: int) -> str:
    """Return the name of the block node of a hot-plugged disk."""
    return f"lun-{lun}-disk"


async def fill_slot(qmp: Qmp, slot: int, disk: Disk) -> None:
    """Put a disk into an empty slot; the empty node stays for when the disk goes."""
    await _add_node(qmp, slot_node(slot), disk)
    await _set_drive(qmp, slot, slot_node(slot))


async def empty_slot(qmp: Qmp, slot: int) -> None:
    """Take the disk out of a slot."""
    if empty_node(slot) not in await _nodes(qmp):  # filled at the boot
        node = disks.null_node(empty_node(slot), SLOT_READ_ONLY[slot])
        await qmp.execute("blockdev-add", node)
    await _set_drive(qmp, slot, empty_node(slot))
    await _remove_node(qmp, slot_node(slot))


async def add_lun(qmp: Qmp, lun: int, disk: Disk) -> None:
    """Plug a disk in at target 0, LUN `lun`; the guest finds it by itself."""
    node = lun_node(lun)
    await _add_node(qmp, node, disk)
    try:
        await qmp.execute("device_add", scsi_disk(lun, node))
    except HypervisorError:
        with contextlib.suppress(HypervisorError):
            await _remove_node(qmp, node)
        raise


async def remove_lun(qmp: Qmp, lun: int) -> None:
    """Unplug the disk at LUN `lun` and close its files."""
    async with qmp.expect("DEVICE_DELETED", "device", f"lun-{lun}"):
        await qmp.execute("device_del", {"id": f"lun-{lun}"})
    await _remove_node(qmp, lun_node(lun))


async def remove_unused_nodes(qmp: Qmp) -> None:
    """Close the disks that no LUN has: who plugged or unplugged one died in between."""
    used = {lun_node(lun) for lun in await plugged_luns(qmp)}
    for node in await _nodes(qmp):
        if _LUN_NODE.fullmatch(node) and node not in used:
            await _remove_node(qmp, node)


async def plugged_luns(qmp: Qmp) -> set[int]:
    """Return the LUNs that are plugged in."""
    listed = await qmp.execute("qom-list", {"path": "/machine/peripheral"})
    assert isinstance(listed, list)
    names = [str(entry["name"]) for entry in listed]
    return {int(name.removeprefix("lun-")) for name in names if name.startswith("lun-")}


async def _nodes(qmp: Qmp) -> set[str]:
    listed = await qmp.execute("query-named-block-nodes", {"flat": True})
    assert isinstance(listed, list)
    return {str(node["node-name"]) for node in listed}


@dataclass(slots=True)
class _Opened:
    """What has to be closed here, and what the VMM has got, while a disk is added."""

    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    fdsets: list[int] = field(default_factory=list)

    async def pass_on(self, qmp: Qmp, descriptor: int, node: str) -> int:
        answer = await qmp.execute_with_fd("add-fd", {"opaque": node}, descriptor)
        assert isinstance(answer, dict)
        self.fdsets.append(int(answer["fdset-id"]))
        return self.fdsets[-1]


async def _add_node(qmp: Qmp, name: str, disk: Disk) -> None:
    check_disk(disk)
    opened = _Opened()
    with opened.stack:
        try:
            await qmp.execute("blockdev-add", await _node(qmp, name, disk, opened))
        except BaseException:
            for fdset in opened.fdsets:
                with contextlib.suppress(HypervisorError):
                    await qmp.execute("remove-fd", {"fdset-id": fdset})
            raise


async def _node(qmp: Qmp, name: str, disk: Disk, opened: _Opened) -> JsonObject:
    descriptors = []
    for path in disk.extents:
        descriptors.append(open_file(path, read_only=disk.read_only))
        opened.stack.callback(os.close, descriptors[-1])
    fdsets = [await opened.pass_on(qmp, descriptor, name) for descriptor in descriptors]
    if len(fdsets) == 1:
        return single_node(name, fdsets[0], descriptors[0], disk)
    description = describe_extents(descriptors, fdsets)
    opened.stack.callback(os.close, description)
    return disks.extents_node(name, await opened.pass_on(qmp, description, name))


async def _remove_node(qmp: Qmp, name: str) -> None:
    await qmp.execute("blockdev-del", {"node-name": name})
    listed = await qmp.execute("query-fdsets")
    assert isinstance(listed, list)
    for fdset in listed:
        if any(entry.get("opaque") == name for entry in fdset["fds"]):
            await qmp.execute("remove-fd", {"fdset-id": fdset["fdset-id"]})


async def _set_drive(qmp: Qmp, slot: int, node: str) -> None:
    path = f"/machine/peripheral/slot-{slot}"
    await qmp.execute("qom-set", {"path": path, "property": "drive", "value": node})
