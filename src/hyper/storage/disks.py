"""Writable disks of containers: sparse ext4 images, copied from one empty image per size.

Does not attach them, and never looks into one that a guest has used.
"""

import secrets
from pathlib import Path

from hyper.core.errors import InvalidArgument
from hyper.core.units import MIB
from hyper.host.files import disk_errors, private_directory, sparse_copy
from hyper.host.process import ENVIRONMENT, run
from hyper.host.threads import in_thread

MINIMUM_BYTES = 32 * MIB
_ALIGNMENT = MIB
# Part of the empty image's name: to be changed with the options below.
_RECIPE = 1

# An explicit list, whatever mke2fs.conf says. With a journal: a container outlives a killed VM, and
# its disk must then be mountable without a check. Without metadata_csum: the guest would compute
# every checksum in software under emulation. uninit_bg and packed_meta_blocks leave 72 KB to copy.
_FEATURES = (
    "none,has_journal,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super2,large_file,"
    "huge_file,uninit_bg,dir_nlink,extra_isize"
)
# The kernel enlarges no mounted ext4 with sparse_super2 (linux/fs/ext4/resize.c).
_GROWABLE_FEATURES = _FEATURES.replace("sparse_super2", "sparse_super,resize_inode")
# Inode tables count as initialised (the file is a hole), so the guest starts no thread for them.
_EXTENDED = "lazy_itable_init=0,lazy_journal_init=1,packed_meta_blocks=1,nodiscard,root_owner=0:0"


async def create_writable(path: Path, size_bytes: int, *, empty_images: Path) -> None:
    """Create the file `path`, an empty ext4 of `size_bytes`, rounded up to a MiB.

    `empty_images` is the directory of the images to copy, one made at first use of a size. Raises
    InvalidArgument for a size ext4 cannot have, Unavailable when the disk is full or mkfs.ext4 is
    missing.
    """
    size_bytes = check_size(size_bytes, "a container's disk")
    empty = empty_images / f"ext4-{_RECIPE}-{size_bytes}.img"
    if not empty.exists():
        await _make_empty(empty, size_bytes, _FEATURES)
    await in_thread("copy empty disk", sparse_copy, empty, path)


async def create_growable(path: Path, size_bytes: int) -> None:
    """Create the file `path` as create_writable does, with room for the tables of a larger one."""
    await _make_empty(path, check_size(size_bytes, "a volume's disk"), _GROWABLE_FEATURES)


def check_size(size_bytes: int, what: str) -> int:
    """Return the size an ext4 gets that is to have this one. Raises InvalidArgument."""
    if not MINIMUM_BYTES <= size_bytes <= 2**44 - 2**32:
        raise InvalidArgument(
            f"{what} of {size_bytes} bytes: {MINIMUM_BYTES // MIB} MiB at least, 16 TiB at most"
        )
    return -(-size_bytes // _ALIGNMENT) * _ALIGNMENT


async def _make_empty(path: Path, size_bytes: int, features: str) -> None:
    """Make an empty image; when two do so at once, both results are right and one stays."""
    private_directory(path.parent)
    working = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    try:
        _create_hole(working, size_bytes)
        journal_mib = 4 if size_bytes < 512 * MIB else 16
        await run(
            [
                "mkfs.ext4", "-q", "-F", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0",
                "-e", "remount-ro", "-O", features, "-J", f"size={journal_mib}", "-E", _EXTENDED,
                working,
            ],
            env={**ENVIRONMENT, "MKE2FS_CONFIG": "/dev/null"},
        )  # fmt: skip
        # mkfs allocates the inode tables as unwritten extents, 160 MB of 10 GB; the copy has none.
        await in_thread("copy empty disk", sparse_copy, working, path)
    finally:
        working.unlink(missing_ok=True)


def _create_hole(path: Path, size_bytes: int) -> None:
    with disk_errors(path, "create disk image"), open(path, "xb") as file:
        file.truncate(size_bytes)
