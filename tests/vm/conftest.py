"""Fixtures for the hypervisor alone: driver -> new_spec -> a VM, killed at the end."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hyper.core.spec import Disk, Nic, NicKind, VmSpec
from hyper.core.units import MIB
from hyper.host.artifacts import find_vmfork
from hyper.hypervisor.driver import Driver, DriverOptions, Vm, create_driver
from hyper.hypervisor.drivers.qemu import template as qemu_template
from hyper.hypervisor.drivers.qemu import zygote as qemu_zygote
from hyper.hypervisor.drivers.qemu.zygote import QemuZygote
from hyper.hypervisor.launcher import Launcher
from tests.support import bare_guest

NewSpec = Callable[..., VmSpec]
Keep = Callable[[Vm], Vm]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a short path, for sockets."""
    path = Path(tempfile.mkdtemp(prefix="hyper-vm-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    """Return a launcher, closed at the end."""
    launcher = Launcher()
    yield launcher
    await launcher.close()


@pytest.fixture
def options(folder: Path, launcher: Launcher) -> DriverOptions:
    """Return the options of a driver that emulates, for the bare guest."""
    initrd = bare_guest.write_initrd(folder / "initrd")
    return DriverOptions(
        folder, bare_guest.kernel(), initrd, launcher, accelerator="tcg", vmfork=find_vmfork()
    )


@pytest.fixture
def driver(options: DriverOptions) -> Driver:
    """Return the QEMU driver."""
    return create_driver("qemu", options)


@pytest.fixture
def new_spec(options: DriverOptions, folder: Path) -> NewSpec:
    """Return a function that makes the specification of a VM."""

    def make(name: str, *disks: Disk) -> VmSpec:
        return VmSpec(
            vm_id=name,
            vcpus=1,
            memory_bytes=128 * MIB,
            kernel=options.kernel,
            initrd=options.initrd,
            run_dir=bare_guest.empty(folder / name),
            disks=disks,
            nic=Nic(NicKind.USER, "02:00:00:00:00:01"),
        )

    return make


@contextlib.asynccontextmanager
async def bare_zygote(
    driver: Driver, new_spec: NewSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[QemuZygote]:
    """Give a zygote of the bare guest."""
    for module in (qemu_template, qemu_zygote):
        monkeypatch.setattr(module, "_SETTLE_S", 0.0)  # it only saves memory

    async def warm(vm: Vm) -> None:
        await bare_guest.answers(vm.agent_socket)
        await vm.resume()

    directory = folder / "template"
    await driver.make_template(new_spec("maker"), directory, bare_guest.answers)
    made = await driver.make_zygote(new_spec("zygote"), directory, warm)
    assert isinstance(made, QemuZygote)
    try:
        yield made
    finally:
        await made.end()


@pytest.fixture
async def zygote(
    driver: Driver, new_spec: NewSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[QemuZygote]:
    """Return a zygote of the bare guest, ended at the end."""
    async with bare_zygote(driver, new_spec, folder, monkeypatch) as made:
        yield made


@pytest.fixture
async def keep() -> AsyncIterator[Keep]:
    """Return a function that registers a VM to be killed at the end."""
    vms: list[Vm] = []

    def register(vm: Vm) -> Vm:
        vms.append(vm)
        return vm

    yield register
    for vm in vms:
        await vm.kill()
