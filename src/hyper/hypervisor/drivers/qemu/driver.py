"""The QEMU driver: finds QEMU, decides acceleration and jail once, starts and finds VMs.

Command lines are made in `arguments`, VMs started in `boot`, templates in `template`.
"""

import asyncio
import logging
import re
from dataclasses import replace
from pathlib import Path

from hyper.core.errors import HyperError, HypervisorError, Unavailable
from hyper.core.spec import VmSpec
from hyper.host.pidfd import PidHandle
from hyper.host.process import find_program, run
from hyper.hypervisor import probe, qmp
from hyper.hypervisor.check import Check
from hyper.hypervisor.driver import Capabilities, DriverOptions, Ready, VmRecord, Warm
from hyper.hypervisor.drivers.qemu import kvm, template, zygote
from hyper.hypervisor.drivers.qemu.boot import Engine, boot
from hyper.hypervisor.drivers.qemu.disks import SLOT_READ_ONLY
from hyper.hypervisor.drivers.qemu.machines import MICROVM
from hyper.hypervisor.drivers.qemu.vm import QMP_SOCKET, QemuVm
from hyper.hypervisor.jail import jail_works
from hyper.hypervisor.tsc import tsc_khz

PROGRAM = "qemu-system-x86_64"

_log = logging.getLogger("hypervisor.qemu")


class QemuDriver:
    """Implements driver.Driver."""

    def __init__(self, options: DriverOptions) -> None:
        self._options = options
        self._engine: Engine | None = None
        self._finding = asyncio.Lock()
        self._templates = template.Templates(options.launcher)

    @property
    def name(self) -> str:
        """The name of this driver."""
        return "qemu"

    async def capabilities(self) -> Capabilities:
        """Return what it can do here. Raises Unavailable without QEMU, HypervisorError."""
        engine = await self._found()
        return Capabilities(
            driver=self.name,
            version=engine.version,
            accelerator=engine.accelerator,
            machine=MICROVM.name,
            block_slots=len(SLOT_READ_ONLY),
            hot_plug=True,
            pause=True,
            balloon=True,
            share=engine.jailed,
            clone=True,
        )

    async def start(self, spec: VmSpec) -> QemuVm:
        """Boot a VM; returns when its VMM runs, before the guest does."""
        return await boot(spec, await self._found(), self._options.launcher)

    async def reattach(self, record: VmRecord) -> QemuVm | None:
        """Return the running VM of a record an earlier daemon left, None if it is gone."""
        process = PidHandle.open(record.pid, record.start_ticks)
        if process is None:
            return None
        if _is_zombie(record.pid):
            process.close()
            return None
        try:
            vm = QemuVm(record, process, self._options.launcher, None)
        except OSError as err:
            process.close()
            raise HypervisorError(f"VM {record.vm_id[:12]} lost its run directory: {err}") from err
        await vm.disks.reconcile()
        return vm

    async def end_unrecorded(self, run_dir: Path) -> bool:
        """End the VM of a run_dir without a record, and tell whether there was one."""
        return await qmp.quit_vmm(run_dir / QMP_SOCKET)

    async def template_key(self, spec: VmSpec) -> str:
        """Return what must be equal for a clone to replace a boot of `spec`."""
        return template.key(spec, await self._found())

    async def make_template(self, spec: VmSpec, directory: Path, ready: Ready) -> None:
        """Boot `spec` without its disks until `ready`, and keep its state in `directory`."""
        await self._templates.make(spec, await self._found(), directory, ready)

    async def clone(self, spec: VmSpec, directory: Path) -> QemuVm:
        """Start a VM as `start` does, from a template."""
        return await self._templates.clone(spec, await self._found(), directory)

    async def make_zygote(self, spec: VmSpec, directory: Path, warm: Warm) -> zygote.QemuZygote:
        """Return a zygote made from a template. Raises Unsupported where VMs cannot be forked."""
        engine = await self._found()
        library = zygote.check(engine, self._options.vmfork)
        places = self._options.launcher, self._templates, directory, library
        return await zygote.make(spec, engine, *places, warm)

    async def diagnose(self) -> tuple[Check, ...]:
        """Return what is right and wrong with this host for QEMU."""
        try:
            program = find_program(self._options.program or PROGRAM)
            version = await qemu_version(program)
        except HyperError as err:
            return (Check("QEMU", False, str(err), "install the package qemu-system-x86"),)
        checks = [Check("QEMU", True, f"{program} {version}"), await self._diagnose_jail()]
        initrd = self._options.initrd
        advice = "" if initrd.is_file() else "build the guest: make guest kernel"
        checks.append(Check("guest initrd", not advice, str(initrd), advice))
        if not advice and self._options.kernel.is_file():
            checks.append(await self._diagnose_acceleration())
            checks += await self._diagnose_forks()
        return tuple(checks)

    async def _found(self) -> Engine:
        async with self._finding:
            if self._engine is None:
                self._engine = await self._find()
            return self._engine

    async def _find(self) -> Engine:
        options = self._options
        program = find_program(options.program or PROGRAM)
        version = await qemu_version(program)
        engine = Engine(program, version, "tcg", await self._choose_jail())
        key = probe.probe_key(Path(program), options.kernel, version)
        accelerator = await probe.choose_accelerator(
            options.accelerator, options.root, key, lambda: kvm.boots(options, engine)
        )
        _log.info("QEMU %s, %s%s", version, accelerator, ", jailed" if engine.jailed else "")
        # Under KVM the guest has kvm-clock.
        khz = await tsc_khz(options.root) if accelerator == "tcg" else 0
        return replace(engine, accelerator=accelerator, tsc_khz=khz)

    async def _choose_jail(self) -> bool:
        if self._options.jail == "off":
            return False
        try:
            await jail_works(self._options.launcher)
        except HyperError as err:
            if self._options.jail == "required":
                raise Unavailable(f"VMMs cannot be jailed on this host: {err}") from err
            _log.warning("VMMs run without namespaces, and folders cannot be shared: %s", err)
            return False
        return True

    async def _diagnose_jail(self) -> Check:
        try:
            await jail_works(self._options.launcher)
        except HyperError as err:
            advice = "allow user namespaces: sysctl user.max_user_namespaces=10000"
            return Check("jail", False, str(err), advice)
        return Check("jail", True, "each VMM has namespaces and ids of its own")

    async def _diagnose_forks(self) -> tuple[Check, ...]:
        """Say whether clones are forks, where they could be: under emulation."""
        try:
            engine = await self._found()
            if engine.accelerator != "tcg":
                return ()
            zygote.check(engine, self._options.vmfork)
        except HyperError as err:
            advice = "each clone is a process of its own: slower, and larger"
            return (Check("forks", True, str(err), advice, warning=True),)
        return (Check("forks", True, "clones are forked from a warm VM"),)

    async def _diagnose_acceleration(self) -> Check:
        advice = "guests run under emulation (TCG), outside QEMU's own security promise"
        if problem := probe.device_problem():
            return Check("acceleration", True, problem, advice, warning=True)
        try:
            engine = await self._found()
        except HyperError as err:
            return Check("acceleration", False, str(err), "choose the accelerator tcg")
        if engine.accelerator == "kvm":
            return Check("acceleration", True, "KVM boots the guest kernel")
        key = probe.probe_key(Path(engine.program), self._options.kernel, engine.version)
        verdict = probe.recall(self._options.root, key)
        reason = verdict.reason if verdict else "switched off by the configuration"
        return Check("acceleration", True, reason, advice, warning=True)


def _is_zombie(pid: int) -> bool:
    """Tell whether a process has ended but nobody has asked for its status (proc(5), stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")


async def qemu_version(program: str) -> str:
    """Return the version of a QEMU program. Raises Unavailable, ProcessError."""
    output = await run([program, "--version"], timeout_s=20)
    found = re.search(r"version (\S+)", output.decode(errors="replace"))
    if found is None:
        raise Unavailable(f"{program} does not say its version: not a QEMU")
    return found[1]
