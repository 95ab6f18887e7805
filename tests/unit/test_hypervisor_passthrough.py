"""A device of the host is given to a VM, or refused with what is in the way."""

import os
from pathlib import Path

import pytest

from hyper.core.errors import Conflict, Forbidden, HyperError, NotFound, Unsupported
from hyper.core.units import MIB
from hyper.hypervisor.passthrough import check_block_device, check_locked_memory, nodes_for

CARD, SOUND, BRIDGE = "0000:01:00.0", "0000:01:00.1", "0000:00:01.0"
MEMORY = 64 * MIB


class Host:
    """A folder that looks like /sys and /dev of a host with an IOMMU."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.group = root / "sys/kernel/iommu_groups/12"
        (self.group / "devices").mkdir(parents=True)
        self.add(BRIDGE, "pcieport")
        self.add(CARD, "vfio-pci")
        self.add(SOUND, "vfio-pci")
        (root / "dev/vfio").mkdir(parents=True)
        for name in ("vfio", "12"):
            (root / "dev/vfio" / name).touch()

    def device(self, address: str) -> Path:
        return self.root / "sys/bus/pci/devices" / address

    def add(self, address: str, driver: str) -> None:
        device = self.device(address)
        device.mkdir(parents=True)
        (device / "iommu_group").symlink_to(self.group)
        (self.group / "devices" / address).symlink_to(device)
        self.bind(address, driver)

    def bind(self, address: str, driver: str) -> None:
        link = self.device(address) / "driver"
        link.unlink(missing_ok=True)
        if driver:
            folder = self.root / "sys/bus/pci/drivers" / driver
            folder.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder)

    def refusal(self) -> HyperError:
        with pytest.raises(HyperError) as refused:
            nodes_for([CARD], MEMORY, self.root)
        return refused.value


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # who may lock any amount of memory
    return Host(tmp_path)


def test_a_device_out_of_the_host_s_hands_is_given(host: Host) -> None:
    assert nodes_for([CARD, SOUND], MEMORY, host.root) == ("vfio/vfio", "vfio/12")


def test_without_devices_nothing_of_the_host_is_looked_at(tmp_path: Path) -> None:
    assert nodes_for([], MEMORY, tmp_path) == ()


def test_a_device_that_is_not_there_is_not_found(host: Host) -> None:
    with pytest.raises(NotFound, match=r"no such PCI device: 0000:ff:00\.0"):
        nodes_for(["0000:ff:00.0"], MEMORY, host.root)


def test_a_host_without_iommu_says_how_to_switch_it_on(host: Host) -> None:
    host.group.parent.rename(host.root / "elsewhere")
    refused = host.refusal()
    assert isinstance(refused, Unsupported) and "intel_iommu=on" in str(refused)
    host.group.parent.mkdir()
    assert "no IOMMU" in str(host.refusal())


def test_a_device_behind_no_iommu_is_refused(host: Host) -> None:
    (host.device(CARD) / "iommu_group").unlink()
    assert "in no IOMMU group" in str(host.refusal())


@pytest.mark.parametrize(
    ("driver", "words"), [("e1000e", "the host's driver e1000e"), ("", "to no driver")]
)
def test_a_device_not_bound_to_vfio_is_refused_with_the_way_there(
    host: Host, driver: str, words: str
) -> None:
    host.bind(CARD, driver)
    refused = host.refusal()
    assert isinstance(refused, Conflict)
    assert words in str(refused) and "driver_override" in str(refused)


def test_a_group_is_not_viable_while_the_host_uses_a_part_of_it(host: Host) -> None:
    host.bind(SOUND, "snd_hda_intel")
    refused = host.refusal()
    assert isinstance(refused, Conflict)
    assert "group 12 is not viable" in str(refused)
    assert f"{SOUND} (snd_hda_intel)" in str(refused) and BRIDGE not in str(refused)
    host.bind(SOUND, "")  # without a driver nobody uses it
    assert nodes_for([CARD], MEMORY, host.root)


@pytest.mark.parametrize("name", ["vfio", "12"])
def test_a_host_without_vfio_s_nodes_is_told_to_load_it(host: Host, name: str) -> None:
    (host.root / "dev/vfio" / name).unlink()
    refused = host.refusal()
    assert isinstance(refused, Unsupported) and "modprobe vfio-pci" in str(refused)


def test_a_user_who_may_not_open_the_group_is_told_so(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("12"))
    refused = host.refusal()
    assert isinstance(refused, Forbidden) and "dev/vfio/12 may not be opened" in str(refused)


def test_the_guest_s_memory_must_fit_into_the_locked_memory() -> None:
    check_locked_memory(512 * MIB, -1)
    check_locked_memory(512 * MIB, 576 * MIB)
    with pytest.raises(Forbidden, match=r"locks its memory, 576 MiB.*may lock 575 MiB"):
        check_locked_memory(512 * MIB, 575 * MIB)


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/dev/nothing-here", NotFound, "no such file"),
        ("/dev/null", Unsupported, "a character device"),
        (__file__, Unsupported, "no block device"),
    ],
)
def test_only_block_devices_are_disks(path: str, error: type[HyperError], words: str) -> None:
    with pytest.raises(error, match=words):
        check_block_device(path)
