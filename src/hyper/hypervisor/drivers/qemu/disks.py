"""Disks as QEMU block nodes: JSON for -blockdev and blockdev-add, multi-extent descriptors.

Opens no device and talks to nobody: files arrive as numbers of fd sets ("/dev/fdset/N"), so the VMM
needs no path and no permission of its own. QEMU: qapi/block-core.json "BlockdevOptions".

Writable disks: `cache=writeback` (the guest's flush becomes fdatasync on the host). So what a guest
has synced survives a crash of the host, as under Docker; `unsafe` saved nothing measurable on a
container's start and stop. Freed blocks go back to the host (`discard=unmap`). Image locks
(`locking=on`, byte-range locks of the open file) keep a second VMM from writing the same file.
"""

from collections.abc import Sequence

from hyper.core.errors import InvalidArgument

JsonObject = dict[str, object]

SECTOR_BYTES = 512
_EXTERNAL_DATA = 1 << 2  # an incompatible feature of qcow2
NULL_BYTES = 1 << 40
SLOT_READ_ONLY = (True, False, True)
"""Which of the virtio-blk slots hold read-only disks. Part of a template's state."""

_DESCRIPTOR = """\
# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="twoGbMaxExtentFlat"
# Extent description
{extents}
# The Disk Data Base
ddb.adapterType = "ide"
ddb.virtualHWVersion = "4"
"""


def null_node(name: str, read_only: bool) -> JsonObject:
    """Return the node of an empty slot; its size is what a template's guest believes for ever."""
    return {
        "driver": "null-co",
        "node-name": name,
        "size": NULL_BYTES,
        "read-zeroes": True,
        "read-only": read_only,
    }


def file_node(name: str, fdset: int, read_only: bool, *, block_device: bool = False) -> JsonObject:
    """Return the node of a raw image in one file, or of a block device of the host."""
    node = _file(fdset, read_only)
    node["node-name"] = name
    if block_device:
        node["driver"] = "host_device"
    return node


def qcow2_node(name: str, fdset: int, read_only: bool) -> JsonObject:
    """Return the node of a qcow2 image that stands by itself (`check_qcow2`)."""
    return {
        "driver": "qcow2",
        "node-name": name,
        "read-only": read_only,
        "file": _file(fdset, read_only),
        "backing": None,
    }


def check_qcow2(header: bytes, name: str) -> None:
    """Check that an image needs no other file (QEMU docs/interop/qcow2.txt, "Header").

    Raises InvalidArgument.
    """
    if len(header) < 72 or header[:4] != b"QFI\xfb":
        raise InvalidArgument(f"{name} is not a qcow2 image")
    version = int.from_bytes(header[4:8], "big")
    features = int.from_bytes(header[72:80], "big") if version >= 3 else 0
    if int.from_bytes(header[8:16], "big"):
        raise InvalidArgument(
            f"{name} has a backing file: flatten it first (qemu-img convert -O qcow2)"
        )
    if features & _EXTERNAL_DATA:
        raise InvalidArgument(f"{name} keeps its data in another file: convert it first")


def extents_node(name: str, descriptor_fdset: int) -> JsonObject:
    """Return the node of several files read one after another, described by `flat_descriptor`."""
    return {
        "driver": "vmdk",
        "node-name": name,
        "read-only": True,
        "file": _file(descriptor_fdset, True),
    }


def flat_descriptor(sizes_bytes: Sequence[int], fdsets: Sequence[int]) -> bytes:
    """Return the VMDK descriptor of flat extents (VMware "Virtual Disk Format", 5.0, section 2).

    It is QEMU's one way to concatenate files without copying. Raises InvalidArgument when an extent
    is empty or not whole sectors.
    """
    # No empty line may precede an extent: QEMU's sscanf would skip it and find the next extent
    # twice.
    lines = []
    for size, fdset in zip(sizes_bytes, fdsets, strict=True):
        if size <= 0 or size % SECTOR_BYTES:
            raise InvalidArgument(f"a disk extent has {size} bytes: not a multiple of 512")
        # "RW" is the only access QEMU's parser knows; the node above is what makes it read-only.
        lines.append(f'RW {size // SECTOR_BYTES} FLAT "/dev/fdset/{fdset}" 0')
    return _DESCRIPTOR.format(extents="\n".join(lines)).encode()


def _file(fdset: int, read_only: bool) -> JsonObject:
    return {
        "driver": "file",
        "filename": f"/dev/fdset/{fdset}",
        "read-only": read_only,
        "locking": "on",
        "aio": "threads",
        "discard": "unmap",
        "cache": {"direct": False, "no-flush": False},
    }
