"""VMs that are forks of another: what they share with it, and what they must not."""

import asyncio
import contextlib
import os
import socket
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.core.errors import HypervisorError, Unsupported
from hyper.core.spec import Disk
from hyper.hypervisor.driver import Driver, DriverOptions, create_driver
from hyper.hypervisor.drivers.qemu.zygote import QemuZygote
from tests.support import leaks
from tests.support.bare_guest import shell
from tests.vm.conftest import Keep, NewSpec

# rdrand %rax; push %rax; write(1, %rsp, 8); exit(0)
_CODE = bytes.fromhex("480fc7f0504889e6bf01000000ba08000000b8010000000f0531ffb83c0000000f05")
_BASE = 0x400000


def _program() -> bytes:
    """Return an ELF file of one segment, headers included (elf(5))."""
    start, size = 64 + 56, 4096
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 4096) + _CODE


def _printf(data: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in data)


def _kernel_objects(pid: int) -> set[str]:
    """Return the sockets, pipes and event counters a process has open, each by what is its own."""
    found = set()
    for entry, link in leaks.open_files(pid).items():
        if link.startswith(("socket:", "pipe:")):
            found.add(link)
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            lines = Path(f"/proc/{pid}/fdinfo/{entry}").read_text().splitlines()
            found.update(line for line in lines if line.startswith("eventfd-id"))
    return found


async def test_forks_run_apart_from_each_other_and_from_their_zygote(
    zygote: QemuZygote, new_spec: NewSpec, keep: Keep, folder: Path
) -> None:
    disks = [Disk("rw", (folder / f"disk{number}",), False) for number in range(2)]
    for disk in disks:
        disk.extents[0].write_bytes(disk.extents[0].name.encode().ljust(4096, b"."))
    one, other = [
        keep(await zygote.fork(new_spec(f"fork{number}", disk)))
        for number, disk in enumerate(disks)
    ]
    async with shell(one.agent_socket) as first, shell(other.agent_socket) as second:
        assert (await first.read("/dev/vdb", 0, 5), await second.read("/dev/vdb", 0, 5)) == (
            *(b"disk0", b"disk1"),
        )
        await first.output("touch /tmp/one; sleep 0.2")  # its timers run, too
        assert await second.output("ls /tmp") == ""
    third = keep(await zygote.fork(new_spec("third")))
    async with shell(third.agent_socket) as guest:
        assert await guest.output("ls /tmp") == ""
    pids = (zygote.pid, one.record.pid, other.record.pid)
    shared = Counter(thing for pid in pids for thing in _kernel_objects(pid))
    assert not [thing for thing, count in shared.items() if count > 1]


async def test_the_processors_random_numbers_differ_from_fork_to_fork(
    zygote: QemuZygote, new_spec: NewSpec, keep: Keep
) -> None:
    program = f"printf '{_printf(_program())}' >/tmp/x; chmod 700 /tmp/x; /tmp/x >/tmp/y"
    program += "; test $(wc -c </tmp/y) = 8 && md5sum </tmp/y"
    seen = []
    for number in range(3):
        vm = keep(await zygote.fork(new_spec(f"fork{number}")))
        async with shell(vm.agent_socket) as guest:
            seen += [await guest.output(program) for _ in range(2)]
    assert len(set(seen)) == 6, seen


async def test_many_forks_in_a_row_leave_nothing(zygote: QemuZygote, new_spec: NewSpec) -> None:
    before = leaks.open_files(os.getpid())
    for number in range(30):
        vm = await zygote.fork(new_spec("fork"))
        async with shell(vm.agent_socket) as guest:
            assert await guest.output(f"echo {number}") == str(number)
        await vm.kill()
    assert leaks.open_files(os.getpid()) == before
    assert os.listdir(vm.record.run_dir) == []


async def test_a_vm_that_is_being_talked_to_is_not_forked(
    zygote: QemuZygote, new_spec: NewSpec, keep: Keep, folder: Path
) -> None:
    _, writer = await asyncio.open_unix_connection(str(folder / "zygote" / "agent.sock"))
    async with asyncio.timeout(60):
        with pytest.raises(HypervisorError, match="has a connection"):
            while True:  # until it has noticed
                await (await zygote.fork(new_spec("early"))).kill()
    writer.close()
    await writer.wait_closed()
    await zygote.settle()
    keep(await zygote.fork(new_spec("fork")))


async def test_a_fork_outlives_its_zygote_which_ends_with_the_daemon(
    zygote: QemuZygote, new_spec: NewSpec, keep: Keep
) -> None:
    vm = keep(await zygote.fork(new_spec("fork")))
    zygote._control.shutdown(socket.SHUT_WR)  # as when the daemon is killed
    async with asyncio.timeout(60):
        await zygote._vm.wait()
    async with shell(vm.agent_socket) as guest:
        assert await guest.output("echo here") == "here"
    with pytest.raises(HypervisorError):
        await zygote.fork(new_spec("late"))


async def test_where_vms_cannot_be_forked_the_reason_is_said(
    options: DriverOptions, new_spec: NewSpec, folder: Path
) -> None:
    async def warm(vm: object) -> None:
        raise AssertionError

    for change, reason in (
        ({"jail": "off"}, "needs namespaces"),
        ({"vmfork": folder / "none"}, "vmfork is not built"),
    ):
        driver: Driver = create_driver("qemu", replace(options, **change))  # type: ignore[arg-type]
        with pytest.raises(Unsupported, match=reason):
            await driver.make_zygote(new_spec("zygote"), folder / "template", warm)
