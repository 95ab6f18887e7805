"""What a template is known by: whatever would make a clone differ from a boot changes it."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.core.errors import HypervisorError
from hyper.core.spec import Disk, Nic, NicKind, VmSpec
from hyper.hypervisor.drivers.qemu import template
from hyper.hypervisor.drivers.qemu.boot import Engine

Change = Callable[[VmSpec, Engine], tuple[VmSpec, Engine]]


@pytest.fixture
def machine(tmp_path: Path) -> tuple[VmSpec, Engine]:
    for name in ("qemu", "kernel", "initrd"):
        (tmp_path / name).write_bytes(b"1")
    nic = Nic(NicKind.USER, "02:42:00:00:00:01")
    spec = VmSpec(
        "vm", 1, 1 << 29, tmp_path / "kernel", tmp_path / "initrd", tmp_path / "run", nic=nic
    )
    return spec, Engine(str(tmp_path / "qemu"), "7.2", "tcg", jailed=True, tsc_khz=2600000)


def _rebuilt(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"2")  # as long as before: its time tells
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


CHANGES: dict[str, Change] = {
    "QEMU's version": lambda spec, engine: (spec, replace(engine, version="7.3")),
    "the accelerator": lambda spec, engine: (spec, replace(engine, accelerator="kvm")),
    "the clock": lambda spec, engine: (spec, replace(engine, tsc_khz=2600001)),
    "the vCPUs": lambda spec, engine: (replace(spec, vcpus=2), engine),
    "the memory": lambda spec, engine: (replace(spec, memory_bytes=1 << 30), engine),
    "the kind of network": lambda spec, engine: (
        replace(spec, nic=Nic(NicKind.NONE, "")),
        engine,
    ),
    "the kernel's words": lambda spec, engine: (replace(spec, kernel_parameters=("a=b",)), engine),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_key_changes_with(what: str, machine: tuple[VmSpec, Engine]) -> None:
    assert template.key(*CHANGES[what](*machine)) != template.key(*machine)


@pytest.mark.parametrize("name", ["qemu", "kernel", "initrd"])
def test_the_key_changes_with_a_new_file(
    name: str, machine: tuple[VmSpec, Engine], tmp_path: Path
) -> None:
    before = template.key(*machine)
    _rebuilt(tmp_path / name)
    assert template.key(*machine) != before


def test_the_key_changes_with_the_devices(
    machine: tuple[VmSpec, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = template.key(*machine)
    monkeypatch.setattr(template, "LAYOUT", "another")
    assert template.key(*machine) != before


def test_what_a_clone_brings_itself_does_not_change_the_key(
    machine: tuple[VmSpec, Engine], tmp_path: Path
) -> None:
    spec, engine = machine
    own = replace(
        spec,
        vm_id="other",
        run_dir=tmp_path / "other",
        disks=(Disk("d", (tmp_path / "disk",), True),),
        nic=Nic(NicKind.USER, "02:42:00:00:00:02"),
        background=True,
    )
    assert template.key(own, engine) == template.key(spec, engine)


@pytest.mark.parametrize("name", ["qemu", "kernel", "initrd"])
def test_a_file_that_was_removed_under_a_running_daemon_is_named(
    name: str, machine: tuple[VmSpec, Engine], tmp_path: Path
) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(HypervisorError, match=f"cannot use {tmp_path / name}: No such file"):
        template.key(*machine)
