"""What processes take of the host's memory, as proportional set size (PSS), and taking less of it.

A page that several processes map counts in parts: proc(5), "/proc/pid/smaps_rollup". Reading walks
the process's page tables, so it is for those who ask, in a thread, never for a start.
"""

import contextlib
import ctypes
import gc
from dataclasses import dataclass
from pathlib import Path

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # mallopt(3)
_LARGE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """The parts of a process's PSS: written by it alone, of files, of shared memory; in bytes."""

    anonymous_bytes: int
    file_bytes: int
    shared_bytes: int

    @property
    def pss_bytes(self) -> int:
        """The whole."""
        return self.anonymous_bytes + self.file_bytes + self.shared_bytes


def process_memory(pid: int) -> ProcessMemory | None:
    """Return the memory of a process; None when it has ended or we may not look at it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    sizes = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name.startswith("Pss_"):
            sizes[name] = int(rest.split()[0]) * 1024
    try:
        return ProcessMemory(sizes["Pss_Anon"], sizes["Pss_File"], sizes["Pss_Shmem"])
    except KeyError:  # a process without memory: it is just ending
        return None


def family(pid: int) -> tuple[int, ...]:
    """Return a process and its descendants, in order of birth; empty when it has ended."""
    found = [pid]
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += family(int(child))
    except OSError:
        return tuple(found) if Path(f"/proc/{pid}").exists() else ()
    return tuple(found)


def process_name(pid: int) -> str:
    """Return the name of a process, "" when it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


def share_one_heap() -> None:
    """Make this process's threads allocate from one heap, and give large blocks back when freed.

    By default each thread gets a heap of its own, and freeing a large block makes the next ones
    part of a heap, where they stay: a layer's buffers would be kept for good.
    """
    with contextlib.suppress(AttributeError):  # a C library without these
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def trim() -> None:
    """Give back what only starting needed; look for no garbage in what it left for good."""
    gc.freeze()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
