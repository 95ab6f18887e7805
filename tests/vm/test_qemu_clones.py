"""Templates and clones of QEMU, and the factory that gives them out."""

import asyncio
import hashlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.core.errors import HypervisorError
from hyper.core.spec import Disk, Forward, Nic, NicKind
from hyper.hypervisor.driver import Bus, DeviceAddress, Driver
from hyper.hypervisor.factory import Factory, FactoryOptions
from tests.support.bare_guest import answers, shell
from tests.vm.conftest import Keep, NewSpec

Condition = Callable[[], bool]


def image(path: Path, size: int, seed: int) -> Path:
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def until(condition: Condition) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.fixture
async def template(driver: Driver, new_spec: NewSpec, folder: Path) -> Path:
    directory = folder / "template"
    await driver.make_template(new_spec("maker"), directory, answers)
    return directory


@pytest.fixture
def chain(folder: Path) -> Disk:
    extents = tuple(image(folder / f"layer{n}", 4096 * (n + 1), n) for n in range(3))
    return Disk("chain", extents, True)


@pytest.fixture
def writable(folder: Path) -> Disk:
    return Disk("rw", (image(folder / "rw", 65536, 9),), False)


async def test_a_clone_runs_on_from_its_template(
    driver: Driver, new_spec: NewSpec, keep: Keep, template: Path, chain: Disk, writable: Disk
) -> None:
    spec = new_spec("clone", chain, writable)
    vm = keep(await driver.clone(spec, template))
    content = b"".join(path.read_bytes() for path in chain.extents)
    async with shell(vm.agent_socket) as guest:
        assert await guest.read("/dev/vda", 0, len(content)) == content
        assert await guest.read("/dev/vdb", 0, 65536) == writable.extents[0].read_bytes()
        status, _ = await guest.run("dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync")
        assert status != 0
        # The guest believes in a disk of 1 TiB; what lies beyond the file cannot be written.
        beyond = "dd if=/dev/zero of=/dev/vdb bs=512 seek=128 count=1 oflag=direct"
        status, _ = await guest.run(beyond)
        assert status != 0 and writable.extents[0].stat().st_size == 65536


async def test_clones_share_no_memory_and_leave_the_template_as_it_is(
    driver: Driver, new_spec: NewSpec, keep: Keep, template: Path
) -> None:
    before = digest(template / "memory"), digest(template / "state")
    one = keep(await driver.clone(new_spec("one"), template))
    other = keep(await driver.clone(new_spec("other"), template))
    async with shell(one.agent_socket) as first, shell(other.agent_socket) as second:
        await first.output("head -c 20000000 /dev/urandom >/tmp/mine; rm /tmp/mine; touch /tmp/one")
        assert await second.output("ls /tmp") == ""
        # Freed memory goes back to the host: never into the template.
        await first.output("sleep 3")
    third = keep(await driver.clone(new_spec("third"), template))
    async with shell(third.agent_socket) as guest:
        assert await guest.output("ls /tmp") == ""
    assert (digest(template / "memory"), digest(template / "state")) == before


async def test_a_waiting_clone_becomes_the_vm_that_is_wanted(
    driver: Driver, new_spec: NewSpec, keep: Keep, template: Path, chain: Disk, writable: Disk
) -> None:
    waiting = keep(await driver.clone(new_spec("waiting"), template))
    async with shell(waiting.agent_socket) as guest:
        before = await guest.output("cat /proc/partitions")
        wanted = new_spec("wanted", chain, writable)
        await waiting.bind(wanted)
        assert waiting.agent_socket.parent == wanted.run_dir
        assert waiting.record.vm_id == "wanted"
        content = b"".join(path.read_bytes() for path in chain.extents)
        assert await guest.read("/dev/vda", 0, len(content)) == content
        await guest.output("printf hello | dd of=/dev/vdb bs=512 conv=sync,fsync 2>/dev/null")
        assert writable.extents[0].read_bytes()[:5] == b"hello"
        # No scan: the guest does not know that anything happened, not even the size.
        assert await guest.output("cat /proc/partitions") == before
    assert waiting.disks.address_of("chain") == DeviceAddress(Bus.BLOCK_SLOT, 0)


async def test_disks_beyond_the_slots_go_to_scsi(
    driver: Driver, new_spec: NewSpec, keep: Keep, template: Path, chain: Disk, writable: Disk
) -> None:
    vm = keep(await driver.clone(new_spec("waiting"), template))
    second = Disk("second", (writable.extents[0].with_name("second"),), False)
    image(second.extents[0], 4096, 5)
    await vm.bind(new_spec("wanted", writable, second))
    assert vm.disks.address_of("second") == DeviceAddress(Bus.SCSI, 0)


async def test_a_missing_template_is_an_error(
    driver: Driver, new_spec: NewSpec, folder: Path
) -> None:
    with pytest.raises(HypervisorError, match="gone"):
        await driver.clone(new_spec("clone"), folder / "none")


async def test_the_key_changes_with_what_the_guest_can_see(
    driver: Driver, new_spec: NewSpec
) -> None:
    spec = new_spec("vm")
    key = await driver.template_key(spec)
    tap = Nic(NicKind.TAP, "02:00:00:00:00:01", tap_fd=0)
    others = (
        replace(spec, vcpus=2),
        replace(spec, memory_bytes=spec.memory_bytes * 2),
        replace(spec, kernel_parameters=("debug",)),
        replace(spec, kernel=spec.initrd),
        replace(spec, nic=tap),
    )
    keys = [await driver.template_key(other) for other in others]
    assert key not in keys and len(set(keys)) == len(keys)
    same = replace(spec, vm_id="other", run_dir=Path("/elsewhere"))
    assert await driver.template_key(same) == key


@pytest.fixture
async def factory(driver: Driver, folder: Path) -> AsyncIterator[Factory]:
    factory = Factory(
        driver, folder / "templates", folder / "pool", answers, FactoryOptions(waiting=2)
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(factory.run(), name="factory")
        yield factory
        task.cancel()
    assert list((folder / "pool").iterdir()) == [], "clones are left"


async def test_the_factory_boots_first_and_clones_later(
    factory: Factory, new_spec: NewSpec, keep: Keep, chain: Disk
) -> None:
    booted = keep(await factory.start(new_spec("first", chain)))
    async with shell(booted.agent_socket):
        pass
    await booted.kill()
    await until(lambda: list(factory.waiting().values()) == [2])
    spec = new_spec("second", chain)
    nic = Nic(NicKind.USER, "", forwards=(Forward("tcp", "127.0.0.1", 0, 80),))
    taken = keep(await factory.start(replace(spec, nic=nic)))
    assert list(factory.waiting().values()) == [1]
    async with shell(taken.agent_socket) as guest:
        content = chain.extents[0].read_bytes()
        assert await guest.read("/dev/vda", 0, len(content)) == content
    await until(lambda: list(factory.waiting().values()) == [2])
    factory.configure(FactoryOptions(waiting=0))
    await until(lambda: list(factory.waiting().values()) == [0])


@pytest.mark.parametrize("hung", [False, True])
async def test_a_factory_ends_the_clones_of_a_dead_daemon(
    driver: Driver, new_spec: NewSpec, folder: Path, template: Path, hung: bool
) -> None:
    spec = new_spec("left")
    (folder / "pool").mkdir()
    spec.run_dir.rename(folder / "pool" / "left")
    left = await driver.clone(replace(spec, run_dir=folder / "pool" / "left"), template)
    await left.close()
    if hung:
        os.kill(left.record.pid, signal.SIGSTOP)
    factory = Factory(driver, folder / "t", folder / "pool", answers, FactoryOptions())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(factory.run(), name="factory")
        async with asyncio.timeout(15):  # before anybody gives up asking it
            await until(lambda: not (folder / "pool" / "left").exists())
        task.cancel()
    await until(lambda: not Path(f"/proc/{left.record.pid}/root").exists())


async def test_a_clone_gives_freed_memory_back(
    driver: Driver, new_spec: NewSpec, keep: Keep, template: Path
) -> None:
    # The first clone of a kind tells what the next ones need.
    first = keep(await driver.clone(new_spec("first"), template))
    async with shell(first.agent_socket):
        pass
    vm = keep(await driver.clone(new_spec("second"), template))
    before = digest(template / "memory")
    async with shell(vm.agent_socket) as guest:
        await guest.output("dd if=/dev/zero of=/tmp/big bs=1M count=40 2>/dev/null")
        full = resident_kib(vm.record.pid)
        await guest.output("rm /tmp/big")
        await until(lambda: resident_kib(vm.record.pid) < full - 20 * 1024)
        assert await guest.output("echo sound") == "sound"
    assert digest(template / "memory") == before


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


async def test_a_slot_can_be_emptied_and_filled_again(
    driver: Driver, new_spec: NewSpec, keep: Keep, template: Path, chain: Disk, writable: Disk
) -> None:
    vm = keep(await driver.clone(new_spec("waiting"), template))
    async with shell(vm.agent_socket) as guest:
        await vm.bind(new_spec("wanted", chain, writable))
        await vm.disks.detach("chain")
        assert await guest.read("/dev/vda", 0, 4096) == bytes(4096)
        booted = keep(await driver.start(new_spec("booted", chain)))
        async with shell(booted.agent_socket) as other:
            await booted.disks.detach("chain")
            assert await other.read("/dev/vda", 0, 512) == bytes(512)
