"""What a container is given of its pod's devices and its own."""

import pytest

from hyper.core.errors import NotFound, Unsupported
from hyper.core.pod_spec import HostDevice, PodSpec
from hyper.core.spec import ContainerSpec, Device
from hyper.engine.devices import NOTHING, check_container, given, pci_devices

POD = PodSpec("p", devices=(HostDevice("/dev/sdb", True, "/dev/data"), HostDevice("0000:01:00.0")))


def test_every_container_of_a_pod_has_its_block_devices() -> None:
    found = given(POD, ContainerSpec("image"))
    (disk,) = found.disks.values()
    assert [str(path) for path in disk.extents] == ["/dev/sdb"] and disk.read_only
    (node,) = found.nodes
    assert (node.source, node.destination) == (disk.disk_id, "/dev/data")


def test_pci_devices_are_the_vm_s() -> None:
    assert pci_devices(POD) == ("0000:01:00.0",)


def test_a_device_every_vm_has_is_the_vm_s_own() -> None:
    found = given(PodSpec("p"), ContainerSpec("i", devices=(Device("/dev/fuse", "/dev/f"),)))
    assert not found.disks
    assert [(node.destination, node.options) for node in found.nodes] == [("/dev/f", "10:229")]


@pytest.mark.parametrize(("allowed", "read_only"), [("rwm", False), ("r", True), ("rm", True)])
def test_who_may_not_write_to_a_block_device_has_a_read_only_disk(
    allowed: str, read_only: bool
) -> None:
    found = given(PodSpec("p"), ContainerSpec("i", devices=(Device("/dev/sdb", "", allowed),)))
    assert [disk.read_only for disk in found.disks.values()] == [read_only]
    assert [node.destination for node in found.nodes] == ["/dev/sdb"]


def test_without_devices_nothing_is_given() -> None:
    assert given(PodSpec("p"), ContainerSpec("i")) is NOTHING


def test_what_cannot_be_given_is_refused_when_a_container_starts() -> None:
    check_container((Device("/dev/fuse", "/dev/fuse"),))
    with pytest.raises(NotFound, match='adding custom device "/dev/nope": no such file'):
        check_container((Device("/dev/nope", "/dev/nope"),))
    with pytest.raises(Unsupported, match=r"character device.*of its own a VM has /dev/fuse"):
        check_container((Device("/dev/../dev/null", "/dev/x"),))
