"""Zygotes: a warm, stopped VM whose VMM is forked, all its threads included. Emulation only.

Under emulation most of a start is translating the guest's code, and most of a small VM's memory is
translated code and QEMU's own heap. A fork has all of it already and shares it, page by page, until
it writes. KVM translates nothing and cannot be forked (a VM belongs to one process): there each
clone is a process of its own (`template`). host/vmfork, loaded into the zygote, does the forking.

Nothing of a user runs in a zygote. Its children share its address space layout, as Android's do.
"""

import asyncio
import contextlib
import logging
import os
import platform
import socket
from pathlib import Path

from hyper.core.errors import HypervisorError, Timeout, Unsupported
from hyper.core.spec import NicKind, VmSpec
from hyper.hypervisor.console import make_pipe
from hyper.hypervisor.driver import RECORD_NAME, Warm
from hyper.hypervisor.drivers.qemu.arguments import Files
from hyper.hypervisor.drivers.qemu.boot import Engine, Fork, jail_of, listen_at, nice_of, record_of
from hyper.hypervisor.drivers.qemu.files import Descriptors
from hyper.hypervisor.drivers.qemu.template import Templates
from hyper.hypervisor.drivers.qemu.vm import AGENT_SOCKET, CONSOLE_PIPE, QMP_SOCKET, QemuVm
from hyper.hypervisor.launcher import Child, Launcher

_log = logging.getLogger("hypervisor.qemu")

_STDOUT = 1
_SETTLE_S = 3.0  # by then the guest has reported the pages it no longer uses (page_reporting.c)
_HANG_UP_S, _LOOK_S = 10.0, 0.01
_SOCKETS = 3  # where it listens for the agent's host and the monitor's; its control socket


def check(engine: Engine, library: Path | None) -> Path:
    """Return the library. Raises Unsupported, with the reason, where VMs cannot be forked."""
    if engine.accelerator != "tcg":
        raise Unsupported("only emulated VMs can be forked")
    if not engine.jailed:
        raise Unsupported("a forked VM needs namespaces, which this host does not let us make")
    if platform.machine() != "x86_64":
        raise Unsupported(f"vmfork is not written for {platform.machine()}")
    if library is None or not library.is_file():
        raise Unsupported(f"vmfork is not built ({library}): make guest")
    return library


async def make(
    spec: VmSpec,
    engine: Engine,
    launcher: Launcher,
    templates: Templates,
    directory: Path,
    library: Path,
    warm: Warm,
) -> "QemuZygote":
    """Clone the template in `directory`, warm it up and stop it. Raises HypervisorError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    loaded = os.open(library, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fork = Fork(loaded, theirs.fileno())
        vm, files = await templates.clone_with(spec, engine, directory, fork)
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(loaded)
        theirs.close()
    zygote = QemuZygote(vm, files, ours, engine, launcher)
    try:
        # Without a carrier nothing is sent, so the network draws no secret for all children.
        await vm.monitor.execute("set_link", {"name": "nic", "up": False})
        await warm(vm)
        await vm.monitor.execute("set_link", {"name": "nic", "up": True})
        await asyncio.sleep(_SETTLE_S)
        await zygote.settle()
    except BaseException:
        await zygote.end()
        raise
    return zygote


class QemuZygote:
    """A VM that is stopped for ever; implements driver.Zygote. Owns `control`."""

    def __init__(
        self, vm: QemuVm, files: Files, control: socket.socket, engine: Engine, launcher: Launcher
    ) -> None:
        self._vm = vm
        self._files = files
        self._control = control
        self._engine = engine
        self._launcher = launcher

    @property
    def pid(self) -> int:
        """The process."""
        return self._vm.record.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._vm.is_running

    async def settle(self) -> None:
        """Stop the VM for good and wait until nobody is connected. Raises HypervisorError."""
        await self._vm.pause()
        await self._vm.monitor.close()
        for _ in range(round(_HANG_UP_S / _LOOK_S)):
            if _sockets(self.pid) <= _SOCKETS:
                break
            await asyncio.sleep(_LOOK_S)
        else:
            raise Timeout("the end of all connections of a VM to be forked", _HANG_UP_S)
        # It ends with this daemon: nothing is to be found again.
        (Path(self._vm.record.run_dir) / RECORD_NAME).unlink(missing_ok=True)

    async def fork(self, spec: VmSpec) -> QemuVm:
        """Start the VM of `spec`, which runs when this returns. Raises HypervisorError."""
        async with self._launcher.starts:
            vm = await self._forked(spec)
        _log.debug("%s: forked from %s", spec.vm_id[:12], self._vm.record.vm_id)
        try:
            await vm.bind(spec)
            await vm.resume()
            _log.debug("%s: has its disks and runs", spec.vm_id[:12])
        except BaseException:
            await vm.kill()
            raise
        return vm

    async def end(self) -> None:
        """End the zygote; its children live on."""
        self._control.close()
        await self._vm.kill()

    async def _forked(self, spec: VmSpec) -> QemuVm:
        jail, _ = jail_of(spec, self._engine)
        assert jail is not None
        with Descriptors() as given:
            given.add(make_pipe(spec.run_dir / CONSOLE_PIPE))
            for name in (AGENT_SOCKET, QMP_SOCKET):
                listen_at(spec.run_dir / name, given)
            targets = [_STDOUT, self._files.agent_fd, self._files.qmp_fd]
            tap = self._files.tap_fd
            if tap >= 0:
                if spec.nic is None or spec.nic.kind is not NicKind.TAP:
                    raise HypervisorError("a fork of a VM with a TAP needs a TAP")
                given.lend(spec.nic.tap_fd)
                targets.append(tap)
            replaced = dict(zip(targets, given.open, strict=True))
            child = Child(spec.vm_id[:12], replaced, self._files.share_fd, tap)
            process = await self._launcher.fork(self._control.fileno(), child, jail, nice_of(spec))
        return record_of(spec, self._engine, process, self._launcher)


def _sockets(pid: int) -> int:
    """Return how many sockets a process has open. Raises HypervisorError when it has ended."""
    count = 0
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    except OSError as err:
        raise HypervisorError(f"the VM to be forked has ended: {err.strerror}") from err
    return count
