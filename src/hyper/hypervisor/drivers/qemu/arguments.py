"""QEMU's command line for one VM: a pure function of data. Starts nothing.

The devices and their places (`machines`) are the same in every VM of a machine type, because a
clone must have exactly those of its template and the guest finds its disks by their order:

    0 serial (agent) | 1 net | 2 9p | 3 balloon | 4 scsi | 5, 6, 7 blk slots 0, 1, 2

Found by measurement (QEMU 7.2, TCG, 2 cores): `rtc=off` costs 1.0 s (the kernel waits for the
absent clock), `pit=off,pic=off` never boots, `qemu64` runs guest code up to 1.5 times faster than
`max`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyper.core.spec import Forward, Nic, NicKind, VmSpec
from hyper.core.units import MIB
from hyper.hypervisor.drivers.qemu.disks import SLOT_READ_ONLY, JsonObject
from hyper.hypervisor.drivers.qemu.machines import BLOCK_PLACE, Machine, machine_of

LAYOUT = "mmio8-1"
"""Version of the device layout: templates of another layout are not used."""

AGENT_PORT = "hyper.agent"
SHARE_TAG = "hyper"
SCSI_CONTROLLER = "scsi"
TB_CACHE_MIB = 64
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
KERNEL_PARAMETERS = (
    "console=ttyS0",
    "quiet",
    "panic=-1",  # a dead guest restarts at once, which with -no-reboot ends its VMM
    "reboot=t",  # by triple fault: the keyboard controller, tried first, is not there
    "random.trust_cpu=on",
    # QEMU's and KVM's local APIC both run at 1 GHz (hw/intc/apic_common.c, APIC_BUS_FREQUENCY):
    # measuring it again at each boot takes 220 ms. See guest/kernel/patches/0001.
    "lapic_timer_hz=1000000000",
    # 256 targets would be asked in turn, 45 ms; hyperstart asks for the one LUN it is told of.
    "scsi_mod.scan=manual",
    "zram.num_devices=0",  # made on demand (/sys/class/zram-control/hot_add)
)


@dataclass(frozen=True, slots=True)
class Memory:
    """Where guest memory is: anonymous (`path` ""), or a file, written back only if `shared`."""

    path: str = ""
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """Descriptors and paths as the VMM will see them; `fdsets` are descriptors and their nodes."""

    agent_fd: int
    qmp_fd: int
    kernel: str
    initrd: str
    share: str
    security_model: str
    fdsets: tuple[tuple[int, str], ...] = ()
    tap_fd: int = -1
    prelude_fd: int = -1
    share_fd: int = -1


@dataclass(frozen=True, slots=True)
class Invocation:
    """All that decides the command line. `nodes` are the block nodes; `slots` one name each.

    `incoming`: the VM takes over a template's state and so loads no kernel. `tsc_khz`: the speed
    of the counter an emulated guest reads, 0 if unknown (`tsc`).
    """

    program: str
    accelerator: str
    spec: VmSpec
    files: Files
    nodes: tuple[JsonObject, ...]
    slots: tuple[str, ...]
    luns: Mapping[int, str]
    memory: Memory = Memory()
    incoming: bool = False
    tsc_khz: int = 0


def command_line(invocation: Invocation) -> list[str]:
    """Return the argument vector of the VMM."""
    spec, files = invocation.spec, invocation.files
    machine = machine_of(spec.machine, spec.pci_devices)
    return [
        invocation.program,
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-name", f"guest={spec.vm_id[:32]}"),
        *("-sandbox", SANDBOX),
        *("-M", ",".join((machine.name, *machine.options, "memory-backend=ram"))),
        *_processor(invocation),
        *_memory(invocation.memory, spec.memory_bytes),
        *_kernel(invocation),
        *("-chardev", "file,id=console,path=/proc/self/fd/2", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,fd={files.qmp_fd},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"socket,id=agent,fd={files.agent_fd},server=on,wait=off"),
        *machine.virtio("serial", 0, "max_ports=2"),
        *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT},nr=1"),
        *_network(machine, spec.nic, files.tap_fd),
        *_share(machine, files),
        *machine.virtio("balloon", 3, "id=balloon,free-page-reporting=on"),
        *machine.virtio("scsi", 4, f"id={SCSI_CONTROLLER},num_queues=1"),
        *_disks(machine, invocation),
        *machine.host_devices(spec.pci_devices),
        *_incoming(invocation),
    ]


def kernel_parameters(spec: VmSpec, tsc_khz: int) -> tuple[str, ...]:
    """Return the kernel's command line but for what QEMU adds."""
    clock = (f"tsc_early_khz={tsc_khz}", "tsc=reliable") if tsc_khz else ()
    own = machine_of(spec.machine, spec.pci_devices).parameters
    return (*KERNEL_PARAMETERS, *own, *clock, *spec.kernel_parameters)


def scsi_disk(lun: int, node: str) -> JsonObject:
    """Return the arguments of device_add for a disk at target 0, LUN `lun`."""
    return {
        "driver": "scsi-hd",
        "id": f"lun-{lun}",
        "bus": f"{SCSI_CONTROLLER}.0",
        "channel": 0,
        "scsi-id": 0,
        "lun": lun,
        "drive": node,
    }


def forward_rule(forward: Forward) -> str:
    """Return a port forward in the form of -netdev user,hostfwd= and hostfwd_add."""
    return f"{forward.protocol}:{forward.host_ip}:{forward.host_port}-:{forward.guest_port}"


def _processor(invocation: Invocation) -> tuple[str, ...]:
    if invocation.accelerator == "kvm":
        return ("-accel", "kvm", "-cpu", "host", "-smp", str(invocation.spec.vcpus))
    # rdrand: the guest's seed, since there is no virtio-rng. The translation cache is touched as it
    # fills; a bound keeps a long-lived VM from growing to the default of 1 GiB.
    accel = f"tcg,thread=multi,tb-size={TB_CACHE_MIB}"
    return ("-accel", accel, "-cpu", "qemu64,+rdrand", "-smp", str(invocation.spec.vcpus))


def _memory(memory: Memory, size_bytes: int) -> tuple[str, ...]:
    size = f"size={size_bytes // MIB}M"
    if memory.path:
        shared = "on" if memory.shared else "off"
        backend = f"memory-backend-file,id=ram,{size},mem-path={memory.path},share={shared}"
    else:
        backend = f"memory-backend-ram,id=ram,{size}"
    return ("-m", f"{size_bytes // MIB}M", "-object", backend)


def _kernel(invocation: Invocation) -> tuple[str, ...]:
    if invocation.incoming:
        return ()
    parameters = " ".join(kernel_parameters(invocation.spec, invocation.tsc_khz))
    files = invocation.files
    return ("-kernel", files.kernel, "-initrd", files.initrd, "-append", parameters)


def _incoming(invocation: Invocation) -> tuple[str, ...]:
    if not invocation.incoming:
        return ()
    return (
        *("-incoming", "defer"),
        *("-chardev", f"socket,id=prelude,fd={invocation.files.prelude_fd}"),
        *("-mon", "chardev=prelude,mode=control"),
    )


def _network(machine: Machine, nic: Nic | None, tap_fd: int) -> tuple[str, ...]:
    mac = f",mac={nic.mac}" if nic is not None and nic.mac else ""
    if nic is None or nic.kind is NicKind.NONE:
        # Leads nowhere (the jail has no network either); without a backend QEMU prints a warning.
        backend = "user,id=net0,restrict=on"
    elif nic.kind is NicKind.TAP:
        backend = f"tap,id=net0,fd={tap_fd},vhost=off"
    else:
        rules = "".join(f",hostfwd={forward_rule(forward)}" for forward in nic.forwards)
        backend = f"user,id=net0{rules}"
    return ("-netdev", backend, *machine.virtio("net", 1, f"id=nic,netdev=net0{mac}"))


def _share(machine: Machine, files: Files) -> tuple[str, ...]:
    backend = f"local,id=share,path={files.share},security_model={files.security_model}"
    return (
        *("-fsdev", f"{backend},multidevs=remap"),
        *machine.virtio("9p", 2, f"fsdev=share,mount_tag={SHARE_TAG}"),
    )


def _disks(machine: Machine, invocation: Invocation) -> tuple[str, ...]:
    arguments: list[str] = []
    for fdset, node_name in invocation.files.fdsets:
        arguments += ("-add-fd", f"fd={fdset},set={fdset},opaque={node_name}")
    for node in invocation.nodes:
        arguments += ("-blockdev", json.dumps(node))
    for index, node_name in enumerate(invocation.slots):
        arguments += machine.virtio(
            "blk", BLOCK_PLACE + index, f"id=slot-{index},drive={node_name}"
        )
    for lun, node_name in sorted(invocation.luns.items()):
        arguments += ("-device", json.dumps(scsi_disk(lun, node_name)))
    return tuple(arguments)


def choose_slots(read_only: Sequence[bool]) -> tuple[dict[int, int], list[int]]:
    """Return {position of a disk: slot} and the positions left for SCSI, filling slots in order."""
    free = list(range(len(SLOT_READ_ONLY)))
    placed: dict[int, int] = {}
    left: list[int] = []
    for position, wants_read_only in enumerate(read_only):
        slot = next((s for s in free if SLOT_READ_ONLY[s] == wants_read_only), None)
        if slot is None:
            left.append(position)
        else:
            free.remove(slot)
            placed[position] = slot
    return placed, left
