#!/usr/bin/env python3
"""Owns the initramfs: writes a newc archive (kernel Documentation/driver-api/early-userspace/
buffer-format.rst) with hyperstart as /init. Needs neither root nor cpio, and is reproducible."""

import re
import stat
import sys
from pathlib import Path

DIRECTORIES = ("dev", "root")
MESSAGES = Path(__file__).with_name("messages.h")


def entry(
    inode: int, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
) -> bytes:
    """Return one file of the archive: header, name and data, each padded to 4 bytes."""
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return b"".join(part + b"\0" * (-len(part) % 4) for part in (head, data))


def fingerprint(header: str) -> int:
    """Return what messages.h says of the protocol it is made from."""
    found = re.search(r"^#define PROTOCOL_FINGERPRINT (\d+)u$", header, re.MULTILINE)
    assert found, "messages.h has no PROTOCOL_FINGERPRINT: run python3 protocol/generate.py"
    return int(found[1])


def archive(init: bytes, protocol: int) -> bytes:
    """Return the whole initramfs; the name of an empty file says which protocol is spoken."""
    parts = [entry(n, name, stat.S_IFDIR | 0o755) for n, name in enumerate(DIRECTORIES, 1)]
    # The kernel opens /dev/console for PID 1 before anything is mounted.
    parts.append(entry(8, "dev/console", stat.S_IFCHR | 0o600, device=(5, 1)))
    parts.append(entry(9, "init", stat.S_IFREG | 0o755, init))
    # src/hyper/host/artifacts.py looks for it.
    parts.append(entry(10, f"protocol-{protocol}", stat.S_IFREG | 0o444))
    parts.append(entry(0, "TRAILER!!!", 0))
    image = b"".join(parts)
    return image + b"\0" * (-len(image) % 512)


if __name__ == "__main__":
    init = Path(sys.argv[1]).read_bytes()
    Path(sys.argv[2]).write_bytes(archive(init, fingerprint(MESSAGES.read_text())))
