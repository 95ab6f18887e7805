"""Owns the rehearsal of a waiting clone: a container is made, run and removed in it, and forgotten.

An emulated guest translates its code the first time it runs, and again in every clone: that is
two thirds of a container's start. A clone that has rehearsed has it behind it when a pod comes.

It begins with entropy of its own, so that whatever the kernel draws once and keeps (keys of
hashes, of sequence numbers) differs from clone to clone. The pod's own set-up follows as for
any other clone; what was rehearsed leaves no mount, no address, no process.
"""

import asyncio
import os
import secrets
import struct
from dataclasses import replace
from pathlib import Path
from time import time_ns

from hyper.agent import messages as guest
from hyper.agent.client import AgentClient
from hyper.core.errors import Failure, HyperError
from hyper.core.protected import MASKED_PATHS, READ_ONLY_PATHS
from hyper.core.spec import ContainerSpec, Disk, NicKind, VmSpec
from hyper.engine import plan
from hyper.engine.machine import ENTROPY_BYTES, extent_devices
from hyper.engine.views import Command
from hyper.hypervisor.driver import Vm
from hyper.images import disks
from hyper.images.tarstream import Entry, Kind
from hyper.storage.disks import MINIMUM_BYTES, create_writable

_NAME = "rehearsal"
# The engine counts its processes from 1 (machine.py), so never gets here.
_PROCESS_ID = (1 << 29) - 1
_TIMEOUT_S = 60.0
# RFC 3927: addresses nobody is reached at. They are replaced by the pod's.
_ADDRESS, _GATEWAY = bytes([169, 254, 255, 2]), bytes([169, 254, 255, 1])

# The program, so that an image is not needed: it does what most programs do first. Assembled from
#     open("/etc/hosts", 0), read(it, stack, 64), close(it)
#     mmap(0, 16384, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0), a store to it
#     fork(), in the parent wait4(-1), write(1, "ready\n", 6); in both exit_group(0)
_CODE = bytes.fromhex(
    "488d3d6a00000031f631d26a02580f0589c7488d7424806a405a31c00f056a03580f0531ffbe004000006a035a"
    "6a22415a6aff41584531c96a09580f0589006a39580f0585c074206aff5f31f631d24531d26a3d580f056a0158"
    "89c7488d35190000006a065a0f0531ffb8e70000000f052f6574632f686f7374730072656164790a"
)
_ANSWER = b"ready\n"
_BASE = 0x400000
_PAGES = 48
"""So many pages the program has: reading them takes the way of any larger file."""


class Rehearsal:
    """Makes what a rehearsal needs below `folder`, once, and performs them."""

    def __init__(self, folder: Path, empty_disks: Path) -> None:
        self._folder = folder
        self._empty_disks = empty_disks
        self._layers: tuple[Path, Path] | None = None

    async def perform(self, vm: Vm, spec: VmSpec) -> None:
        """Rehearse in a clone that waits as `spec`. Raises HyperError; then it is no good."""
        layers = await self._prepared()
        writable = spec.run_dir / f"{_NAME}.img"
        await create_writable(writable, MINIMUM_BYTES, empty_images=self._empty_disks)
        read_only = Disk(f"{_NAME}-layers", layers, read_only=True)
        chosen = (read_only, Disk(f"{_NAME}-rw", (writable,), read_only=False))
        try:
            await vm.bind(replace(spec, disks=chosen))
            agent = await AgentClient.connect(vm.agent_socket, resume=False, timeout_s=_TIMEOUT_S)
            await _in_task(agent, vm, spec, chosen)
            for disk in chosen:
                await vm.disks.detach(disk.disk_id)
        finally:
            writable.unlink(missing_ok=True)

    async def _prepared(self) -> tuple[Path, Path]:
        if self._layers is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = []
            for name, path, content in (
                ("program", b"bin/program", _elf()),
                ("hosts", b"etc/hosts", b"127.0.0.1 localhost\n"),
            ):
                made.append(self._folder / f"{name}.squashfs")
                made[-1].unlink(missing_ok=True)
                await _make_layer(made[-1], path, content)
            self._layers = made[0], made[1]
        return self._layers


async def _make_layer(target: Path, path: bytes, content: bytes) -> None:
    folder = Entry(path.split(b"/")[0], Kind.DIRECTORY, mode=0o755)
    file = Entry(path, Kind.FILE, size=len(content), mode=0o755)
    contents = ((folder, ()), (file, (content,)))
    await disks.make(target, lambda out: disks.write_tar(contents, out))


def _elf() -> bytes:
    """Return the program: one segment, headers included (elf(5))."""
    size = _PAGES * 4096
    start = 64 + 56
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 4096)
    return (head + segment + _CODE).ljust(size, b"\x90")


async def _in_task(agent: AgentClient, vm: Vm, spec: VmSpec, chosen: tuple[Disk, Disk]) -> None:
    """Play with the connection served beside; the first of what went wrong is raised."""
    failed: HyperError | None = None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(agent.run(), name=f"{_NAME} {spec.vm_id}")
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await _play(agent, vm, spec, chosen)
        except TimeoutError:
            failed = Failure("the rehearsal of a waiting VM takes too long")
        except HyperError as err:
            failed = err
        finally:
            await agent.close()
    if failed is not None:
        raise failed


async def _play(agent: AgentClient, vm: Vm, spec: VmSpec, chosen: tuple[Disk, Disk]) -> None:
    await agent.request(_setup(spec))
    container = ContainerSpec(image=_NAME)
    layers, writable = (vm.disks.address_of(disk.disk_id) for disk in chosen)
    create = guest.ContainerCreate(
        container=_NAME,
        layers=extent_devices(layers.bus, layers.index, chosen[0].extents),
        writable_kind=1,
        writable=guest.Device(bus=writable.bus, index=writable.index),
        read_only_root=False,
        mounts=plan.identity_files(container, _NAME, (), (), ""),
        masked_paths=MASKED_PATHS,
        read_only_paths=READ_ONLY_PATHS,
        cgroup=plan.cgroup(container.resources),
        share_pid=False,
        hostname="",
        domainname="",
        init=False,
        sysctls=(),
    )
    await agent.request(create)
    command = Command(("/bin/program",), (), (), ("PATH=/bin",), "/", "", "")
    output = agent.stream(_PROCESS_ID, 1)
    await agent.request(plan.main_process(container, command, _PROCESS_ID, _NAME, _NAME))
    await _take_end(agent)
    async for _, data in output:
        if data != _ANSWER:
            raise Failure(f"the rehearsed program said {data[:80]!r}")
        break
    await agent.acknowledge_exit(_PROCESS_ID)
    await agent.request(guest.ContainerRemove(container=_NAME))


async def _take_end(agent: AgentClient) -> None:
    async for event in agent.events:
        if isinstance(event, guest.ProcessExited):
            if event.exit_code or event.signal:
                raise Failure(f"the rehearsed program ended with {event.exit_code}/{event.signal}")
            return


def _setup(spec: VmSpec) -> guest.PodSetup:
    """Return an identity for the time of waiting: entropy of the clone's own comes first."""
    interfaces: tuple[guest.Interface, ...] = ()
    if spec.nic is not None and spec.nic.kind is not NicKind.NONE:
        # The address is this clone's alone, like the pod's that will replace it.
        mac = b"\x02\x42" + secrets.token_bytes(4)
        address = guest.Address(address=_ADDRESS, prefix_length=30)
        default = guest.Route(destination=bytes(4), prefix_length=0, gateway=_GATEWAY)
        interfaces = (guest.Interface("eth0", "", mac, 0, (address,), (default,)),)
    return guest.PodSetup(
        wall_ns=time_ns(),
        entropy=os.urandom(ENTROPY_BYTES),
        hostname=_NAME,
        domainname="",
        machine_id=secrets.token_bytes(16),
        interfaces=interfaces,
        sysctls=(),
        shm_bytes=0,
    )
