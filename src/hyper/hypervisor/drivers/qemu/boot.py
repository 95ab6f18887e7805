"""Starting one QEMU: opens what it needs, builds its command line, launches it, records it.

Knows of templates only that a VM may take over a state (`Source`) instead of booting a kernel.
"""

import logging
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hyper.core.errors import Unsupported
from hyper.core.spec import NicKind, VmSpec
from hyper.host.files import atomic_write
from hyper.host.pidfd import PidHandle, start_time_ticks
from hyper.hypervisor import passthrough, priority
from hyper.hypervisor.confine import SHARE
from hyper.hypervisor.console import make_pipe
from hyper.hypervisor.driver import RECORD_NAME, Bus, DeviceAddress, VmRecord
from hyper.hypervisor.drivers.qemu import disks, hotplug
from hyper.hypervisor.drivers.qemu.arguments import (
    Files,
    Invocation,
    Memory,
    choose_slots,
    command_line,
)
from hyper.hypervisor.drivers.qemu.disks import SLOT_READ_ONLY, JsonObject
from hyper.hypervisor.drivers.qemu.files import Descriptors, add_disk
from hyper.hypervisor.drivers.qemu.machines import machine_of
from hyper.hypervisor.drivers.qemu.memory import MemoryNumbers, Watch
from hyper.hypervisor.drivers.qemu.prelude import Prelude
from hyper.hypervisor.drivers.qemu.vm import AGENT_SOCKET, CONSOLE_PIPE, QMP_SOCKET, QemuVm
from hyper.hypervisor.jail import MAPPED, jail_for
from hyper.hypervisor.launcher import Jail, Launcher
from hyper.hypervisor.qmp import listen_unix

_log = logging.getLogger("hypervisor.qemu")


@dataclass(frozen=True, slots=True)
class Engine:
    """The QEMU to run and how: found out once per daemon."""

    program: str
    version: str
    accelerator: str
    jailed: bool
    tsc_khz: int = 0


@dataclass(frozen=True, slots=True)
class Fork:
    """Descriptors that make a VMM one that can be forked (`zygote`): vmfork, its control socket."""

    library: int
    control: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where guest memory comes from; `state_fd`: a template's device state, -1 to boot a kernel."""

    memory_fd: int = -1
    shared: bool = False
    state_fd: int = -1
    numbers: MemoryNumbers | None = None
    fork: Fork | None = None


async def boot(
    spec: VmSpec, engine: Engine, launcher: Launcher, source: Source | None = None
) -> QemuVm:
    """Start a VMM for `spec`. Raises HypervisorError, InvalidArgument."""
    vm, _ = await boot_with(spec, engine, launcher, source or Source())
    return vm


async def boot_with(
    spec: VmSpec, engine: Engine, launcher: Launcher, source: Source
) -> tuple[QemuVm, Files]:
    """As `boot`; return also which descriptors the VMM has got."""
    async with launcher.starts:
        return await _boot(spec, engine, launcher, source)


async def _boot(
    spec: VmSpec, engine: Engine, launcher: Launcher, source: Source
) -> tuple[QemuVm, Files]:
    jail, security_model = jail_of(spec, engine)
    watch = Watch(source.numbers, spec, zygote=source.fork is not None)
    with Descriptors() as descriptors:
        descriptors.add(make_pipe(spec.run_dir / CONSOLE_PIPE))
        plan, addresses = _plan(spec, source, descriptors, watch)
        files = replace(plan.files, security_model=security_model)
        zygote = None
        if source.fork is not None:
            files, zygote = _as_zygote(files, source.fork, spec, descriptors)
        else:
            share = SHARE if jail else _unjailed_share(spec.run_dir)
            files = replace(files, share=share)
        invocation = replace(
            plan,
            program=engine.program,
            accelerator=engine.accelerator,
            files=files,
            tsc_khz=engine.tsc_khz,
        )
        argv = command_line(invocation)
        _log.debug("%s: %s", spec.vm_id[:12], shlex.join(argv))
        process = await launcher.launch(
            argv, descriptors.open, jail, watch.expected, nice_of(spec), zygote
        )
        watch.pid = process.pid
    placed = [(disk.disk_id, at) for disk, at in zip(spec.disks, addresses, strict=True)]
    return record_of(spec, engine, process, launcher, placed), files


def nice_of(spec: VmSpec) -> int:
    """Return the nice value a VMM starts with."""
    return priority.LOW if spec.background and priority.may_raise() else 0


def record_of(
    spec: VmSpec,
    engine: Engine,
    process: PidHandle,
    launcher: Launcher,
    placed: Sequence[tuple[str, DeviceAddress]] = (),
) -> QemuVm:
    """Return the VM of a VMM that was started, and leave its record for a later daemon.

    `placed` are the ids of the disks it has already, and where each is.
    """
    record = VmRecord(
        driver="qemu",
        vm_id=spec.vm_id,
        pid=process.pid,
        start_ticks=start_time_ticks(process.pid) or 0,
        run_dir=str(spec.run_dir),
        accelerator=engine.accelerator,
        machine=machine_of(spec.machine, spec.pci_devices).name,
        version=engine.version,
        jailed=engine.jailed,
        memory_bytes=spec.memory_bytes,
    )
    for disk_id, address in placed:
        record = record.with_disk(disk_id, address)
    path = spec.run_dir / RECORD_NAME
    atomic_write(path, record.to_json().encode(), fsync=False)
    return QemuVm(record, process, launcher, spec.nic)


def _plan(
    spec: VmSpec, source: Source, descriptors: Descriptors, watch: Watch
) -> tuple[Invocation, list[DeviceAddress]]:
    """Open all a VMM needs; return the invocation but for program and share, and the disks."""
    nodes, slots, luns, addresses, fdsets = _place_disks(spec, descriptors)
    incoming = source.state_fd >= 0
    files = Files(
        agent_fd=listen_at(spec.run_dir / AGENT_SOCKET, descriptors),
        qmp_fd=listen_at(spec.run_dir / QMP_SOCKET, descriptors),
        kernel="" if incoming else descriptors.add_file(spec.kernel),
        initrd="" if incoming else descriptors.add_file(spec.initrd),
        share="",
        security_model="",
        fdsets=tuple(fdsets),
        tap_fd=_tap(spec, descriptors),
        prelude_fd=_prelude(source.state_fd, descriptors, watch) if incoming else -1,
    )
    memory = Memory()
    if source.memory_fd >= 0:
        number = descriptors.lend(source.memory_fd)
        memory = Memory(f"/proc/self/fd/{number}", source.shared)
        watch.given = number
    invocation = Invocation(
        program="",
        accelerator="",
        spec=spec,
        files=files,
        nodes=tuple(nodes),
        slots=tuple(slots),
        luns=luns,
        memory=memory,
        incoming=incoming,
    )
    return invocation, addresses


def _place_disks(
    spec: VmSpec, descriptors: Descriptors
) -> tuple[list[JsonObject], list[str], dict[int, str], list[DeviceAddress], list[tuple[int, str]]]:
    placed, left = choose_slots([disk.read_only for disk in spec.disks])
    slots = [hotplug.empty_node(slot) for slot in range(len(SLOT_READ_ONLY))]
    luns: dict[int, str] = {}
    nodes: list[JsonObject] = []
    addresses: list[DeviceAddress] = []
    fdsets: list[tuple[int, str]] = []
    for position, disk in enumerate(spec.disks):
        if position in placed:
            address = DeviceAddress(Bus.BLOCK_SLOT, placed[position])
            name = slots[address.index] = hotplug.slot_node(address.index)
        else:
            address = DeviceAddress(Bus.SCSI, left.index(position))
            name = luns[address.index] = hotplug.lun_node(address.index)
        node, numbers = add_disk(descriptors, name, disk)
        nodes.append(node)
        fdsets += [(number, name) for number in numbers]
        addresses.append(address)
    for slot, name in enumerate(slots):
        if name == hotplug.empty_node(slot):
            nodes.append(disks.null_node(name, SLOT_READ_ONLY[slot]))
    return nodes, slots, luns, addresses, fdsets


def listen_at(path: Path, descriptors: Descriptors) -> int:
    """Listen on a unix socket for the VMM; return the number it will see."""
    path.unlink(missing_ok=True)
    listener = listen_unix(path)
    return descriptors.add(listener.detach())


def _prelude(state_fd: int, descriptors: Descriptors, watch: Watch) -> int:
    prelude = Prelude(descriptors.lend(state_fd), watch.check)
    return descriptors.add(prelude.theirs.detach())


def _tap(spec: VmSpec, descriptors: Descriptors) -> int:
    if spec.nic is None or spec.nic.kind is not NicKind.TAP:
        return -1
    return descriptors.lend(spec.nic.tap_fd)


def _as_zygote(
    files: Files, fork: Fork, spec: VmSpec, descriptors: Descriptors
) -> tuple[Files, dict[str, str]]:
    """Return its files and its environment: it has no jail, so no folder of its own to share."""
    folder = os.open(_unjailed_share(spec.run_dir), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchmod(folder, 0o755)  # opened again by a VMM of another user
    share = descriptors.add(folder)
    library, control = descriptors.lend(fork.library), descriptors.lend(fork.control)
    environment = {"LD_PRELOAD": f"/proc/self/fd/{library}", "VMFORK": f"{control},{library}"}
    return replace(files, share=f"/proc/self/fd/{share}", share_fd=share), environment


def jail_of(spec: VmSpec, engine: Engine) -> tuple[Jail | None, str]:
    """Return how the VMM of `spec` is confined, and its 9p security model. Raises Unsupported."""
    if not engine.jailed:
        if spec.pci_devices:
            raise Unsupported("PCI devices are given to jailed VMMs only: see hyper doctor")
        return None, MAPPED
    devices = passthrough.nodes_for(spec.pci_devices, spec.memory_bytes)
    if engine.accelerator == "kvm":
        devices = ("kvm", *devices)
    # QEMU's user-mode network is the one thing that needs the host's: it connects for the guest.
    network = spec.nic is not None and spec.nic.kind is NicKind.USER
    locked = passthrough.locked_bytes(spec.pci_devices, spec.memory_bytes)
    return jail_for(spec.vm_id, devices=devices, network=network, locked_bytes=locked)


def _unjailed_share(run_dir: Path) -> str:
    path = run_dir / "share"
    path.mkdir(mode=0o700, exist_ok=True)
    return os.fspath(path)
