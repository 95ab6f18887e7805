"""Writable disks: a sound ext4, sparse, copied from one empty image per size."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hyper.core.errors import InvalidArgument
from hyper.core.units import GIB, MIB
from hyper.storage.disks import create_writable

pytestmark = pytest.mark.skipif(
    shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") is None, reason="needs e2fsprogs"
)


async def test_a_disk_is_a_sound_empty_ext4_and_nearly_all_hole(tmp_path: Path) -> None:
    disk = tmp_path / "rw.ext4"
    await create_writable(disk, 10 * GIB, empty_images=tmp_path / "empty")
    info = disk.stat()
    assert info.st_size == 10 * GIB
    assert info.st_blocks * 512 < MIB
    assert info.st_mode & 0o777 == 0o600
    subprocess.run(["/sbin/e2fsck", "-fn", disk], check=True, capture_output=True)
    listing = subprocess.run(
        ["/sbin/debugfs", "-R", "stat /", disk], check=True, capture_output=True, text=True
    ).stdout
    assert "Mode:  0755" in listing


async def test_the_empty_image_is_made_once_per_size(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    for name, size in (("a", 64 * MIB), ("b", 64 * MIB - 5), ("c", 65 * MIB)):
        await create_writable(tmp_path / name, size, empty_images=empty)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len(os.listdir(empty)) == 2
    assert all(file.stat().st_blocks * 512 < MIB for file in empty.iterdir())


@pytest.mark.parametrize("size", [0, -1, 32 * MIB - 1, 2**44])
async def test_a_size_ext4_cannot_have_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(InvalidArgument):
        await create_writable(tmp_path / "disk", size, empty_images=tmp_path / "empty")
    assert not (tmp_path / "disk").exists()


async def test_the_smallest_disk_works(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    await create_writable(disk, 32 * MIB, empty_images=tmp_path / "empty")
    subprocess.run(["/sbin/e2fsck", "-fn", disk], check=True, capture_output=True)
