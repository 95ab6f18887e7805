"""squashfs disks made from a stream of entries by sqfstar. Does not decide what goes in.

lz4 because it unpacks fastest in the guest (DESIGN 4.4); duplicate files are stored once, which
costs little and saves 8 % on a Python distribution; -mem bounds what three layers at once may
take (sqfstar would use a quarter of the host's memory each). The same tar gives the same bytes:
no time of making. sqfstar (4.5) pads the file to 4 KiB, so files can be put behind each other as
extents of one device.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from hyper.core.errors import ProcessError
from hyper.host import files, process, threads
from hyper.images.tarstream import END, Buffer, Entry, header, padding

ALIGNMENT = 4096
_PIPE_BYTES = 1024 * 1024
_BUFFER_BYTES = 256 * 1024
_STDERR_BYTES = 8192
_SUPER_BYTES = 96
_METADATA_BYTES = 8192  # squashfs_fs.h: SQUASHFS_METADATA_SIZE
_UNCOMPRESSED = 1 << 15  # squashfs_fs.h: SQUASHFS_COMPRESSED_BIT
_COMMAND = (
    "sqfstar -comp lz4 -noI -b 128K -mem 256M -mkfs-time 0 -root-mode 0755 -root-uid 0 "
    "-root-gid 0 -quiet -no-progress -exit-on-error"
).split()

Contents = Iterable[tuple[Entry, Iterable[Buffer]]]


def write_tar(contents: Contents, out: BinaryIO) -> None:
    """Write entries with their contents as one tar."""
    for entry, content in contents:
        out.write(header(entry))
        size = 0
        for chunk in content:
            size += len(chunk)
            out.write(chunk)
        out.write(padding(size))
    out.write(END)


async def make(target: Path, produce: Callable[[BinaryIO], None]) -> None:
    """Make the disk `target` from the tar that `produce` writes, in a thread of its own.

    Raises what `produce` raises, and ProcessError when sqfstar fails. Nothing is left then.
    """
    stderr = os.memfd_create("sqfstar-stderr", os.MFD_CLOEXEC)
    try:
        child, writer = await _start(target, stderr)
        try:
            stopped = await _feed(child, writer, produce)
            status = await child.wait()
        finally:
            await child.terminate(grace_s=0)
        if status != 0 or stopped:
            raise ProcessError(child.argv, status, _tail(stderr))
        await threads.in_thread("disk-sync", _finish, target)
    except BaseException:
        files.remove_tree(target)
        raise
    finally:
        os.close(stderr)


async def _start(target: Path, stderr: int) -> tuple[process.Process, int]:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # over the user's limit of pipe memory: smaller works too
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    try:
        argv = [*_COMMAND, os.fspath(target)]
        child = await process.spawn(argv, stdin=reader, stderr=stderr, parent_death_signal=True)
    except BaseException:
        os.close(writer)
        raise
    finally:
        os.close(reader)
    return child, writer


async def _feed(child: process.Process, writer: int, produce: Callable[[BinaryIO], None]) -> bool:
    """Run `produce` while sqfstar reads. Return whether sqfstar stopped reading too soon.

    A cancelled caller ends sqfstar, which ends the thread.
    """
    finished = False

    async def guard() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if not finished:
                child.send_signal(signal.SIGKILL)

    try:
        async with asyncio.TaskGroup() as tasks:
            guarding = tasks.create_task(guard(), name="sqfstar-guard")
            stopped = await threads.in_thread("sqfstar-feed", _write, writer, produce)
            finished = True
            guarding.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return stopped


def _write(descriptor: int, produce: Callable[[BinaryIO], None]) -> bool:
    pipe = open(descriptor, "wb", buffering=_BUFFER_BYTES)
    try:
        produce(pipe)
        pipe.close()
    except BrokenPipeError:
        return True
    finally:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
    return False


def _finish(target: Path) -> None:
    """Make a disk whole, the same at every making, and durable."""
    with files.disk_errors(target, "write"), open(target, "rb+") as file:
        _set_root_time(file)
        file.flush()
        size = os.fstat(file.fileno()).st_size
        os.truncate(file.fileno(), size + -size % ALIGNMENT)  # sqfstar pads; never rely on it
        os.fsync(file.fileno())


def _set_root_time(file: BinaryIO) -> None:
    """Set the time of the root directory to 0: sqfstar 4.5 takes -root-time and ignores it.

    Inodes are not compressed (-noI), so it is a matter of finding it: squashfs_fs.h, struct
    squashfs_super_block (root_inode, inode_table_start) and squashfs_dir_inode (mtime).
    """
    file.seek(0)
    block = file.read(_SUPER_BYTES)
    reference = int.from_bytes(block[32:40], "little")
    start = int.from_bytes(block[64:72], "little") + (reference >> 16)
    file.seek(start)
    if not int.from_bytes(file.read(2), "little") & _UNCOMPRESSED:
        return
    for number in range(8, 12):
        position = (reference & 0xFFFF) + number
        crossed = position // _METADATA_BYTES  # every block of metadata has 2 bytes before it
        file.seek(start + 2 + position + 2 * crossed)
        file.write(b"\0")


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _STDERR_BYTES, max(0, size - _STDERR_BYTES))
    return tail.decode(errors="replace")
