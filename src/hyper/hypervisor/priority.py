"""The priority of VMMs nobody waits for: lowered at their start, raised when a pod gets one.

Nice, not SCHED_IDLE: on a busy host the latter gets nothing, and a clone that makes no progress
looks like one that is broken.
"""

import contextlib
import os
import resource
from pathlib import Path

LOW = 10  # a tenth of the share of a process with nice 0 (linux/sched/core.c, sched_prio_to_weight)
_CAP_SYS_NICE = 23  # linux/capability.h
_NORMAL_LIMIT = 20  # setrlimit(2): RLIMIT_NICE 20 allows nice 0


def may_raise() -> bool:
    """Tell whether this process may raise what was lowered; if not, nothing should be."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_NICE & 1) or _allowed_by_limit()
    return False


def _allowed_by_limit() -> bool:
    limit = resource.getrlimit(resource.RLIMIT_NICE)[0]
    return limit == resource.RLIM_INFINITY or limit >= _NORMAL_LIMIT


def raise_to_normal(pid: int) -> None:
    """Give all threads of a process nice 0; nothing happens if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(thread), 0)
