"""Owns a guest without Hyper in it: busybox and a script that obeys lines on the agent's port.

For tests of the hypervisor alone. A line is run by sh; the answer is "STATUS LENGTH\\n" and LENGTH
bytes. The line `die` ends init, so the kernel panics.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.userland import BUSYBOX
from tools.places import KERNEL

ANSWER_S = 60.0

_INIT = rb"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
for port in /sys/class/virtio-ports/*; do
    test "$(cat $port/name)" = hyper.agent && device=/dev/${port##*/}
done
exec 3<>$device
while true; do
    while IFS= read -r line <&3; do
        test "$line" = die && exit 1
        sh -c "$line" >/tmp/.out 2>&1 3<&-
        printf '%d %d\n' $? $(wc -c </tmp/.out) >&3
        cat /tmp/.out >&3
    done
    usleep 20000
done
"""


def kernel() -> Path:
    """Return the guest kernel of this checkout; without it, skip, or fail in CI."""
    path = Path(os.environ.get("HYPER_KERNEL") or KERNEL)
    if not path.exists():
        text = f"{path} is missing; `make kernel` builds it"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return path.resolve()


def write_initrd(path: Path) -> Path:
    """Write the guest's initramfs; skip where there is no busybox."""
    if not BUSYBOX.exists():
        pytest.skip(f"{BUSYBOX} is missing: install busybox-static")
    entries = (
        ("bin", 0o040755, b""),
        ("dev", 0o040755, b""),
        ("bin/busybox", 0o100755, BUSYBOX.read_bytes()),
        ("bin/sh", 0o120777, b"busybox"),
        ("init", 0o100755, _INIT),
        ("TRAILER!!!", 0, b""),
    )
    path.write_bytes(b"".join(_newc(number, *entry) for number, entry in enumerate(entries, 1)))
    return path


def _newc(inode: int, name: str, mode: int, data: bytes) -> bytes:
    """Return one entry of a cpio archive (linux Documentation/driver-api/early-userspace)."""
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


class Shell:
    """A connection to the guest. Make it with `shell`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def run(self, line: str) -> tuple[int, bytes]:
        """Run a line; return its status and output."""
        async with asyncio.timeout(ANSWER_S):
            self.writer.write(line.encode() + b"\n")
            status, length = (await self._reader.readline()).split()
            return int(status), await self._reader.readexactly(int(length))

    async def output(self, line: str) -> str:
        """Run a line that succeeds; return its output without blanks around it."""
        status, output = await self.run(line)
        assert status == 0, output
        return output.decode().strip()

    async def read(self, device: str, offset: int, length: int) -> bytes:
        """Return bytes of a device."""
        blocks = f"bs=512 skip={offset // 512} count={-(-length // 512)}"
        status, data = await self.run(f"dd if={device} {blocks} iflag=direct 2>/dev/null")
        assert status == 0
        return data[:length]


@contextlib.asynccontextmanager
async def shell(agent_socket: Path) -> AsyncIterator[Shell]:
    """Connect to the guest and wait until it answers."""
    reader, writer = await asyncio.open_unix_connection(str(agent_socket))
    try:
        connected = Shell(reader, writer)
        assert await connected.output("echo up") == "up"
        yield connected
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answers(agent_socket: Path) -> None:
    """Return when the guest answers: the `ready` of templates."""
    async with shell(agent_socket):
        pass


def empty(path: Path) -> Path:
    """Return a new, empty, private folder of that name."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    return path
