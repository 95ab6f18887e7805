"""The boundary to hypervisors: what a driver and a VM can do, and the data they exchange.

Does not start anything. A driver is one module (or package) in `drivers/` with a function
`create(options: DriverOptions) -> Driver`; nothing else has to change to add one. What a driver
cannot do raises Unsupported, never passes silently.
"""

import importlib
import json
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from hyper.core.errors import HypervisorError, InvalidArgument
from hyper.core.spec import Disk, Nic, VmSpec
from hyper.host.pidfd import PidHandle
from hyper.hypervisor import drivers
from hyper.hypervisor.check import Check

if TYPE_CHECKING:
    from hyper.hypervisor.launcher import Launcher

RECORD_NAME = "vmm.json"


class Bus(IntEnum):
    """How the guest finds a disk: the values of `struct.device` in protocol/agent.toml."""

    BLOCK_SLOT = 0
    SCSI = 1


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """A disk as the guest sees it: the virtio-blk slot, or the LUN of SCSI target 0."""

    bus: Bus
    index: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver can do on this host; False means the call raises Unsupported."""

    driver: str
    version: str
    accelerator: str
    machine: str
    block_slots: int
    hot_plug: bool
    pause: bool
    balloon: bool
    share: bool
    clone: bool


@dataclass(frozen=True, slots=True)
class DiskRecord:
    """Where an attached disk is."""

    disk_id: str
    bus: int
    index: int


@dataclass(frozen=True, slots=True)
class VmRecord:
    """What a later daemon needs to find a running VM again; JSON-able and kept in its run_dir."""

    driver: str
    vm_id: str
    pid: int
    start_ticks: int
    run_dir: str
    accelerator: str
    machine: str
    version: str
    jailed: bool = False
    memory_bytes: int = 0
    disks: tuple[DiskRecord, ...] = ()
    shares: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "VmRecord":
        """Return the record `to_json` wrote. Raises InvalidArgument."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["disks"] = tuple(DiskRecord(**disk) for disk in fields["disks"])
            fields["shares"] = tuple(fields["shares"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as err:
            raise InvalidArgument(f"not a VM record: {err}") from err

    def with_disk(self, disk_id: str, address: DeviceAddress) -> "VmRecord":
        """Return the record with one more disk."""
        added = DiskRecord(disk_id, int(address.bus), address.index)
        return replace(self, disks=(*self.disks, added))

    def without_disk(self, disk_id: str) -> "VmRecord":
        """Return the record without a disk."""
        return replace(self, disks=tuple(d for d in self.disks if d.disk_id != disk_id))


@dataclass(frozen=True, slots=True)
class VmExit:
    """How a VMM ended: `status` 0.. or `signal`, both None when nobody could learn it.

    A guest that powers off, panics or reboots ends its VMM with status 0.
    """

    status: int | None
    signal: int | None
    console_tail: str


class VmDisks(Protocol):
    """The disks of a running VM, by their ids. Methods raise HypervisorError as those of Vm."""

    def address_of(self, disk_id: str) -> DeviceAddress:
        """Return where a disk is. Raises NotFound."""
        ...

    async def attach(self, disk: Disk) -> DeviceAddress:
        """Plug a disk into the running VM. Raises Conflict if its id is taken."""
        ...

    async def detach(self, disk_id: str) -> None:
        """Unplug a disk the guest no longer uses. Raises NotFound."""
        ...

    async def resize(self, disk_id: str, size_bytes: int) -> None:
        """Give a writable disk, and its image, another size, in use or not. Raises NotFound."""
        ...


class Vm(Protocol):
    """One running virtual machine. Methods raise HypervisorError when the VMM fails or is gone."""

    @property
    def record(self) -> VmRecord:
        """What a later daemon needs to `reattach`."""
        ...

    @property
    def agent_socket(self) -> Path:
        """The listening unix socket of the guest's agent."""
        ...

    @property
    def disks(self) -> VmDisks:
        """Its disks."""
        ...

    @property
    def nic(self) -> Nic | None:
        """The network device it was started with; a pooled VM brings its own."""
        ...

    @property
    def is_running(self) -> bool:
        """Whether its VMM has not ended; known at once, whoever ended it."""
        ...

    async def bind(self, spec: VmSpec) -> None:
        """Turn a waiting clone into the VM of `spec`: its run_dir, disks and port forwards."""
        ...

    async def pause(self) -> None:
        """Stop the vCPUs."""
        ...

    async def resume(self) -> None:
        """Let the vCPUs run again."""
        ...

    async def is_stalled(self) -> bool:
        """Whether it stands still because the host had no space for what it wrote.

        Nothing is lost; `resume` has it try again.
        """
        ...

    async def balloon(self, target_bytes: int) -> None:
        """Ask the guest to keep no more than `target_bytes` of its memory."""
        ...

    async def share_add(self, name: str, host_path: Path, read_only: bool) -> None:
        """Make a host directory or file appear as `name` in the 9p share. Raises Unsupported."""
        ...

    async def share_seal(self, name: str) -> None:
        """Let nobody write to the share `name` any more. Raises HypervisorError if one does."""
        ...

    async def share_remove(self, name: str) -> None:
        """Take `name` out of the 9p share."""
        ...

    async def kill(self) -> None:
        """End the VMM at once, wait for it, remove its run files. Does nothing if it has ended."""
        ...

    async def wait(self) -> VmExit:
        """Return how the VMM ended, when it has."""
        ...

    async def close(self) -> None:
        """Drop our connections; the VM lives on."""
        ...


class Zygote(Protocol):
    """A warm VM that never runs itself, from which others are forked."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    @property
    def is_running(self) -> bool:
        """Whether its process has not ended."""
        ...

    async def fork(self, spec: VmSpec) -> Vm:
        """Start a VM as `Driver.start` does. Raises HypervisorError."""
        ...

    async def end(self) -> None:
        """End it; the VMs forked from it live on."""
        ...


Ready = Callable[[Path], Awaitable[None]]
"""Given a VM's agent socket, returns when the agent answers there."""

Warm = Callable[[Vm], Awaitable[None]]
"""Have a VM do once what VMs forked from it will do again."""


class Driver(Protocol):
    """Starts VMs on one hypervisor."""

    @property
    def name(self) -> str:
        """The name of its module in `drivers/`."""
        ...

    async def capabilities(self) -> Capabilities:
        """Return what it can do here; finds out the acceleration the first time."""
        ...

    async def start(self, spec: VmSpec) -> Vm:
        """Boot a VM; returns when its VMM runs, before the guest does. Raises HypervisorError."""
        ...

    async def reattach(self, record: VmRecord) -> Vm | None:
        """Return the running VM of a record an earlier daemon left, None if it is gone."""
        ...

    async def end_unrecorded(self, run_dir: Path) -> bool:
        """End the VM of a run_dir without a record, and tell whether there was one.

        A daemon may die between a VMM's start and its record.
        """
        ...

    async def template_key(self, spec: VmSpec) -> str:
        """Return what must be equal for a clone to replace a boot of `spec`; "" if nothing can."""
        ...

    async def make_template(self, spec: VmSpec, directory: Path, ready: Ready) -> None:
        """Boot `spec` without its disks until `ready`, and keep its state in `directory`."""
        ...

    async def clone(self, spec: VmSpec, directory: Path) -> Vm:
        """Start a VM as `start` does, from a template. Raises HypervisorError."""
        ...

    async def make_zygote(self, spec: VmSpec, directory: Path, warm: Warm) -> Zygote:
        """Return a zygote made from a template. Raises Unsupported where VMs cannot be forked."""
        ...

    async def diagnose(self) -> tuple[Check, ...]:
        """Return what is right and wrong with this host for this driver."""
        ...


@dataclass(frozen=True, slots=True)
class DriverOptions:
    """What `daemon.py` tells a driver: `accelerator` is auto, kvm or tcg.

    `kernel` and `initrd` are the daemon's defaults, for the probe; `program` "" means the
    distribution's; `jail` is auto (whatever works here), required, or off.
    `vmfork` is the library that lets an emulated VM be forked.
    """

    root: Path
    kernel: Path
    initrd: Path
    launcher: "Launcher"
    accelerator: str = "auto"
    program: str = ""
    jail: str = "auto"
    vmfork: Path | None = None


def driver_names() -> tuple[str, ...]:
    """Return the names of all drivers."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(drivers.__path__)))


def create_driver(name: str, options: DriverOptions) -> Driver:
    """Return the driver called `name`. Raises InvalidArgument, naming those there are."""
    if name not in driver_names():
        known = ", ".join(driver_names())
        raise InvalidArgument(f"no hypervisor driver is called {name!r}; there are: {known}")
    module = importlib.import_module(f"{drivers.__name__}.{name}")
    return cast(Driver, module.create(options))


def read_record(run_dir: Path) -> VmRecord | None:
    """Return the record of the VM whose run_dir this is, None if there is none."""
    try:
        text = (run_dir / RECORD_NAME).read_text()
    except FileNotFoundError:
        return None
    return VmRecord.from_json(text)


async def end_leftover(driver: Driver, run_dir: Path) -> bool:
    """End the VM an earlier daemon left in a run_dir, and tell whether there was one.

    Nothing is asked of it: it may answer to nobody. Its files stay. Raises HypervisorError.
    """
    try:
        record = read_record(run_dir)
    except InvalidArgument:  # written in part
        record = None
    if record is None:
        return await driver.end_unrecorded(run_dir)
    process = PidHandle.open(record.pid, record.start_ticks)
    if process is None:
        return False
    with process:
        running = process.is_running
        try:
            await process.terminate(grace_s=0)
        except TimeoutError as err:
            raise HypervisorError(f"VM {record.vm_id[:12]} survives SIGKILL") from err
    return running
