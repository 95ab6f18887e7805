"""A booted QEMU: disks, hot plug, death, pause, a restart of the daemon."""

import asyncio
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.core.errors import Conflict, InvalidArgument, NotFound
from hyper.core.spec import Disk
from hyper.core.units import MIB
from hyper.hypervisor.driver import (
    Bus,
    DeviceAddress,
    Driver,
    DriverOptions,
    create_driver,
    end_leftover,
    read_record,
)
from hyper.hypervisor.drivers.qemu import hotplug
from hyper.hypervisor.drivers.qemu.vm import QemuVm
from tests.support.bare_guest import shell
from tests.vm.conftest import Keep, NewSpec


def image(path: Path, size: int, seed: int) -> Path:
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


@pytest.fixture
def extents(folder: Path) -> tuple[Path, ...]:
    sizes = (4096, 512, 40960, 4096)
    return tuple(image(folder / f"layer{n}", size, n) for n, size in enumerate(sizes))


@pytest.fixture
def writable(folder: Path) -> Path:
    return image(folder / "rw", 65536, 99)


async def test_disks_of_a_boot(
    driver: Driver, new_spec: NewSpec, keep: Keep, extents: tuple[Path, ...], writable: Path
) -> None:
    disks = Disk("chain", extents, True), Disk("rw", (writable,), False)
    vm = keep(await driver.start(new_spec("vm", *disks)))
    assert vm.disks.address_of("chain") == DeviceAddress(Bus.BLOCK_SLOT, 0)
    assert vm.disks.address_of("rw") == DeviceAddress(Bus.BLOCK_SLOT, 1)
    with pytest.raises(NotFound):
        vm.disks.address_of("other")
    content = b"".join(path.read_bytes() for path in extents)
    async with shell(vm.agent_socket) as guest:
        assert await guest.read("/dev/vda", 0, len(content)) == content
        # Bytes on both sides of each border between files.
        for border in (4096, 4608, 45568):
            expected = content[border - 512 : border + 512]
            assert await guest.read("/dev/vda", border - 512, 1024) == expected
        size = await guest.output("cat /sys/block/vda/size /sys/block/vda/ro")
        assert size.split() == [str(len(content) // 512), "1"]
        status, _ = await guest.run("dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync")
        assert status != 0 and extents[0].read_bytes() == content[:4096]
        await guest.output("printf hello | dd of=/dev/vdb bs=512 conv=sync,fsync 2>/dev/null")
    assert writable.read_bytes()[:5] == b"hello"


async def test_hot_plug(
    driver: Driver, new_spec: NewSpec, keep: Keep, extents: tuple[Path, ...], writable: Path
) -> None:
    vm = keep(await driver.start(new_spec("vm")))
    scan = "echo 0 0 - > /sys/class/scsi_host/host0/scan"  # the kernel is told not to by itself
    find = "for n in $(seq 2000); do test -b /dev/sd%s && exit; usleep 20000; done; false"
    async with shell(vm.agent_socket) as guest:
        assert await vm.disks.attach(Disk("a", extents, True)) == DeviceAddress(Bus.SCSI, 0)
        await guest.output(scan)
        assert await vm.disks.attach(Disk("b", (writable,), False)) == DeviceAddress(Bus.SCSI, 1)
        with pytest.raises(Conflict):
            await vm.disks.attach(Disk("a", extents, True))
        await guest.output(find % "a")
        await guest.output(find % "b")
        assert (await guest.output("echo /sys/block/sdb/device/scsi_device/*")).endswith(":0:0:1")
        content = b"".join(path.read_bytes() for path in extents)
        assert await guest.read("/dev/sda", 0, len(content)) == content
        await vm.disks.detach("a")
        await guest.output("for n in $(seq 2000); do test -b /dev/sda || exit 0; usleep 9999; done")
        with pytest.raises(NotFound):
            await vm.disks.detach("a")
        # The lowest LUN is free again, and so are the fd sets of the old disk.
        assert await vm.disks.attach(Disk("a", extents[:1], True)) == DeviceAddress(Bus.SCSI, 0)
    assert [disk.disk_id for disk in vm.record.disks] == ["b", "a"]


async def test_a_disk_that_cannot_be_leaves_nothing(
    driver: Driver, new_spec: NewSpec, keep: Keep, folder: Path
) -> None:
    vm = keep(await driver.start(new_spec("vm")))
    odd = image(folder / "odd", 513, 1)
    with pytest.raises(InvalidArgument, match="512"):
        await vm.disks.attach(Disk("odd", (odd, odd), True))
    with pytest.raises(InvalidArgument, match="read-only"):
        await vm.disks.attach(Disk("two", (odd, odd), False))
    assert vm.record.disks == ()


async def test_a_writable_disk_has_one_vm(
    driver: Driver, new_spec: NewSpec, keep: Keep, writable: Path
) -> None:
    disk = Disk("rw", (writable,), False)
    first = keep(await driver.start(new_spec("first", disk)))
    async with shell(first.agent_socket):
        second = keep(await driver.start(new_spec("second", disk)))
        async with asyncio.timeout(60):
            ended = await second.wait()
    assert ended.status == 1 and "lock" in ended.console_tail


async def test_a_panic_ends_the_vm_and_its_console_tells(
    driver: Driver, new_spec: NewSpec, keep: Keep
) -> None:
    vm = keep(await driver.start(new_spec("vm")))
    async with shell(vm.agent_socket) as guest:
        guest.writer.write(b"die\n")
        async with asyncio.timeout(60):
            ended = await vm.wait()
    assert ended.status == 0 and "Kernel panic" in ended.console_tail


async def test_kill_ends_the_vmm_and_removes_its_files(driver: Driver, new_spec: NewSpec) -> None:
    spec = new_spec("vm")
    vm = await driver.start(spec)
    await vm.kill()
    assert (await vm.wait()).signal == 9
    assert not Path(f"/proc/{vm.record.pid}").exists()
    assert list(spec.run_dir.iterdir()) == []
    await vm.kill()


async def test_a_paused_vm_does_not_answer(driver: Driver, new_spec: NewSpec, keep: Keep) -> None:
    vm = keep(await driver.start(new_spec("vm")))
    async with shell(vm.agent_socket) as guest:
        await vm.pause()
        question = asyncio.timeout(0.5)
        with pytest.raises(TimeoutError):
            async with question:
                await guest.run("echo no")
        await vm.resume()
        async with asyncio.timeout(60):
            # The answer to the question asked while it was paused.
            assert await guest._reader.readline() == b"0 3\n"


async def test_a_later_daemon_finds_the_vm(
    driver: Driver,
    options: DriverOptions,
    new_spec: NewSpec,
    keep: Keep,
    extents: tuple[Path, ...],
) -> None:
    spec = new_spec("vm")
    vm = await driver.start(spec)
    await vm.disks.attach(Disk("a", extents, True))
    # As if the daemon had died while it plugged another in, or took it away.
    assert isinstance(vm, QemuVm)
    await hotplug._add_node(vm.monitor, hotplug.lun_node(1), Disk("b", extents[:1], True))
    await vm.close()
    await options.launcher.close()
    record = read_record(spec.run_dir)
    assert record == vm.record and record is not None
    later = create_driver("qemu", options)
    again = await later.reattach(record)
    assert again is not None
    keep(again)
    assert again.disks.address_of("a") == DeviceAddress(Bus.SCSI, 0)
    async with shell(again.agent_socket):
        assert await again.disks.attach(Disk("b", extents[:1], True)) == DeviceAddress(Bus.SCSI, 1)
        await again.disks.detach("a")
    await again.kill()
    assert (await again.wait()).status is None  # not this daemon's child
    assert await later.reattach(record) is None


async def test_a_vm_without_a_record_can_be_ended(
    driver: Driver, options: DriverOptions, new_spec: NewSpec, keep: Keep
) -> None:
    spec = new_spec("vm")
    vm = await driver.start(spec)
    keep(vm)
    (spec.run_dir / "vmm.json").unlink()  # as if the daemon had died before it wrote it
    assert await end_leftover(create_driver("qemu", options), spec.run_dir)
    async with asyncio.timeout(60):
        await vm.wait()
    assert not await end_leftover(driver, spec.run_dir)


async def test_the_spawner_may_die(
    driver: Driver, options: DriverOptions, new_spec: NewSpec, keep: Keep
) -> None:
    first = keep(await driver.start(new_spec("first")))
    await options.launcher.close()
    async with shell(first.agent_socket):
        second = keep(await driver.start(new_spec("second")))
        async with shell(second.agent_socket):
            pass


async def test_the_balloon_takes_memory_from_the_guest(
    driver: Driver, new_spec: NewSpec, keep: Keep
) -> None:
    vm = keep(await driver.start(new_spec("vm")))
    free = "awk '/MemFree/ {print $2}' /proc/meminfo"
    async with shell(vm.agent_socket) as guest:
        before = int(await guest.output(free))
        await vm.balloon(96 * MIB)
        for _ in range(1200):
            if int(await guest.output(free)) < before - 24 * 1024:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the guest kept its memory")
        with pytest.raises(InvalidArgument):
            await vm.balloon(1 << 40)


async def test_a_guest_that_prints_for_ever_fills_no_disk(
    driver: Driver, new_spec: NewSpec, keep: Keep
) -> None:
    spec = new_spec("vm")
    vm = keep(await driver.start(spec))
    async with shell(vm.agent_socket) as guest:
        await guest.output("yes flood >/dev/console & echo")
        await asyncio.sleep(1)
        assert await guest.output("echo alive") == "alive"
    assert sum(os.stat(path).st_size for path in spec.run_dir.iterdir()) < 64 * 1024


async def test_q35_has_the_same_disks_behind_pci(
    driver: Driver, new_spec: NewSpec, keep: Keep, extents: tuple[Path, ...], writable: Path
) -> None:
    disks = Disk("chain", extents, True), Disk("rw", (writable,), False)
    spec = replace(new_spec("vm", *disks), machine="q35")
    assert await driver.template_key(spec) == ""  # such a VM is always booted
    vm = keep(await driver.start(spec))
    assert vm.record.machine == "q35"
    async with shell(vm.agent_socket) as guest:
        content = b"".join(path.read_bytes() for path in extents)
        assert await guest.read("/dev/vda", 0, len(content)) == content
        assert await guest.read("/dev/vdb", 0, 65536) == writable.read_bytes()
        bridges = await guest.output("cat /sys/bus/pci/devices/0000:00:1f.0/vendor")
        assert bridges.strip() == "0x8086"
        await vm.disks.detach("rw")
        assert await vm.disks.attach(Disk("more", (extents[2],), True)) == DeviceAddress(
            Bus.SCSI, 0
        )
        await guest.output("echo '0 0 0' > /sys/class/scsi_host/host0/scan")
        assert await guest.read("/dev/sda", 0, 4096) == extents[2].read_bytes()[:4096]
