"""QEMU's command line and block nodes are pure functions of data."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.core.errors import InvalidArgument, Unsupported
from hyper.core.spec import Forward, Nic, NicKind, VmSpec
from hyper.core.units import MIB
from hyper.hypervisor.drivers.qemu import disks
from hyper.hypervisor.drivers.qemu.arguments import (
    Files,
    Invocation,
    Memory,
    choose_slots,
    command_line,
    forward_rule,
    scsi_disk,
)
from hyper.hypervisor.drivers.qemu.machines import machine_of

SPEC = VmSpec("vm", 2, 256 * MIB, Path("/k"), Path("/i"), Path("/run"), kernel_parameters=("a=b",))
FILES = Files(3, 4, "/proc/self/fd/5", "/proc/self/fd/6", "/share", "passthrough")
INVOCATION = Invocation(
    program="/usr/bin/qemu",
    accelerator="tcg",
    spec=SPEC,
    files=FILES,
    nodes=(),
    slots=("s0", "s1", "s2"),
    luns={},
)


def values(argv: list[str], option: str) -> list[str]:
    return [argv[i + 1] for i, argument in enumerate(argv) if argument == option]


def test_a_boot_names_kernel_initrd_and_parameters() -> None:
    argv = command_line(INVOCATION)
    assert values(argv, "-kernel") == ["/proc/self/fd/5"]
    assert values(argv, "-initrd") == ["/proc/self/fd/6"]
    (append,) = values(argv, "-append")
    assert append.endswith(" a=b")
    assert {"console=ttyS0", "quiet", "panic=-1"} <= set(append.split())


def test_a_clone_loads_no_kernel_and_waits_for_its_state() -> None:
    files = replace(FILES, prelude_fd=9)
    argv = command_line(replace(INVOCATION, files=files, incoming=True))
    assert not values(argv, "-kernel") and not values(argv, "-append")
    assert values(argv, "-incoming") == ["defer"]
    assert "socket,id=prelude,fd=9" in values(argv, "-chardev")


def test_a_clone_has_the_devices_of_its_template() -> None:
    template = command_line(replace(INVOCATION, memory=Memory("/m", True)))
    files = replace(FILES, prelude_fd=9)
    clone = command_line(
        replace(INVOCATION, memory=Memory("/m", False), incoming=True, files=files)
    )
    for option in ("-device", "-M", "-cpu", "-accel", "-smp", "-m", "-netdev"):
        assert values(template, option) == values(clone, option)


def test_every_device_has_its_own_transport() -> None:
    devices = [d for d in values(command_line(INVOCATION), "-device") if "virtio-mmio-bus" in d]
    buses = [device.partition("bus=virtio-mmio-bus.")[2].partition(",")[0] for device in devices]
    assert sorted(buses) == [str(number) for number in range(8)]


def test_slot_0_is_the_first_disk_the_kernel_finds() -> None:
    slots = [d for d in values(command_line(INVOCATION), "-device") if "virtio-blk" in d]
    # The kernel is told of the transports from the highest down.
    assert [slot.partition("mmio-bus.")[2] for slot in slots] == [
        "7,id=slot-0,drive=s0",
        "6,id=slot-1,drive=s1",
        "5,id=slot-2,drive=s2",
    ]


def test_the_vmm_is_sandboxed_and_reads_no_configuration() -> None:
    argv = command_line(INVOCATION)
    assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(argv)
    (sandbox,) = values(argv, "-sandbox")
    for part in ("obsolete", "elevateprivileges", "spawn", "resourcecontrol"):
        assert f"{part}=deny" in sandbox


@pytest.mark.parametrize(
    ("nic", "expected"),
    [
        (None, "user,id=net0,restrict=on"),
        (Nic(NicKind.NONE, ""), "user,id=net0,restrict=on"),
        (Nic(NicKind.TAP, "02:00:00:00:00:01", tap_fd=40), "tap,id=net0,fd=11,vhost=off"),
        (
            Nic(NicKind.USER, "", forwards=(Forward("tcp", "127.0.0.1", 8080, 80),)),
            "user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80",
        ),
    ],
)
def test_network_backends(nic: Nic | None, expected: str) -> None:
    files = replace(FILES, tap_fd=11)
    argv = command_line(replace(INVOCATION, spec=replace(SPEC, nic=nic), files=files))
    assert values(argv, "-netdev") == [expected]


def test_kvm_uses_the_host_cpu_and_tcg_a_bounded_cache() -> None:
    kvm = command_line(replace(INVOCATION, accelerator="kvm"))
    assert values(kvm, "-accel") == ["kvm"] and values(kvm, "-cpu") == ["host"]
    tcg = command_line(INVOCATION)
    assert "tb-size=" in values(tcg, "-accel")[0] and "rdrand" in values(tcg, "-cpu")[0]


def test_a_guest_is_told_how_fast_its_counter_runs() -> None:
    (append,) = values(command_line(replace(INVOCATION, tsc_khz=2445430)), "-append")
    assert {"tsc_early_khz=2445430", "tsc=reliable"} <= set(append.split())
    (append,) = values(command_line(INVOCATION), "-append")
    assert "tsc" not in append


def test_fd_sets_carry_the_name_of_their_node() -> None:
    files = replace(FILES, fdsets=((7, "slot-0-disk"),))
    argv = command_line(replace(INVOCATION, files=files))
    assert values(argv, "-add-fd") == ["fd=7,set=7,opaque=slot-0-disk"]


def test_disks_go_to_slots_of_their_kind_in_order_then_to_scsi() -> None:
    placed, left = choose_slots([True, False, False, True, True])
    assert placed == {0: 0, 1: 1, 3: 2}
    assert left == [2, 4]


def test_a_writable_first_disk_does_not_take_a_read_only_slot() -> None:
    assert choose_slots([False]) == ({0: 1}, [])


def test_no_disk_takes_no_slot() -> None:
    assert choose_slots([]) == ({}, [])


def test_a_scsi_disk_is_at_target_0() -> None:
    device = scsi_disk(5, "lun-5-disk")
    assert (device["scsi-id"], device["lun"], device["drive"]) == (0, 5, "lun-5-disk")


def test_a_forward_without_an_address_listens_everywhere() -> None:
    assert forward_rule(Forward("udp", "", 53, 5353)) == "udp::53-:5353"


def test_writable_disks_keep_what_the_guest_synced() -> None:
    node = disks.file_node("n", 7, read_only=False)
    assert node["cache"] == {"direct": False, "no-flush": False}
    assert node["locking"] == "on" and node["filename"] == "/dev/fdset/7"
    assert json.dumps(node)


def test_a_descriptor_lists_extents_in_sectors() -> None:
    text = disks.flat_descriptor([512, 8192], [10, 11]).decode()
    assert 'RW 1 FLAT "/dev/fdset/10" 0\nRW 16 FLAT "/dev/fdset/11" 0\n' in text


def test_no_empty_line_comes_before_an_extent() -> None:
    # QEMU's parser would find the extent after it twice, and every later byte would be shifted.
    lines = disks.flat_descriptor([512, 512], [10, 11]).decode().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("RW"))
    assert all(lines[: first + 2])


@pytest.mark.parametrize("size", [0, 511, 513])
def test_an_extent_is_whole_sectors(size: int) -> None:
    with pytest.raises(InvalidArgument, match="512"):
        disks.flat_descriptor([size], [10])


def test_q35_holds_the_same_devices_in_slots_of_its_own() -> None:
    argv = command_line(replace(INVOCATION, spec=replace(SPEC, machine="q35")))
    assert values(argv, "-M")[0].startswith("q35,")
    devices = [d for d in values(argv, "-device") if d.startswith("virtio-") and "-pci" in d]
    slots = [device.partition("addr=")[2].partition(",")[0] for device in devices]
    assert sorted(slots) == [hex(number) for number in range(2, 10)]
    blocks = [d for d in devices if d.startswith("virtio-blk")]
    # The kernel names disks in the order of their slots.
    assert [block[-18:] for block in blocks] == [f"id=slot-{n},drive=s{n}" for n in range(3)]
    (append,) = values(argv, "-append")
    assert "pci=off" not in append.split()
    (append,) = values(command_line(INVOCATION), "-append")
    assert "pci=off" in append.split()


def test_devices_of_the_host_sit_behind_root_ports_of_a_q35() -> None:
    given = ("0000:01:00.0", "0000:01:00.1")
    argv = command_line(replace(INVOCATION, spec=replace(SPEC, pci_devices=given)))
    assert values(argv, "-M")[0].startswith("q35,")
    vfio = [d for d in values(argv, "-device") if d.startswith("vfio-pci")]
    assert vfio == [
        "vfio-pci,id=host-0,host=0000:01:00.0,bus=port-0",
        "vfio-pci,id=host-1,host=0000:01:00.1,bus=port-1",
    ]
    ports = [d for d in values(argv, "-device") if d.startswith("pcie-root-port")]
    assert [port.partition(",")[2] for port in ports] == [
        "id=port-0,bus=pcie.0,chassis=1,addr=0xa",
        "id=port-1,bus=pcie.0,chassis=2,addr=0xb",
    ]


def test_a_machine_without_pci_holds_no_pci_device() -> None:
    with pytest.raises(Unsupported, match=r"microvm has no PCI.*q35"):
        machine_of("microvm", ("0000:01:00.0",))
    with pytest.raises(InvalidArgument, match="no machine type 'pc'"):
        machine_of("pc")
    with pytest.raises(Unsupported, match="16 of them at most"):
        machine_of("q35", tuple(f"0000:01:{n:02x}.0" for n in range(17)))


def test_a_block_device_of_the_host_is_another_kind_of_node() -> None:
    assert disks.file_node("n", 7, False)["driver"] == "file"
    assert disks.file_node("n", 7, False, block_device=True)["driver"] == "host_device"
