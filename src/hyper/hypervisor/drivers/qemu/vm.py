"""One running QEMU. Does not start it (`driver`) and builds no command line (`arguments`).

The VMM's death is noticed through its pidfd, whoever started it.
"""

import contextlib
import logging
import re
from dataclasses import replace
from pathlib import Path

from hyper.core.errors import Conflict, HypervisorError, InvalidArgument, NotFound, Unsupported
from hyper.core.spec import Disk, Nic, VmSpec
from hyper.host.files import atomic_write
from hyper.host.pidfd import PidHandle
from hyper.hypervisor import priority
from hyper.hypervisor.console import Console
from hyper.hypervisor.driver import (
    RECORD_NAME,
    Bus,
    DeviceAddress,
    VmExit,
    VmRecord,
)
from hyper.hypervisor.drivers.qemu import hotplug
from hyper.hypervisor.drivers.qemu.arguments import choose_slots, forward_rule
from hyper.hypervisor.launcher import Launcher
from hyper.hypervisor.qmp import Qmp

AGENT_SOCKET, QMP_SOCKET, CONSOLE_PIPE = "agent.sock", "qmp.sock", "console"
MAX_LUNS = 255

_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")


class QemuVm:
    """A VM of the QEMU driver; implements driver.Vm. Created and used on the running loop."""

    def __init__(
        self, record: VmRecord, process: PidHandle, launcher: Launcher, nic: Nic | None
    ) -> None:
        self._record = record
        self._process = process
        self._launcher = launcher
        self._nic = nic
        self._exit: VmExit | None = None
        run_dir = Path(record.run_dir)
        self._console = Console(run_dir / CONSOLE_PIPE)
        self._qmp = Qmp(run_dir / QMP_SOCKET, f"VM {record.vm_id[:12]}")
        self._log = logging.getLogger("hypervisor.qemu").getChild(record.vm_id[:12])

    @property
    def record(self) -> VmRecord:
        """What a later daemon needs to `reattach`."""
        return self._record

    @property
    def agent_socket(self) -> Path:
        """The listening unix socket of the guest's agent."""
        return Path(self._record.run_dir) / AGENT_SOCKET

    @property
    def nic(self) -> Nic | None:
        """The network device it was started with."""
        return self._nic

    @property
    def monitor(self) -> Qmp:
        """The VMM's monitor, for the rest of this driver."""
        return self._qmp

    def device_of(self, disk_id: str) -> DeviceAddress:
        """Return where a disk is. Raises NotFound."""
        for disk in self._record.disks:
            if disk.disk_id == disk_id:
                return DeviceAddress(Bus(disk.bus), disk.index)
        raise NotFound("disk", disk_id, f"not attached to VM {self._record.vm_id[:12]}")

    async def bind(self, spec: VmSpec) -> None:
        """Turn a waiting clone into the VM of `spec`.

        Its run_dir takes the place of `spec.run_dir`; disks go to the empty slots, where the guest
        needs no scan, then to SCSI.
        """
        if not spec.background:
            priority.raise_to_normal(self._record.pid)
        _replace_directory(Path(self._record.run_dir), spec.run_dir)
        self._qmp.move(spec.run_dir / QMP_SOCKET, f"VM {spec.vm_id[:12]}")
        self._log = self._log.parent.getChild(spec.vm_id[:12]) if self._log.parent else self._log
        self._store(replace(self._record, vm_id=spec.vm_id, run_dir=str(spec.run_dir)))
        await self._bind_disks(spec.disks)
        for forward in spec.nic.forwards if spec.nic is not None else ():
            await self._monitor(f"hostfwd_add net0 {forward_rule(forward)}")

    async def _bind_disks(self, disks: tuple[Disk, ...]) -> None:
        """Put disks into the empty slots of a clone, those that do not fit onto SCSI."""
        placed, left = choose_slots([disk.read_only for disk in disks])
        for position, slot in placed.items():
            await hotplug.fill_slot(self._qmp, slot, disks[position])
            address = DeviceAddress(Bus.BLOCK_SLOT, slot)
            self._store(self._record.with_disk(disks[position].disk_id, address))
        for position in left:
            await self.attach_disk(disks[position])

    async def attach_disk(self, disk: Disk) -> DeviceAddress:
        """Plug a disk in as the lowest free LUN. Raises Conflict if its id is taken."""
        if any(known.disk_id == disk.disk_id for known in self._record.disks):
            raise Conflict(f"disk {disk.disk_id} is already attached")
        taken = {known.index for known in self._record.disks if known.bus == Bus.SCSI}
        lun = next((n for n in range(MAX_LUNS) if n not in taken), None)
        if lun is None:
            raise Conflict(f"VM {self._record.vm_id[:12]} already has {MAX_LUNS} hot-plugged disks")
        address = DeviceAddress(Bus.SCSI, lun)
        before = self._record
        self._store(before.with_disk(disk.disk_id, address))  # reserves the LUN
        try:
            await hotplug.add_lun(self._qmp, lun, disk)
        except BaseException:
            self._store(self._record.without_disk(disk.disk_id))
            raise
        return address

    async def detach_disk(self, disk_id: str) -> None:
        """Unplug a disk the guest no longer uses; a slot becomes empty again. Raises NotFound."""
        address = self.device_of(disk_id)
        if address.bus is Bus.BLOCK_SLOT:
            await hotplug.empty_slot(self._qmp, address.index)
        else:
            await hotplug.remove_lun(self._qmp, address.index)
        self._store(self._record.without_disk(disk_id))

    async def pause(self) -> None:
        """Stop the vCPUs."""
        await self._qmp.execute("stop")

    async def resume(self) -> None:
        """Let the vCPUs run again."""
        await self._qmp.execute("cont")

    async def balloon(self, target_bytes: int) -> None:
        """Ask the guest to keep no more than `target_bytes` of its memory."""
        if not 0 < target_bytes <= self._record.memory_bytes:
            raise InvalidArgument(f"a balloon cannot leave {target_bytes} bytes to this VM")
        await self._qmp.execute("balloon", {"value": target_bytes})

    async def share_add(self, name: str, host_path: Path, read_only: bool) -> None:
        """Make a host path appear as `name` in the 9p share."""
        self._check_share(name)
        if name in self._record.shares:
            raise Conflict(f"{name} is already shared with VM {self._record.vm_id[:12]}")
        await self._launcher.share_add(self._record.pid, name, host_path, read_only)
        self._store(replace(self._record, shares=(*self._record.shares, name)))

    async def share_remove(self, name: str) -> None:
        """Take `name` out of the 9p share. Raises NotFound."""
        self._check_share(name)
        if name not in self._record.shares:
            raise NotFound("share", name)
        await self._launcher.share_remove(self._record.pid, name)
        left = tuple(share for share in self._record.shares if share != name)
        self._store(replace(self._record, shares=left))

    async def kill(self) -> None:
        """End the VMM at once, wait for it, remove its run files."""
        if self._exit is None:
            await self._process.terminate(grace_s=0)
            await self.wait()
        await self._qmp.close()
        run_dir = Path(self._record.run_dir)
        for name in (AGENT_SOCKET, QMP_SOCKET, CONSOLE_PIPE, RECORD_NAME):
            (run_dir / name).unlink(missing_ok=True)

    async def wait(self) -> VmExit:
        """Return how the VMM ended, when it has."""
        if self._exit is None:
            await self._process.wait_exit()
        if self._exit is None:
            status = await self._launcher.exit_status(self._record.pid)
        if self._exit is None:
            died = status is not None and status < 0
            tail = self._console.tail()
            self._exit = VmExit(
                status=None if status is None or died else status,
                signal=-status if status is not None and died else None,
                console_tail=tail,
            )
            self._console.close()
            self._process.close()
            self._log.info("VMM ended: status %s", status)
        return self._exit

    async def close(self) -> None:
        """Drop our connections; the VM lives on."""
        await self._qmp.close()
        self._console.close()
        self._process.close()

    def _check_share(self, name: str) -> None:
        if not self._record.jailed:
            raise Unsupported(
                "sharing a host folder needs a jailed VMM, and this host does not let us make"
                " user namespaces: see hyper doctor"
            )
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f"not a name of a share: {name!r}")

    def _store(self, record: VmRecord) -> None:
        self._record = record
        path = Path(record.run_dir) / RECORD_NAME
        atomic_write(path, record.to_json().encode(), fsync=False)  # lives no longer than the boot

    async def _monitor(self, line: str) -> None:
        answer = await self._qmp.execute("human-monitor-command", {"command-line": line})
        if answer:
            raise HypervisorError(f"{line.split()[0]} failed: {str(answer).strip()}")


def _replace_directory(source: Path, target: Path) -> None:
    """Give a directory the name of another, which may exist and be empty."""
    if source != target:
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        source.rename(target)


async def reconcile(vm: QemuVm) -> None:
    """Make record and VMM agree about LUNs, after a daemon that died between the two."""
    present = await hotplug.plugged_luns(vm.monitor)
    recorded = {disk.index for disk in vm.record.disks if disk.bus == Bus.SCSI}
    for lun in present - recorded:
        await hotplug.remove_lun(vm.monitor, lun)
    await hotplug.remove_unused_nodes(vm.monitor)
    gone = recorded - present
    kept = tuple(d for d in vm.record.disks if d.bus != Bus.SCSI or d.index not in gone)
    vm._store(replace(vm.record, disks=kept))
