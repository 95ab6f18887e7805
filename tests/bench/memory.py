"""Owns how memory is counted: proportional set size (PSS) of a contender's processes, as one sum.

Pages several processes map count in parts: proc(5), "/proc/PID/smaps_rollup".
"""

from pathlib import Path

from tests.support import leaks


def _parents() -> dict[int, int]:
    """Return pid -> parent pid of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue
    return found


def family(mark: str) -> set[int]:
    """Return the processes that name `mark` in their arguments, and all their descendants."""
    parents = _parents()
    members = set(leaks.processes_naming(mark))
    grown = True
    while grown:
        new = {pid for pid, parent in parents.items() if parent in members} - members
        members |= new
        grown = bool(new)
    return members


def pss_bytes(pid: int) -> int:
    """Return the PSS of a process, 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


def total_pss_bytes(mark: str) -> int:
    """Return the PSS of all processes of a contender."""
    return sum(pss_bytes(pid) for pid in family(mark))
