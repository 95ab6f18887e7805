"""Does the guest kernel run under KVM? Boots it without an init and waits for its panic.

The panic is the proof that the whole kernel ran; a VMM that merely ends (triple fault) proves
nothing.
"""

import asyncio
import contextlib
import secrets
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hyper.core.errors import HypervisorError, Timeout
from hyper.core.spec import VmSpec
from hyper.core.units import MIB
from hyper.hypervisor.driver import DriverOptions
from hyper.hypervisor.drivers.qemu.boot import Engine, boot
from hyper.hypervisor.probe import DEADLINE_S

_PROOF = "Kernel panic - not syncing: VFS"
_NO_INIT = ("rdinit=/none", "root=/dev/none")


async def boots(options: DriverOptions, engine: Engine, accelerator: str = "kvm") -> None:
    """Boot the kernel; return when it has run. Raises HypervisorError, Timeout."""
    directory = Path(tempfile.mkdtemp(prefix="probe-", dir=options.root))
    try:
        spec = VmSpec(
            vm_id=f"probe-{secrets.token_hex(4)}",
            vcpus=1,
            memory_bytes=128 * MIB,
            kernel=options.kernel,
            initrd=options.initrd,
            run_dir=directory,
            kernel_parameters=_NO_INIT,
        )
        vm = await boot(spec, replace(engine, accelerator=accelerator), options.launcher)
        try:
            async with asyncio.timeout(DEADLINE_S):
                ended = await vm.wait()
        except TimeoutError:
            raise Timeout("a boot of the guest kernel under KVM", DEADLINE_S) from None
        finally:
            # A VMM stuck in the kernel dies when it leaves it; the verdict does not wait for that.
            with contextlib.suppress(TimeoutError):
                await vm.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if _PROOF not in ended.console_tail:
        raise HypervisorError("QEMU ended before the kernel was up", ended.console_tail)
