"""Driver registry, VM records, doctor's checks, the choice of acceleration."""

from dataclasses import replace
from pathlib import Path

import pytest

from hyper.core.errors import HypervisorError, InvalidArgument
from hyper.hypervisor import probe
from hyper.hypervisor.driver import (
    Bus,
    DeviceAddress,
    DriverOptions,
    VmRecord,
    create_driver,
    driver_names,
    read_record,
)
from hyper.hypervisor.launcher import Launcher

RECORD = VmRecord("qemu", "id", 12, 345, "/run/x", "tcg", "microvm", "7.2", shares=("v",))


def options(root: Path) -> DriverOptions:
    return DriverOptions(root, root / "kernel", root / "initrd", Launcher())


def test_drivers_are_found_by_name(tmp_path: Path) -> None:
    assert "qemu" in driver_names()
    assert create_driver("qemu", options(tmp_path)).name == "qemu"


def test_an_unknown_driver_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"'zen'.*qemu"):
        create_driver("zen", options(tmp_path))


def test_a_record_survives_json() -> None:
    record = RECORD.with_disk("a", DeviceAddress(Bus.SCSI, 3))
    assert VmRecord.from_json(record.to_json()) == record


def test_a_disk_leaves_the_record() -> None:
    record = RECORD.with_disk("a", DeviceAddress(Bus.BLOCK_SLOT, 0))
    assert record.without_disk("a") == RECORD
    assert record.without_disk("b") == record


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"disks": 1}'])
def test_a_damaged_record_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        VmRecord.from_json(text)


def test_a_directory_without_record_has_no_vm(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None


async def fails() -> None:
    raise HypervisorError("it hung")


async def boots() -> None:
    return None


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "device_problem", lambda: "")


@pytest.mark.usefixtures("device")
async def test_auto_falls_back_and_remembers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await probe.choose_accelerator("auto", tmp_path, "k", fails) == "tcg"
    # asyncio itself may speak of a slow step: that is not ours.
    assert [r.levelname for r in caplog.records if r.name != "asyncio"] == ["WARNING"]
    # Not tried again: `boots` would have succeeded.
    assert await probe.choose_accelerator("auto", tmp_path, "k", boots) == "tcg"


@pytest.mark.usefixtures("device")
async def test_a_verdict_holds_for_its_key_only(tmp_path: Path) -> None:
    await probe.choose_accelerator("auto", tmp_path, "k", fails)
    assert await probe.choose_accelerator("auto", tmp_path, "other", boots) == "kvm"


@pytest.mark.usefixtures("device")
async def test_kvm_asked_for_and_broken_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="it hung"):
        await probe.choose_accelerator("kvm", tmp_path, "k", fails)


@pytest.mark.usefixtures("device")
async def test_kvm_asked_for_is_tried_again(tmp_path: Path) -> None:
    await probe.choose_accelerator("auto", tmp_path, "k", fails)
    assert await probe.choose_accelerator("kvm", tmp_path, "k", boots) == "kvm"


async def test_tcg_asked_for_tries_nothing(tmp_path: Path) -> None:
    assert await probe.choose_accelerator("tcg", tmp_path, "k", fails) == "tcg"
    assert probe.recall(tmp_path, "k") is None


async def test_an_unknown_accelerator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="hax"):
        await probe.choose_accelerator("hax", tmp_path, "k", boots)


async def test_without_the_device_nothing_is_booted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "KVM_DEVICE", tmp_path / "kvm")
    assert await probe.choose_accelerator("auto", tmp_path, "k", boots) == "tcg"
    verdict = probe.recall(tmp_path, "k")
    assert verdict is not None and "does not exist" in verdict.reason


def test_old_verdicts_go(tmp_path: Path) -> None:
    for number in range(40):
        probe.remember(tmp_path, str(number), probe.Verdict(True, ""))
    assert probe.recall(tmp_path, "0") is None
    assert probe.recall(tmp_path, "39") == probe.Verdict(True, "")


def test_a_damaged_memory_of_verdicts_is_forgotten(tmp_path: Path) -> None:
    probe.remember(tmp_path, "k", probe.Verdict(True, ""))
    (tmp_path / "acceleration.json").write_text("[")
    assert probe.recall(tmp_path, "k") is None


def test_another_kernel_has_another_key(tmp_path: Path) -> None:
    program, kernel = tmp_path / "qemu", tmp_path / "vmlinux"
    program.write_bytes(b"")
    kernel.write_bytes(b"1")
    before = probe.probe_key(program, kernel, "7.2")
    kernel.write_bytes(b"12")
    assert probe.probe_key(program, kernel, "7.2") != before


def test_records_are_immutable() -> None:
    assert replace(RECORD, vm_id="other") != RECORD
