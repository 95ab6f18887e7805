"""Templates: a booted, stopped VM kept as a file of memory and one of device state; their clones.

A template directory holds `memory` (sparse: untouched guest memory costs nothing), `state` (76 KB)
and is complete once it has its final name, which is the caller's business (`factory`).

The clone maps memory copy-on-write. QEMU 7.2 insists on opening the memory file for writing, and a
hostile VMM, or QEMU itself when it discards a page the guest gave back (it punches a hole into the
file), would then change what every other clone reads. So clones never get the file: the memory is
loaded once per daemon into a sealed memfd (F_SEAL_WRITE), which can be mapped privately and not be
changed.
"""

import asyncio
import fcntl
import hashlib
import os
from dataclasses import replace
from pathlib import Path

from hyper.core.errors import HypervisorError
from hyper.core.spec import NicKind, VmSpec
from hyper.host.files import data_ranges, private_directory
from hyper.host.threads import in_thread
from hyper.hypervisor.driver import Ready
from hyper.hypervisor.drivers.qemu.arguments import LAYOUT, Files, kernel_parameters
from hyper.hypervisor.drivers.qemu.boot import Engine, Fork, Source, boot, boot_with
from hyper.hypervisor.drivers.qemu.machines import machine_of
from hyper.hypervisor.drivers.qemu.memory import MemoryNumbers
from hyper.hypervisor.drivers.qemu.vm import QemuVm
from hyper.hypervisor.launcher import Launcher
from hyper.hypervisor.qmp import Qmp

MEMORY, STATE = "memory", "state"
_COPY_BYTES = 1 << 24
_LOADED = 4  # templates whose memory stays loaded: 60 MiB each, read again in 50 ms
_SETTLE_S = 3.0
"""The guest reports its free pages 2 s after the boot (mm/page_reporting.c): once here, not in each
clone, where it costs 0.2 s of CPU."""


def key(spec: VmSpec, engine: Engine) -> str:
    """Return what must be equal for a clone to replace a boot of `spec`; "" if nothing can."""
    if machine_of(spec.machine, spec.pci_devices).has_pci:
        return ""
    nic = spec.nic.kind if spec.nic is not None else NicKind.NONE
    parameters = kernel_parameters(spec, engine.tsc_khz)
    parts = (
        *("qemu", LAYOUT, engine.version, engine.accelerator, str(nic)),
        *(_identity(path) for path in (Path(engine.program), spec.kernel, spec.initrd)),
        *(str(spec.vcpus), str(spec.memory_bytes), *parameters),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


class Templates:
    """Makes templates and clones them; owns the sealed memory of those in use."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._memory: dict[tuple[str, int, int], int] = {}  # most recently used last
        self._loading = asyncio.Lock()
        self._numbers = MemoryNumbers()

    async def make(self, spec: VmSpec, engine: Engine, directory: Path, ready: Ready) -> None:
        """Boot `spec` without its disks until `ready`, and keep its state in `directory`."""
        private_directory(directory)
        memory = os.open(directory / MEMORY, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        state = os.open(directory / STATE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(memory, 0o666)  # opened again by a VMM of another user; nobody else gets here
            os.ftruncate(memory, spec.memory_bytes)
            vm = await boot(
                replace(spec, disks=()), engine, self._launcher, Source(memory, shared=True)
            )
            try:
                await ready(vm.agent_socket)
                await asyncio.sleep(_SETTLE_S)
                await _save(vm.monitor, state)
            finally:
                await vm.kill()
        finally:
            os.close(memory)
            os.close(state)

    async def clone(self, spec: VmSpec, engine: Engine, directory: Path) -> QemuVm:
        """Start a VM from the template in `directory`."""
        vm, _ = await self.clone_with(spec, engine, directory, None)
        return vm

    async def clone_with(
        self, spec: VmSpec, engine: Engine, directory: Path, fork: Fork | None
    ) -> tuple[QemuVm, Files]:
        """As `clone`; with `fork` it can be forked. Return also which descriptors it has got."""
        try:
            state = os.open(directory / STATE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            raise HypervisorError(f"the template {directory.name} is gone") from err
        try:
            memory = await self._sealed(directory, state)
            try:
                source = Source(memory, state_fd=state, numbers=self._numbers, fork=fork)
                return await boot_with(spec, engine, self._launcher, source)
            finally:
                os.close(memory)
        finally:
            os.close(state)

    async def _sealed(self, directory: Path, state: int) -> int:
        """Return the memory that belongs to an open state, as a descriptor of the caller's own.

        Another template may take the place of this one, and any may be forgotten, before the VMM
        has the descriptor.
        """
        info = os.fstat(state)
        # The number of an inode is used again, as a rule by the next file made in its place.
        identity = str(directory), info.st_ino, info.st_mtime_ns
        async with self._loading:
            loaded = self._memory.pop(identity, -1)
            if loaded < 0:
                self._forget(directory)
                loaded = await in_thread("load template", _load, directory / MEMORY)
            self._memory[identity] = loaded
            while len(self._memory) > _LOADED:
                os.close(self._memory.pop(next(iter(self._memory))))
            return os.dup(loaded)

    def _forget(self, directory: Path) -> None:
        for identity in [each for each in self._memory if each[0] == str(directory)]:
            os.close(self._memory.pop(identity))


async def _save(monitor: Qmp, state_fd: int) -> None:
    """End a VM by writing the state of its devices, not its memory, to a file."""
    capabilities = [{"capability": name, "state": True} for name in ("x-ignore-shared", "events")]
    await monitor.execute("migrate-set-capabilities", {"capabilities": capabilities})
    await monitor.execute_with_fd("getfd", {"fdname": "state"}, state_fd)
    # Not stopped before: the state says whether the VM ran, and a clone shall run.
    async with monitor.expect("MIGRATION", "status", "completed", "failed") as outcome:
        await monitor.execute("migrate", {"uri": "fd:state"})
    if outcome != ["completed"]:
        raise HypervisorError("the state of the VM could not be saved")


def _load(path: Path) -> int:
    """Return a sealed memfd with the content of `path`, holes left out."""
    memory = os.memfd_create("template", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(path, "rb", buffering=0) as source:
            os.ftruncate(memory, os.fstat(source.fileno()).st_size)
            _copy_data(source.fileno(), memory)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(memory)
        raise
    return memory


def _copy_data(source: int, target: int) -> None:
    for position, end in data_ranges(source):
        os.lseek(target, position, os.SEEK_SET)
        while position < end:
            position += os.sendfile(target, source, position, min(end - position, _COPY_BYTES))


def _identity(path: Path) -> str:
    try:
        info = path.stat()
    except OSError as err:  # removed under a running daemon
        raise HypervisorError(f"cannot use {path}: {err.strerror}") from err
    return f"{path.resolve()} {info.st_size} {info.st_mtime_ns}"
