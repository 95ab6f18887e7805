"""Owns what is said of the memory that pods take from the host: a VMM each, and the daemon's share.

Measured when somebody asks, and at most every few seconds: for each figure the kernel walks
all page tables of a VMM.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hyper.engine.pods import Pods
from hyper.host.memory import ProcessMemory, family, process_memory, process_name
from hyper.host.threads import in_thread
from hyper.hypervisor.driver import read_record
from hyper.network.networks import Networks

_FRESH_S = 4.0


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """A process and its memory, None where that cannot be read; `owner` is the pod's id."""

    pid: int
    name: str
    memory: ProcessMemory | None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Who takes memory: the VMMs of pods, those that wait for one, the daemon and its processes."""

    pods: tuple[ProcessUse, ...]
    waiting: tuple[ProcessUse, ...]
    daemon: tuple[ProcessUse, ...]


def total_bytes(uses: Iterable[ProcessUse]) -> int | None:
    """Return the sum of PSS; None when some of it is not known."""
    sizes = [use.memory.pss_bytes if use.memory else None for use in uses]
    return None if None in sizes else sum(size for size in sizes if size is not None)


class Memory:
    """What is measured, and told again for a while. `pool` has the folders of waiting VMs."""

    def __init__(self, pods: Pods, pool: Path, networks: Networks) -> None:
        self._pods = pods
        self._pool = pool
        self._networks = networks
        self._seen: dict[int, tuple[float, ProcessMemory | None]] = {}

    async def use(self) -> MemoryUse:
        """Return who takes how much now, or did a few seconds ago."""
        owners = {view.vmm_pid: view.id for view in self._pods.list() if view.vmm_pid}
        return await in_thread("memory", self._measure, owners, self._networks.process_id)

    def _measure(self, owners: dict[int, str], networks_pid: int) -> MemoryUse:
        waiting = [pid for pid in self._waiting_pids() if pid not in owners]
        own = [*family(os.getpid()), *(family(networks_pid) if networks_pid else ())]
        seen: dict[int, tuple[float, ProcessMemory | None]] = {}
        found = MemoryUse(
            pods=tuple(self._process(seen, pid, owner) for pid, owner in owners.items()),
            waiting=tuple(self._process(seen, pid) for pid in waiting),
            # A VMM's parent is the spawner, as long as that runs.
            daemon=tuple(self._process(seen, pid) for pid in own if pid not in {*owners, *waiting}),
        )
        self._seen = seen  # as a whole: another thread may be measuring too
        return found

    def _process(
        self, seen: dict[int, tuple[float, ProcessMemory | None]], pid: int, owner: str = ""
    ) -> ProcessUse:
        now = time.monotonic()
        when, memory = self._seen.get(pid, (now - 2 * _FRESH_S, None))
        if now - when > _FRESH_S:
            when, memory = now, process_memory(pid)
        seen[pid] = when, memory
        return ProcessUse(pid, process_name(pid), memory, owner)

    def _waiting_pids(self) -> list[int]:
        folders = self._pool.iterdir() if self._pool.is_dir() else ()
        records = [read_record(folder) for folder in folders]
        return [record.pid for record in records if record and process_name(record.pid)]
