"""Devices given to a pod: a block device of the host, what a VM has itself, PCI."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pods import Hyper, container, inspect, pod

PCI = Path("/sys/bus/pci/devices")


@pytest.fixture
def block_device(tmp_path: Path) -> Iterator[str]:
    """Give a loop device over a file that begins with `from the host`."""
    image = tmp_path / "disk.img"
    image.write_bytes(b"from the host".ljust(1 << 20, b"."))
    argv = ["losetup", "--find", "--show", str(image)]
    made = subprocess.run(argv, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this host has no loop device for us: {made.stderr.strip()}")
    path = made.stdout.strip()
    yield path
    subprocess.run(["losetup", "--detach", path], check=True)


def test_a_block_device_of_the_host_is_read_and_written_in_a_pod_with_pci(
    hyper: Hyper, block_device: str
) -> None:
    script = "head -c 13 /dev/data; echo; printf 'from the pod!' | dd of=/dev/data conv=notrunc"
    pod(
        hyper,
        id="given",
        machine="q35",
        devices=[{"path": block_device, "target": "/dev/data"}],
        containers=[container("a", f"{script} 2>/dev/null; sync; exec sleep 600")],
    )
    show = "while ! grep -q 'the pod' /dev/data; do sleep 0.1; done; ls /sys/bus/pci/devices"
    found = hyper("pod", "exec", "given", "sh", "-c", show).lines
    assert "0000:00:1f.0" in found  # the bridge of a q35
    assert hyper("pod", "logs", "--no-prefix", "given").lines == ["from the host"]
    spec = inspect(hyper, "given")["Spec"]
    assert isinstance(spec, dict) and spec["Machine"] == "q35"
    # While the pod has it, nobody else may write to it.
    other = ["run", "--rm", "--device", f"{block_device}:/dev/x"]
    refused = hyper(*other, "busybox", "true", status=125)
    assert f"device {block_device} cannot be opened" in refused.error
    hyper("pod", "rm", "-f", "given")
    assert Path(block_device).open("rb").read(13) == b"from the pod!"
    script = "head -c 13 /dev/x; echo; ls /dev/fuse /dev/net/tun; echo no > /dev/x"
    own = ["--device", "/dev/fuse", "--device", "/dev/net/tun", "busybox"]
    seen = hyper(*other[:-1], f"{other[-1]}:r", *own, "sh", "-c", script, status=1)
    assert seen.lines == ["from the pod!", "/dev/fuse", "/dev/net/tun"]
    assert "Read-only file system" in seen.error or "not permitted" in seen.error


def test_what_this_host_cannot_give_is_refused_when_the_pod_is_made(
    hyper: Hyper, tmp_path: Path
) -> None:
    asked = {"containers": [container("a", "true")]}
    refused = pod(hyper, id="given", devices=[{"path": "ff:1f.7"}], status=1, **asked)
    assert "no such PCI device: 0000:ff:1f.7" in refused.error
    if PCI.is_dir() and os.listdir(PCI) and not os.listdir("/sys/kernel/iommu_groups"):
        address = sorted(os.listdir(PCI))[0]
        refused = hyper("pod", "create", "--device", f"pci:{address}", "busybox", status=1)
        assert "has no IOMMU" in refused.error
    refused = hyper("pod", "create", "--device", "block:/dev/null", "busybox", status=1)
    assert "/dev/null is a character device" in refused.error
    assert hyper("pod", "ls", "-q").lines == []
