"""Which VMs are asked whether they stand still, when they go on, and what is said of it."""

import logging
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyper.core.errors import HypervisorError
from hyper.core.units import MIB
from hyper.engine import space
from hyper.engine.services import Services

FULL, PLENTY = 0, 1024 * MIB


@dataclass
class _Vm:
    """A VM that stands still, or does not; without `room` it does again at once."""

    stalled: bool = False
    room: bool = True
    asked: int = 0
    resumed: int = 0

    async def is_stalled(self) -> bool:
        self.asked += 1
        return self.stalled

    async def resume(self) -> None:
        self.resumed += 1
        self.stalled = not self.room


@dataclass
class _Reserve:
    whole: bool = True

    def take(self) -> None:
        self.whole = True


@dataclass
class _Host:
    """A host with one pod."""

    vm: Any = field(default_factory=_Vm)
    reserve: _Reserve = field(default_factory=_Reserve)
    agent: Any = field(default_factory=lambda: SimpleNamespace(silent=False, stall=""))
    visits: dict[str, Any] = field(default_factory=dict)

    async def look(self, free: int, before: int | None = None) -> None:
        async def call(function: Any) -> None:
            function()

        machine = SimpleNamespace(vm=self.vm, agent=self.agent)
        pod = SimpleNamespace(
            machine=machine,
            visits=self.visits,
            row=SimpleNamespace(id="p" * 64),
            log=logging.getLogger("pod"),
        )
        store = SimpleNamespace(reserve=self.reserve, call=call)
        services = SimpleNamespace(store=store, pods=lambda: [pod])
        await space.look(cast(Services, services), free, free if before is None else before)


async def test_no_vm_is_asked_while_all_is_well() -> None:
    host = _Host()
    await host.look(PLENTY)
    assert not host.vm.asked


async def test_a_vm_stands_still_while_there_is_no_space_and_goes_on_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = _Host(_Vm(stalled=True))
    for _ in range(3):
        await host.look(FULL)
    assert "disk is full" in host.agent.stall and not host.vm.resumed
    await host.look(PLENTY)
    assert host.vm.resumed == 1
    await host.look(PLENTY)
    assert not host.agent.stall
    await host.look(PLENTY)
    said = [record.getMessage() for record in caplog.records]
    assert [line[:19] for line in said] == ["the VM stands still", "the VM goes on: the"]
    assert host.vm.asked == 5


async def test_a_vm_that_met_a_full_disk_between_two_looks_goes_on() -> None:
    host = _Host(_Vm(stalled=True))
    await host.look(PLENTY, before=FULL)
    assert host.vm.resumed == 1


async def test_a_vm_whose_volume_is_on_another_full_disk_is_found_by_its_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = _Host(_Vm(stalled=True, room=False))
    host.agent.silent = True
    for _ in range(3):
        await host.look(PLENTY)
    assert host.agent.stall and host.vm.resumed == 3 and len(caplog.records) == 1


async def test_a_vm_that_is_silent_for_another_reason_is_left_alone() -> None:
    host = _Host()
    host.agent.silent = True
    await host.look(PLENTY)
    assert host.vm.asked and not host.vm.resumed and not host.agent.stall


async def test_a_vm_made_for_files_alone_is_looked_at_as_well() -> None:
    vm, agent = _Vm(stalled=True), SimpleNamespace(silent=False, stall="")
    visit = SimpleNamespace(own=True, machine=SimpleNamespace(vm=vm, agent=agent))
    await _Host(visits={"c": visit}).look(FULL)
    assert agent.stall


async def test_a_vm_that_cannot_be_asked_stops_nothing() -> None:
    class Gone(_Vm):
        async def is_stalled(self) -> bool:
            raise HypervisorError("gone")

    host = _Host(Gone(), _Reserve(whole=False))
    await host.look(FULL)
    assert host.reserve.whole
