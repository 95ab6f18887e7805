"""How much memory the host has left, and how much it suffers. Reads, decides nothing."""

from pathlib import Path

PRESSURE_LIMIT_PERCENT = 10.0
"""Above this, tasks lose so much time to reclaiming memory that what only waits should go."""


def pressure_percent() -> float:
    """Return the share of the last 10 s in which a task waited for memory; 0 where unknown.

    Pressure stall information: linux Documentation/accounting/psi.rst, "some avg10".
    """
    try:
        text = Path("/proc/pressure/memory").read_text()
    except OSError:  # a kernel without it, or one started with psi=0
        return 0.0
    some = text.partition("some avg10=")[2].split()
    return float(some[0]) if some else 0.0


def available_bytes() -> int:
    """Return the memory that can be used without swapping (proc(5), MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
