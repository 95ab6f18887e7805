"""Volumes that are disk images: sound, growing, copied, and qcow2 as QEMU's document has it."""

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from hyper.core.errors import Conflict, InvalidArgument, NotFound
from hyper.core.units import GIB, MIB
from hyper.storage.qcow2 import CLUSTER, grow_qcow2, virtual_size, write_qcow2
from hyper.storage.volume_disks import VolumeDisks

needs_e2fsprogs = pytest.mark.skipif(
    shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") is None, reason="needs e2fsprogs"
)


@pytest.fixture
def disks(tmp_path: Path) -> VolumeDisks:
    return VolumeDisks(tmp_path / "volumes")


def _content(image: bytes) -> dict[int, bytes]:
    """Return the clusters an image has, by their number, read as docs/interop/qcow2.txt says."""
    magic, version, backing, _, bits = struct.unpack_from(">4sIQII", image)
    assert (magic, version, backing, 1 << bits) == (b"QFI\xfb", 2, 0, CLUSTER)
    l1_size, l1_at, table_at, table_clusters = struct.unpack_from(">IQQI", image, 36)
    assert table_clusters == 1
    (block_at,) = struct.unpack_from(">Q", image, table_at)
    assert set(struct.unpack_from(f">{len(image) // CLUSTER}H", image, block_at)) == {1}
    mask, found = (1 << 56) - 512, {}
    for first, l2_entry in enumerate(struct.unpack_from(f">{l1_size}Q", image, l1_at)):
        if l2_entry:
            entries = struct.unpack_from(f">{CLUSTER // 8}Q", image, l2_entry & mask)
            for second, entry in enumerate(entries):
                if entry:
                    at = entry & mask
                    found[first * (CLUSTER // 8) + second] = image[at : at + CLUSTER]
    return found


def test_a_qcow2_image_has_what_the_sparse_file_had(tmp_path: Path) -> None:
    raw, image = tmp_path / "raw", tmp_path / "image"
    chance = random.Random(5)
    with raw.open("wb") as file:
        file.truncate(3 * GIB)
        for _ in range(20):
            file.seek(chance.randrange(3 * GIB - 5000))
            file.write(chance.randbytes(chance.randrange(1, 5000)))
    write_qcow2(raw, image)
    assert virtual_size(image, "qcow2") == 3 * GIB
    found = _content(image.read_bytes())
    assert 20 <= len(found) < 1000
    with raw.open("rb") as file:
        for number, data in found.items():
            file.seek(number * CLUSTER)
            assert file.read(CLUSTER) == data
        whole = sum(1 for number in range(3 * GIB // CLUSTER) if _has_data(file.fileno(), number))
    assert len(found) == whole
    grow_qcow2(image, 100 * GIB)
    assert virtual_size(image, "qcow2") == 100 * GIB and _content(image.read_bytes()) == found
    with pytest.raises(InvalidArgument, match="at most"):
        grow_qcow2(image, 5 << 40)


def _has_data(descriptor: int, number: int) -> bool:
    try:
        return os.lseek(descriptor, number * CLUSTER, os.SEEK_DATA) < (number + 1) * CLUSTER
    except OSError:
        return False


@needs_e2fsprogs
@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
async def test_a_volume_is_snapshotted_restored_and_grown(
    disks: VolumeDisks, image_format: str
) -> None:
    path = await disks.create("data", 64 * MIB - 1, image_format)
    assert virtual_size(path, image_format) == 64 * MIB and path.stat().st_blocks * 512 < 2 * MIB
    if image_format == "raw":
        subprocess.run(["/sbin/e2fsck", "-fn", path], check=True, capture_output=True)
    before = path.read_bytes()
    await disks.take("data", path, "one")
    with pytest.raises(Conflict, match="has a snapshot named 'one'"):
        disks.check_new("data", "one")
    await disks.grow(path, 128 * MIB, image_format)
    assert virtual_size(path, image_format) == 128 * MIB
    # What a daemon that died in between had enlarged already is never cut off.
    assert await disks.grow(path, 96 * MIB, image_format) == 128 * MIB
    assert virtual_size(path, image_format) == 128 * MIB
    with path.open("r+b") as file:
        file.seek(32 * 1024)
        file.write(b"changed")
    (kept,) = disks.snapshots("data", image_format)
    assert (kept.name, kept.size_bytes) == ("one", 64 * MIB) and kept.stored_bytes < 2 * MIB
    assert await disks.restore("data", path, "one", image_format) == 64 * MIB
    assert path.read_bytes() == before
    disks.remove("data", "one")
    assert disks.snapshots("data", image_format) == []


async def test_a_guest_s_bytes_do_not_make_a_raw_image_another(disks: VolumeDisks) -> None:
    path = await disks.create("data", 64 * MIB, "raw")
    with path.open("r+b") as file:
        file.write(b"QFI\xfb" + bytes(20) + (8 * GIB).to_bytes(8, "big") + bytes(64))
    await disks.take("data", path, "one")
    assert [kept.size_bytes for kept in disks.snapshots("data", "raw")] == [64 * MIB]
    assert await disks.restore("data", path, "one", "raw") == 64 * MIB


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 129, "-rf"])
async def test_a_snapshot_s_name_cannot_lead_elsewhere(disks: VolumeDisks, name: str) -> None:
    with pytest.raises(InvalidArgument):
        disks.check_new("data", name)
    with pytest.raises(InvalidArgument):
        disks.remove("data", name)


async def test_what_is_not_there_or_too_small_is_refused(disks: VolumeDisks) -> None:
    with pytest.raises(NotFound, match="no such snapshot: one: volume data"):
        disks.remove("data", "one")
    with pytest.raises(InvalidArgument, match=r"create data: a volume of 5 bytes: 32 MiB at least"):
        await disks.create("data", 5, "raw")
