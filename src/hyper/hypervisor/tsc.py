"""How fast this host's time stamp counter runs: an emulated guest reads the same one (x86 only).

An emulated microvm has no other clock by which its kernel could calibrate the counter well, and
without a clock it trusts, the kernel ticks 250 times a second even when idle. Told the frequency,
it does not: an idle VM then costs 0.2 to 0.6 % of a CPU instead of 5 %. Measured against
CLOCK_MONOTONIC_RAW, to 1 kHz (less than 0.1 s a day), once per boot of the host.
"""

import ctypes
import json
import logging
import mmap
import platform
import time
from pathlib import Path
from statistics import median

from hyper.host.files import atomic_write
from hyper.host.threads import in_thread
from hyper.hypervisor.probe import boot_id

_FILE_NAME = "tsc.json"
_ROUNDS, _ROUND_S = 5, 0.04
_READ_TSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")  # rdtsc; shl rdx, 32; or rax, rdx; ret
_TRUSTED = {"tsc", "kvm-clock"}
_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")

_log = logging.getLogger("hypervisor.tsc")


async def tsc_khz(root: Path) -> int:
    """Return the frequency of this host's counter, 0 if there is none that can be trusted."""
    boot = boot_id()
    path = root / _FILE_NAME
    known = _load(path)
    if boot in known:
        return known[boot]
    khz = await in_thread("measure TSC", _measure) if _trusted() else 0
    # Kept, because the figure is part of the key of templates and must not vary in its last digit.
    atomic_write(path, json.dumps({boot: khz}).encode(), fsync=False)
    return khz


def _trusted() -> bool:
    """Tell whether the counter runs at one speed, always, on all CPUs."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
        source = _CLOCK_SOURCE.read_text().strip()
    except OSError:
        return False
    steady = "constant_tsc" in flags and "nonstop_tsc" in flags
    return platform.machine() == "x86_64" and steady and source in _TRUSTED


def _measure() -> int:
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError as err:  # a security module that forbids executable memory
        _log.info("cannot measure the time stamp counter: %s", err)
        return 0
    code.write(_READ_TSC)
    buffer = ctypes.c_char.from_buffer(code)
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(buffer))
    rates = []
    for _ in range(_ROUNDS):
        begin = _pair(read)
        time.sleep(_ROUND_S)
        end = _pair(read)
        rates.append((end[1] - begin[1]) * 1e6 / (end[0] - begin[0]))
    del buffer  # or the mapping could not be closed
    code.close()
    return round(median(rates))


def _pair(read: "ctypes._FuncPointer") -> tuple[float, int]:
    """Return a moment in nanoseconds and the counter at it: the tightest of several readings."""
    readings = []
    for _ in range(20):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        counter = read()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        readings.append((after - before, (before + after) / 2, counter))
    _, moment, counter = min(readings)
    return moment, counter


def _load(path: Path) -> dict[str, int]:
    try:
        known = json.loads(path.read_bytes())
        return {str(boot): int(khz) for boot, khz in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
