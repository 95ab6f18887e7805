#!/usr/bin/env python3
"""Owns the initramfs: writes a newc archive (kernel Documentation/driver-api/early-userspace/
buffer-format.rst) with hyperstart as /init. Needs neither root nor cpio, and is reproducible."""

import stat
import sys
from pathlib import Path

DIRECTORIES = ("dev", "root")


def entry(
    inode: int, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
) -> bytes:
    """Return one file of the archive: header, name and data, each padded to 4 bytes."""
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return b"".join(part + b"\0" * (-len(part) % 4) for part in (head, data))


def archive(init: bytes) -> bytes:
    """Return the whole initramfs."""
    parts = [entry(n, name, stat.S_IFDIR | 0o755) for n, name in enumerate(DIRECTORIES, 1)]
    # The kernel opens /dev/console for PID 1 before anything is mounted.
    parts.append(entry(8, "dev/console", stat.S_IFCHR | 0o600, device=(5, 1)))
    parts.append(entry(9, "init", stat.S_IFREG | 0o755, init))
    parts.append(entry(0, "TRAILER!!!", 0))
    image = b"".join(parts)
    return image + b"\0" * (-len(image) % 512)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(archive(Path(sys.argv[1]).read_bytes()))
