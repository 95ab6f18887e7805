"""Owns measuring the bare VM: from spawning the VMM to the agent's greeting, and where it goes."""

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from hyper.agent.client import AgentClient
from hyper.core.spec import VmSpec
from hyper.hypervisor.driver import Driver, DriverOptions, create_driver
from hyper.hypervisor.launcher import Launcher
from tests.bench.contenders import BenchError
from tests.bench.measure import Figure, Series
from tools.places import INITRD, KERNEL

MIB = 1024 * 1024
_AGENT_S = 30.0


@dataclass(frozen=True, slots=True)
class Boot:
    """One cold boot: host times from just before the spawn, guest times on the guest's clock."""

    vmm_s: float
    agent_s: float
    phases_s: tuple[tuple[str, float], ...]
    console: str

    @property
    def steps(self) -> tuple[tuple[str, float], ...]:
        """Return (what, seconds) in order: the VMM, what its clock does not show, the phases.

        The guest's clock starts when its kernel has one; the time before it is what is left over.
        """
        in_guest = self.phases_s[-1][1] if self.phases_s else 0.0
        before = max(0.0, self.agent_s - self.vmm_s - in_guest)
        steps = [("VMM started", self.vmm_s), ("kernel loaded, until its clock runs", before)]
        last = 0.0
        for name, at_s in self.phases_s:
            steps.append((name, at_s - last))
            last = at_s
        return tuple(steps)


async def _boot(driver: Driver, folder: Path, number: int, parameters: Sequence[str]) -> Boot:
    run_dir = folder / f"vm{number}"
    run_dir.mkdir(mode=0o700)
    spec = VmSpec(
        vm_id=f"bench{number}",
        vcpus=1,
        memory_bytes=512 * MIB,
        kernel=KERNEL.resolve(),
        initrd=INITRD.resolve(),
        run_dir=run_dir,
        kernel_parameters=tuple(parameters),
    )
    started = perf_counter()
    vm = await driver.start(spec)
    try:
        spawned = perf_counter()
        client = await AgentClient.connect(vm.agent_socket, resume=False, timeout_s=_AGENT_S)
        ready = perf_counter()
        phases = tuple((phase.name, phase.at_ns / 1e9) for phase in client.welcome.phases)
    finally:
        await vm.kill()
        console = (await vm.wait()).console_tail
        await vm.close()
        shutil.rmtree(run_dir, ignore_errors=True)
    return Boot(spawned - started, ready - started, phases, console)


async def _boots(count: int, accelerator: str, parameters: Sequence[str]) -> list[Boot]:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    launcher = Launcher()
    try:
        await launcher.start()
        options = DriverOptions(
            folder, KERNEL.resolve(), INITRD.resolve(), launcher, accelerator=accelerator
        )
        driver = create_driver("qemu", options)
        await driver.capabilities()  # finds out the acceleration, which is not measured here
        return [await _boot(driver, folder, number, parameters) for number in range(count)]
    finally:
        await launcher.close()
        shutil.rmtree(folder, ignore_errors=True)


def boots(count: int, accelerator: str, parameters: Sequence[str] = ()) -> list[Boot]:
    """Boot `count` VMs one after another. Raises BenchError when one is lost."""
    from hyper.core.errors import HyperError

    try:
        return asyncio.run(_boots(count, accelerator, parameters))
    except HyperError as error:
        raise BenchError(f"a cold boot failed: {error}") from error


def cold_boot(rounds: int, accelerator: str) -> Figure:
    """Measure the cold boot, with the medians of its steps as detail."""
    measured = boots(rounds + 1, accelerator)[1:]
    names = [name for name, _ in measured[0].steps]
    steps = {
        name: round(statistics.median(boot.steps[at][1] for boot in measured) * 1000, 1)
        for at, name in enumerate(names)
    }
    series = (Series("hyper", tuple(boot.agent_s for boot in measured)),)
    note = ", ".join(f"{name} {ms} ms" for name, ms in steps.items())
    title = "cold boot, VMM spawned to agent ready"
    return Figure(
        "boot", title, "s", series, bar=0.5, baseline="", note=note, detail={"steps_ms": steps}
    )


def soak(count: int, accelerator: str) -> Figure:
    """Boot many times in a row; a lost one is an error, so the figure tells of all of them."""
    measured = boots(count, accelerator)
    series = (Series("hyper", tuple(boot.agent_s for boot in measured)),)
    return Figure("soak", f"{count} cold boots in a row, none lost", "s", series, baseline="")
