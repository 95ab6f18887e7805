"""Owns the question what a test left behind: processes, file descriptors, mounts, files."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SETTLE_S = 60.0  # longer than an idle connection to a registry is kept


def mounts() -> frozenset[str]:
    """Return the mounts of this process' namespace, without what other programs' options change."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return frozenset(" ".join(line.split()[:3]) for line in lines)


def files_named(folder: Path, name: str) -> list[Path]:
    """Return the files of this name below a folder in which others come and go meanwhile.

    Path.rglob fails when a folder goes while it is in it.
    """
    return [Path(top, name) for top, _, files in os.walk(folder) if name in files]


def processes_naming(text: str) -> dict[int, str]:
    """Return pid -> command line of every process whose arguments contain `text`."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, UnicodeDecodeError):
            continue
        if text in arguments and state != "Z":
            found[int(entry.name)] = arguments.strip()
    return found


def open_files(pid: int) -> dict[int, str]:
    """Return fd -> what it is of a process."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(entry.name)] = os.readlink(entry)
        except FileNotFoundError:
            continue
    return found


def settle(condition: Callable[[], object], limit_s: float = _SETTLE_S) -> bool:
    """Wait until `condition` is false or empty; tell whether it became so in time.

    What goes away on its own, like a VMM being reaped, has no event a test could wait for.
    """
    deadline = time.monotonic() + limit_s
    while condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a daemon holds while no container exists."""

    mounts: frozenset[str]
    descriptors: tuple[str, ...]
    pods: frozenset[str]
    containers: frozenset[str]

    @classmethod
    def take(cls, pid: int, root: Path, run: Path) -> "Snapshot":
        """Look at a daemon and its folders."""
        return cls(
            mounts(), _kinds(open_files(pid)), _names(run / "pods"), _names(root / "containers")
        )

    def leaks(self, later: "Snapshot") -> list[str]:
        """Return what `later` has more than this one, in words."""
        found = [f"mount: {line}" for line in sorted(later.mounts - self.mounts)]
        found += [f"pod folder: {name}" for name in sorted(later.pods - self.pods)]
        found += [
            f"container folder: {name}" for name in sorted(later.containers - self.containers)
        ]
        more = Counter(later.descriptors) - Counter(self.descriptors)
        if len(later.descriptors) > len(self.descriptors):
            found += [f"descriptor of hyperd: {number} x {kind}" for kind, number in more.items()]
        return found


def _kinds(descriptors: dict[int, str]) -> tuple[str, ...]:
    """Return what descriptors are, without the numbers of sockets and pipes."""
    named = (target.partition(":[")[0] for target in descriptors.values())
    return tuple(sorted(named))


def _names(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()
