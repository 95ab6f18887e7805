"""Volumes of pods that are disk images or folders of the host."""

import struct
import subprocess
from pathlib import Path

import pytest

from tests.support.pods import Hyper, container, pod

CLUSTER = 65536


def _image(path: Path, kind: str) -> Path:
    """Make an image with an empty ext4 on it."""
    raw = path.with_suffix(".raw")
    with raw.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(raw)], check=True)
    if kind == "raw":
        return raw
    path.write_bytes(_qcow2(raw.read_bytes()))
    return path


def _qcow2(content: bytes) -> bytes:
    """Return content as a qcow2 image (QEMU docs/interop/qcow2.txt), version 2, nothing shared."""
    # Clusters: header, refcount table, refcount block, L1, L2, then the content in its order.
    count = len(content) // CLUSTER
    numbers = (2, 0, 0, 16, len(content), 0, 1, 3 * CLUSTER, CLUSTER, 1, 0, 0)
    header = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQ", *numbers)
    l2 = struct.pack(f">{count}Q", *((1 << 63) | ((5 + at) * CLUSTER) for at in range(count)))
    refcounts = struct.pack(f">{count + 5}H", *[1] * (count + 5))
    tables = (header, struct.pack(">Q", 2 * CLUSTER), refcounts,
              struct.pack(">Q", (1 << 63) | 4 * CLUSTER), l2)  # fmt: skip
    return b"".join(table.ljust(CLUSTER, b"\0") for table in tables) + content


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_a_disk_image_keeps_what_a_pod_wrote(hyper: Hyper, tmp_path: Path, kind: str) -> None:
    image = _image(tmp_path / "disk.qcow2", kind)
    volumes = [{"name": "disk", "driver": kind, "source": str(image)}]
    uses = [{"volume": "disk", "path": "/disk"}]
    write = container("a", "echo kept > /disk/x; sync", volumes=uses)
    pod(hyper, "--rm", id="one", volumes=volumes, containers=[write])
    read = container("a", "cat /disk/x; touch /disk/y", volumes=[uses[0] | {"readOnly": True}])
    shown = pod(hyper, "--rm", id="two", volumes=[volumes[0]], containers=[read], status=1)
    assert shown.stdout == "kept\n"
    assert "Read-only file system" in shown.stderr


def test_an_image_with_a_backing_file_is_refused(hyper: Hyper, tmp_path: Path) -> None:
    top = _image(tmp_path / "top.qcow2", "qcow2")
    with top.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack(">QI", 512, 4))  # the offset and length of its name
    refused = pod(
        hyper,
        volumes=[{"name": "disk", "driver": "qcow2", "source": str(top)}],
        containers=[container("a", "true", volumes=[{"volume": "disk", "path": "/disk"}])],
        status=1,
    )
    assert "has a backing file: flatten it first" in refused.error


def test_an_empty_volume_has_the_size_it_was_given(hyper: Hyper) -> None:
    fill = (
        "head -c 60000000 /dev/zero > /v/big || echo full; "
        "df -k /v | tail -n 1 | grep -c 100%; echo still > /m/x && cat /m/x"
    )
    shown = pod(
        hyper,
        "--rm",
        id="small",
        volumes=[{"name": "v", "size": "32m"}, {"name": "m", "driver": "memory", "size": "1m"}],
        containers=[
            container("a", fill, volumes=[{"volume": "v", "path": "/v"},
                                          {"volume": "m", "path": "/m"}])
        ],
    )  # fmt: skip
    assert shown.lines == ["full", "1", "still"]
