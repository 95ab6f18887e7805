"""The factory over a driver without VMs: what it gives out, when, and what it does on failures."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hyper.core.errors import HypervisorError, Unsupported
from hyper.core.spec import Nic, NicKind, VmSpec
from hyper.hypervisor import factory as factory_module
from hyper.hypervisor import failures
from hyper.hypervisor.driver import Ready, Warm
from hyper.hypervisor.factory import Factory, FactoryOptions

TAP = Nic(NicKind.TAP, "02:00:00:00:00:01", tap_fd=0)


@dataclass
class FakeVm:
    origin: str
    spec: VmSpec
    bound: VmSpec | None = None
    dead: bool = False
    fail_bind: bool = False
    is_running: bool = True

    @property
    def agent_socket(self) -> Path:
        return self.spec.run_dir / "agent.sock"

    @property
    def record(self) -> SimpleNamespace:
        return SimpleNamespace(run_dir=str(self.spec.run_dir))

    @property
    def nic(self) -> Nic | None:
        return self.spec.nic

    async def bind(self, spec: VmSpec) -> None:
        if self.fail_bind:
            raise HypervisorError("no")
        self.bound = spec

    async def resume(self) -> None:
        return None

    async def kill(self) -> None:
        self.dead = True


@dataclass
class FakeZygote:
    driver: "FakeDriver"
    vm: FakeVm
    pid: int = 1

    @property
    def is_running(self) -> bool:
        return self.vm.is_running

    async def fork(self, spec: VmSpec) -> FakeVm:
        if self.driver.fail_fork:
            raise HypervisorError("no fork")
        return self.driver._new("fork", spec)

    async def end(self) -> None:
        self.vm.dead = True


@dataclass
class FakeDriver:
    forks: bool = False
    fail_fork: bool = False
    asked_to_fork: int = 0
    vms: list[FakeVm] = field(default_factory=list)
    templates: int = 0
    fail_template: bool = False
    template_error: Exception | None = None
    fail_clone: bool = False
    fail_bind: bool = False

    async def template_key(self, spec: VmSpec) -> str:
        return f"{spec.vcpus}-{spec.memory_bytes}"

    async def make_template(self, spec: VmSpec, directory: Path, ready: Ready) -> None:
        self.templates += 1
        if self.fail_template:
            raise HypervisorError("no template")
        if self.template_error:
            raise self.template_error
        (directory / "state").write_bytes(b"s" * 4096)

    async def clone(self, spec: VmSpec, directory: Path) -> FakeVm:
        if self.fail_clone:
            raise HypervisorError("no clone")
        return self._new("clone", spec)

    async def make_zygote(self, spec: VmSpec, directory: Path, warm: Warm) -> FakeZygote:
        self.asked_to_fork += 1
        if not self.forks:
            raise Unsupported("VMs are not forked here")
        vm = self._new("zygote", spec)
        await warm(vm)  # type: ignore[arg-type]
        return FakeZygote(self, vm)

    async def start(self, spec: VmSpec) -> FakeVm:
        return self._new("boot", spec)

    def _new(self, origin: str, spec: VmSpec) -> FakeVm:
        self.vms.append(FakeVm(origin, spec, fail_bind=self.fail_bind))
        return self.vms[-1]


async def ready(path: Path) -> None:
    return None


def spec(tmp_path: Path, name: str = "vm", nic: Nic | None = None) -> VmSpec:
    (tmp_path / name).mkdir(exist_ok=True)
    return VmSpec(name, 1, 1 << 28, Path("/k"), Path("/i"), tmp_path / name, nic=nic)


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a host with memory to spare, whatever the one of the tests has."""
    monkeypatch.setattr(factory_module, "available_bytes", lambda: 1 << 40)
    monkeypatch.setattr(factory_module, "pressure_percent", lambda: 0.0)


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
async def factory(
    driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Factory]:
    monkeypatch.setattr(factory_module, "_QUIET_S", 0.0)
    options = FactoryOptions(waiting=2, reserve_bytes=0)
    made = Factory(driver, tmp_path / "t", tmp_path / "pool", ready, options)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run(), name="factory")
        yield made
        task.cancel()
    waiting = [vm for vm in driver.vms if vm.origin != "boot" and vm.bound is None]
    assert all(vm.dead for vm in waiting), "waiting clones or zygotes outlive the factory"


async def settle(factory: Factory, waiting: list[int]) -> None:
    async with asyncio.timeout(60):
        while list(factory.waiting().values()) != waiting:
            await asyncio.sleep(0.01)


async def test_the_first_vm_is_booted_and_the_next_waits_already(
    factory: Factory, tmp_path: Path
) -> None:
    first = await factory.start(spec(tmp_path))
    assert isinstance(first, FakeVm) and first.origin == "boot"
    await settle(factory, [2])
    second = await factory.start(spec(tmp_path))
    assert isinstance(second, FakeVm)
    assert second.origin == "clone" and second.bound == spec(tmp_path)
    await settle(factory, [2])


async def test_a_vm_with_a_tap_is_cloned_not_taken(factory: Factory, tmp_path: Path) -> None:
    await factory.expect(spec(tmp_path, nic=TAP))
    await settle(factory, [2])
    vm = await factory.start(spec(tmp_path, nic=TAP))
    assert isinstance(vm, FakeVm) and vm.origin == "clone" and vm.bound is None
    assert list(factory.waiting().values()) == [2]
    vm.bound = vm.spec
    taken = await factory.take(spec(tmp_path, nic=TAP))
    assert taken is not None and taken.nic is not None and taken.nic.kind is NicKind.TAP
    await taken.kill()


async def test_nothing_is_taken_from_an_empty_pool(factory: Factory, tmp_path: Path) -> None:
    assert await factory.take(spec(tmp_path)) is None


async def test_a_clone_that_fails_becomes_a_boot(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    factory.configure(FactoryOptions(waiting=0))
    await factory.expect(spec(tmp_path))
    async with asyncio.timeout(60):
        while not list((tmp_path / "t").glob("[!.]*")):
            await asyncio.sleep(0.01)
    driver.fail_clone = True
    vm = await factory.start(spec(tmp_path))
    assert isinstance(vm, FakeVm) and vm.origin == "boot"


async def test_a_template_that_cannot_be_made_is_given_up(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    driver.fail_template = True
    async with asyncio.timeout(60):
        while not driver.templates or factory.shapes()[0].failures < 3:
            await factory.expect(spec(tmp_path))
            await asyncio.sleep(0)
    for _ in range(10):
        await factory.expect(spec(tmp_path))
        await asyncio.sleep(0.01)
    assert driver.templates == 3
    vm = await factory.start(spec(tmp_path))
    assert isinstance(vm, FakeVm) and vm.origin == "boot"
    assert list((tmp_path / "pool").iterdir()) == []


async def test_a_waiting_clone_that_cannot_be_bound_is_replaced(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    driver.fail_bind = True
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    vm = await factory.start(spec(tmp_path))
    assert isinstance(vm, FakeVm) and vm.origin == "clone" and vm.bound is None
    assert [other.dead for other in driver.vms[:2]] == [True, True]
    vm.dead = True


async def test_short_memory_empties_the_pool(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    monkeypatch.setattr(factory_module, "available_bytes", lambda: -1)
    factory.configure(factory.options)
    await settle(factory, [0])


async def test_only_the_newest_shapes_have_waiting_clones(factory: Factory, tmp_path: Path) -> None:
    factory.configure(replace(factory.options, waiting=1, shapes=1))
    first = spec(tmp_path)
    await factory.expect(first)
    await settle(factory, [1])
    second = replace(first, vcpus=2)
    key = await factory.expect(second)
    async with asyncio.timeout(60):
        while factory.waiting() != {key: 1}:
            await asyncio.sleep(0.01)


async def test_without_templates_everything_is_booted(driver: FakeDriver, tmp_path: Path) -> None:
    options = FactoryOptions(templates=False)
    made = Factory(driver, tmp_path / "t", tmp_path / "pool", ready, options)  # type: ignore[arg-type]
    vm = await made.start(spec(tmp_path))
    assert isinstance(vm, FakeVm) and vm.origin == "boot" and driver.templates == 0


async def test_a_clone_waits_only_after_it_has_rehearsed(
    driver: FakeDriver, tmp_path: Path
) -> None:
    rehearsed: list[str] = []

    async def rehearse(vm: object, spec: VmSpec) -> None:
        assert spec.background
        rehearsed.append(spec.vm_id)
        if len(rehearsed) == 1:
            raise HypervisorError("forgot its words")

    options = FactoryOptions(waiting=1, reserve_bytes=0)
    made = Factory(  # type: ignore[arg-type]
        driver, tmp_path / "t", tmp_path / "pool", ready, options, rehearse=rehearse
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run(), name="factory")
        await made.expect(spec(tmp_path))
        async with asyncio.timeout(60):
            while len(rehearsed) < 1:
                await asyncio.sleep(0.01)
        made.configure(options)
        await settle(made, [1])
        first, second = (vm for vm in driver.vms if vm.origin == "clone")
        assert first.dead and not second.dead and len(rehearsed) == 2
        task.cancel()


async def test_pressure_on_memory_empties_the_pool(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    monkeypatch.setattr(factory_module, "pressure_percent", lambda: 50.0)
    factory.configure(factory.options)
    await settle(factory, [0])


async def test_the_pool_is_not_larger_than_memory_allows(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [200 << 20, 50 << 20]  # for one clone, then for none
    monkeypatch.setattr(
        factory_module, "available_bytes", lambda: room[min(len(driver_clones(factory)), 1)]
    )
    await factory.expect(spec(tmp_path))
    await settle(factory, [1])


def driver_clones(factory: Factory) -> list[FakeVm]:
    return [vm for vm in factory._driver.vms if vm.origin == "clone"]  # type: ignore[attr-defined]


async def test_waiting_clones_are_forks_of_one_zygote(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    driver.forks = True
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    assert [vm.origin for vm in driver.vms] == ["zygote", "fork", "fork"]
    assert [shape.zygote for shape in factory.shapes()] == [True]
    vm = await factory.start(spec(tmp_path))
    assert isinstance(vm, FakeVm) and vm.origin == "fork" and vm.bound == spec(tmp_path)


async def test_a_zygote_rehearses_and_its_forks_do_not(driver: FakeDriver, tmp_path: Path) -> None:
    driver.forks = True
    rehearsed: list[VmSpec] = []

    async def rehearse(vm: object, spec: VmSpec) -> None:
        rehearsed.append(spec)

    options = FactoryOptions(waiting=2, reserve_bytes=0)
    made = Factory(  # type: ignore[arg-type]
        driver, tmp_path / "t", tmp_path / "pool", ready, options, rehearse=rehearse
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run(), name="factory")
        await made.expect(spec(tmp_path))
        await settle(made, [2])
        task.cancel()
    assert {vm.vm_id for vm in rehearsed} == {driver.vms[0].spec.vm_id}
    assert list((tmp_path / "pool").iterdir()) == []


async def test_without_waiting_clones_a_shape_used_twice_gets_a_zygote(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    driver.forks = True
    factory.configure(replace(factory.options, waiting=0))
    origins = []
    async with asyncio.timeout(60):
        while origins[-1:] != ["fork"]:
            vm = await factory.start(spec(tmp_path, nic=TAP))
            assert isinstance(vm, FakeVm)
            origins.append(vm.origin)
            vm.dead = True
            await asyncio.sleep(0.01)
    assert origins[0] == "boot" and "zygote" not in origins and driver.asked_to_fork == 1


async def _start_clones_and_the_zygote_ends(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    vm = await factory.start(spec(tmp_path, nic=TAP))
    assert isinstance(vm, FakeVm) and vm.origin == "clone"
    vm.dead = True
    factory.configure(factory.options)
    async with asyncio.timeout(60):
        while not driver.vms[0].dead:
            await asyncio.sleep(0.01)


async def test_a_fork_that_fails_becomes_a_clone_and_its_zygote_ends(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    driver.forks = True
    await factory.expect(spec(tmp_path, nic=TAP))
    await settle(factory, [2])
    driver.fail_fork = True
    await _start_clones_and_the_zygote_ends(factory, driver, tmp_path)


async def test_a_fork_whose_agent_never_answered_ends_its_zygote(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    driver.forks = True
    key = await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    factory.reject(key)
    await _start_clones_and_the_zygote_ends(factory, driver, tmp_path)


async def test_where_vms_cannot_be_forked_it_is_tried_once(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    for vcpus in (1, 2):
        await factory.expect(replace(spec(tmp_path), vcpus=vcpus))
        await settle(factory, [2])
    assert driver.asked_to_fork == 1
    assert {vm.origin for vm in driver.vms} == {"clone"}


async def test_forks_can_be_switched_off(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    driver.forks = True
    factory.configure(replace(factory.options, forks=False))
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    assert driver.asked_to_fork == 0 and driver.vms[0].origin == "clone"


async def test_short_memory_ends_the_zygote(
    factory: Factory, driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.forks = True
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    monkeypatch.setattr(factory_module, "available_bytes", lambda: -1)
    factory.configure(factory.options)
    await settle(factory, [0])
    assert driver.vms[0].origin == "zygote" and driver.vms[0].dead


async def test_a_waiting_clone_that_has_ended_is_not_given_out(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    await factory.expect(spec(tmp_path, nic=TAP))
    await settle(factory, [2])
    dead, living = driver.vms
    dead.is_running = False
    assert list(factory.waiting().values()) == [1] and factory.shapes()[0].waiting == 1
    taken = await factory.take(spec(tmp_path, nic=TAP))
    assert taken is living and dead.dead
    await living.kill()


async def test_a_waiting_clone_that_has_ended_is_replaced(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    driver.vms[0].is_running = False
    factory.configure(factory.options)
    await settle(factory, [2])
    assert driver.vms[0].dead and len(driver.vms) == 3


async def test_a_zygote_that_has_ended_is_replaced(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    driver.forks = True
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    driver.vms[0].is_running = False
    assert not factory.shapes()[0].zygote
    factory.configure(factory.options)
    async with asyncio.timeout(60):
        while not factory.shapes()[0].zygote:
            await asyncio.sleep(0.01)
    assert driver.asked_to_fork == 2 and driver.vms[0].dead


async def test_failures_are_forgotten_after_a_while(
    factory: Factory, driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.fail_template = True
    async with asyncio.timeout(60):
        while driver.templates < 3:
            await factory.expect(spec(tmp_path))
            await asyncio.sleep(0)
    driver.fail_template = False
    monkeypatch.setattr(failures, "WINDOW_S", 0.0)
    factory.configure(factory.options)
    await settle(factory, [2])


async def test_a_template_whose_clones_fail_is_made_anew(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    key = await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    for _ in range(3):
        factory.reject(key)
    async with asyncio.timeout(60):
        while driver.templates < 2 or not list((tmp_path / "t").glob("[!.]*")):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a bug")])
async def test_what_goes_wrong_with_a_template_ends_neither_the_pool_nor_a_start(
    factory: Factory, driver: FakeDriver, tmp_path: Path, error: Exception
) -> None:
    driver.template_error = error
    await factory.start(spec(tmp_path))
    async with asyncio.timeout(60):
        while not driver.templates:
            await asyncio.sleep(0.01)
    driver.template_error = None
    factory.configure(factory.options)
    await settle(factory, [2])


async def test_a_removed_directory_of_templates_is_made_again(
    factory: Factory, tmp_path: Path
) -> None:
    await factory.expect(spec(tmp_path))
    await settle(factory, [2])
    shutil.rmtree(tmp_path / "t")
    assert factory.shapes()[0].template_bytes == 0
    await factory.expect(replace(spec(tmp_path), vcpus=2))
    async with asyncio.timeout(60):
        while len(list((tmp_path / "t").glob("[!.]*"))) != 2:
            factory.configure(factory.options)
            await asyncio.sleep(0.01)


async def test_the_template_used_longest_ago_is_evicted_and_not_made_again_unasked(
    factory: Factory, driver: FakeDriver, tmp_path: Path
) -> None:
    shapes = [replace(spec(tmp_path), vcpus=vcpus) for vcpus in (1, 2, 3)]
    factory.configure(replace(factory.options, waiting=0, templates_bytes=2 * 4096))
    for number, shape in enumerate(shapes, 1):
        await factory.expect(shape)
        async with asyncio.timeout(60):
            while driver.templates < number or list((tmp_path / "t").glob(".*")):
                await asyncio.sleep(0.01)
        for _ in range(3):  # rounds in which nothing is to be done
            factory.configure(factory.options)
            await asyncio.sleep(0.02)
    left = {path.name for path in (tmp_path / "t").iterdir()}
    assert left == {await driver.template_key(shape) for shape in shapes[1:]}
    assert driver.templates == 3


async def test_a_clone_of_an_earlier_daemon_that_cannot_be_ended_ends_no_daemon(
    driver: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(driver: object, run_dir: Path) -> bool:
        raise HypervisorError("it survives")

    monkeypatch.setattr(factory_module, "end_leftover", refuse)
    (tmp_path / "pool" / "left").mkdir(parents=True)
    made = Factory(  # type: ignore[arg-type]
        driver, tmp_path / "t", tmp_path / "pool", ready, FactoryOptions(waiting=1, reserve_bytes=0)
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run(), name="factory")
        await made.expect(spec(tmp_path))
        await settle(made, [1])
        task.cancel()
    assert (tmp_path / "pool" / "left").exists()
