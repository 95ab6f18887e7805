"""Owns QEMU's machine types: how each is asked for and where it carries its virtio devices.

Builds no command line (`arguments`). A *place* numbers the devices of a VM in the order in which
the guest finds them; the three places from `BLOCK_PLACE` on are /dev/vda, /dev/vdb, /dev/vdc.

    microvm   no PCI, no ACPI: the machine that boots fastest, can be cloned, and is the default
    q35       PCI Express and ACPI, so it can be given devices of the host; always booted. Slots 2
              to 9 hold the virtio devices, 10 to 25 a root port for each device of the host
"""

from dataclasses import dataclass

from hyper.core.errors import InvalidArgument, Unsupported

BLOCK_PLACE = 5
MAX_PCI_DEVICES = 16
_FIRST_SLOT, _FIRST_PORT = 2, 10


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type. `parameters` are what only its guest's kernel is told."""

    name: str
    options: tuple[str, ...]
    parameters: tuple[str, ...]
    has_pci: bool

    def virtio(self, model: str, place: int, options: str = "") -> tuple[str, str]:
        """Return the arguments of a virtio device: virtio-`model` at a place."""
        if self.has_pci:
            # No option ROM: the guest's kernel is loaded directly, nothing boots from a network.
            where = f"virtio-{model}-pci,bus=pcie.0,addr={_FIRST_SLOT + place:#x},romfile="
            where += ",disable-legacy=on"
        else:
            # QEMU names its transports to the kernel last first, so the highest bus is /dev/vda.
            bus = place if place < BLOCK_PLACE else 12 - place
            where = f"virtio-{model}-device,bus=virtio-mmio-bus.{bus}"
        return ("-device", where + (f",{options}" if options else ""))

    def host_devices(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Return the arguments that give the VM PCI devices of the host."""
        arguments: list[str] = []
        for number, address in enumerate(addresses):
            port = f"pcie-root-port,id=port-{number},bus=pcie.0,chassis={number + 1}"
            arguments += ("-device", f"{port},addr={_FIRST_PORT + number:#x}")
            arguments += ("-device", f"vfio-pci,id=host-{number},host={address},bus=port-{number}")
        return tuple(arguments)


_COMMON = ("dump-guest-core=off", "mem-merge=off")
MICROVM = Machine(
    "microvm",
    ("acpi=off", "x-option-roms=off", "isa-serial=on", "auto-kernel-cmdline=on", *_COMMON),
    ("pci=off",),
    has_pci=False,
)
Q35 = Machine(
    "q35",
    ("sata=off", "smbus=off", "usb=off", "vmport=off", "hpet=off", "graphics=off", *_COMMON),
    (),
    has_pci=True,
)
_MACHINES = {machine.name: machine for machine in (MICROVM, Q35)}


def machine_of(name: str, pci_devices: tuple[str, ...] = ()) -> Machine:
    """Return the machine type for a VM; without a name the one that can hold what it is given.

    Raises InvalidArgument, Unsupported.
    """
    if not name:
        return Q35 if pci_devices else MICROVM
    if name not in _MACHINES:
        known = ", ".join(_MACHINES)
        raise InvalidArgument(f"no machine type {name!r}: this driver has {known}")
    machine = _MACHINES[name]
    if pci_devices and not machine.has_pci:
        raise Unsupported(
            f"machine type {name} has no PCI, so no place for {pci_devices[0]}: leave the machine "
            "type out, or ask for q35"
        )
    if len(pci_devices) > MAX_PCI_DEVICES:
        raise Unsupported(
            f"{len(pci_devices)} PCI devices: a VM holds {MAX_PCI_DEVICES} of them at most"
        )
    return machine
