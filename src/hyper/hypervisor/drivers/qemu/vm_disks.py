"""Owns which disks a running QEMU has, and where; how they get there is `hotplug`'s."""

from dataclasses import replace

from hyper.core.errors import Conflict, NotFound
from hyper.core.spec import Disk
from hyper.hypervisor.driver import Bus, DeviceAddress
from hyper.hypervisor.drivers.qemu import hotplug
from hyper.hypervisor.drivers.qemu.arguments import choose_slots
from hyper.hypervisor.drivers.qemu.record import KeptRecord
from hyper.hypervisor.qmp import Qmp

MAX_LUNS = 255


class QemuDisks:
    """The disks of a VM; implements driver.VmDisks."""

    def __init__(self, qmp: Qmp, record: KeptRecord) -> None:
        self._qmp = qmp
        self._record = record

    def address_of(self, disk_id: str) -> DeviceAddress:
        """Return where a disk is. Raises NotFound."""
        for disk in self._record.current.disks:
            if disk.disk_id == disk_id:
                return DeviceAddress(Bus(disk.bus), disk.index)
        raise NotFound("disk", disk_id, f"not attached to VM {self._record.short_id}")

    async def attach(self, disk: Disk) -> DeviceAddress:
        """Plug a disk in as the lowest free LUN. Raises Conflict if its id is taken."""
        before = self._record.current
        if any(known.disk_id == disk.disk_id for known in before.disks):
            raise Conflict(f"disk {disk.disk_id} is already attached")
        taken = {known.index for known in before.disks if known.bus == Bus.SCSI}
        lun = next((n for n in range(MAX_LUNS) if n not in taken), None)
        if lun is None:
            raise Conflict(f"VM {self._record.short_id} already has {MAX_LUNS} hot-plugged disks")
        address = DeviceAddress(Bus.SCSI, lun)
        self._record.put(before.with_disk(disk.disk_id, address))  # reserves the LUN
        try:
            await hotplug.add_lun(self._qmp, lun, disk)
        except BaseException:
            self._record.put(self._record.current.without_disk(disk.disk_id))
            raise
        return address

    async def detach(self, disk_id: str) -> None:
        """Unplug a disk the guest no longer uses; a slot becomes empty again. Raises NotFound."""
        address = self.address_of(disk_id)
        if address.bus is Bus.BLOCK_SLOT:
            await hotplug.empty_slot(self._qmp, address.index)
        else:
            await hotplug.remove_lun(self._qmp, address.index)
        self._record.put(self._record.current.without_disk(disk_id))

    async def resize(self, disk_id: str, size_bytes: int) -> None:
        """Give a writable disk, and its image, another size. Raises NotFound."""
        address = self.address_of(disk_id)
        if address.bus is Bus.BLOCK_SLOT:
            node = hotplug.slot_node(address.index)
        else:
            node = hotplug.lun_node(address.index)
        await self._qmp.execute("block_resize", {"node-name": node, "size": size_bytes})

    async def bind(self, disks: tuple[Disk, ...]) -> None:
        """Put disks into the empty slots of a clone, those that do not fit onto SCSI."""
        placed, left = choose_slots([disk.read_only for disk in disks])
        for position, slot in placed.items():
            await hotplug.fill_slot(self._qmp, slot, disks[position])
            address = DeviceAddress(Bus.BLOCK_SLOT, slot)
            self._record.put(self._record.current.with_disk(disks[position].disk_id, address))
        for position in left:
            await self.attach(disks[position])

    async def reconcile(self) -> None:
        """Make record and VMM agree about LUNs, after a daemon that died between the two."""
        before = self._record.current
        present = await hotplug.plugged_luns(self._qmp)
        recorded = {disk.index for disk in before.disks if disk.bus == Bus.SCSI}
        for lun in present - recorded:
            await hotplug.remove_lun(self._qmp, lun)
        await hotplug.remove_unused_nodes(self._qmp)
        gone = recorded - present
        kept = tuple(d for d in before.disks if d.bus != Bus.SCSI or d.index not in gone)
        self._record.put(replace(before, disks=kept))
