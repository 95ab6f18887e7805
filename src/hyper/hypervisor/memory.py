"""How much memory the host has left. Reads, decides nothing."""

from pathlib import Path


def available_bytes() -> int:
    """Return the memory that can be used without swapping (proc(5), MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
