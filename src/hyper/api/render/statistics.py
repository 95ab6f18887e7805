"""Owns `docker stats`: the guest's cgroup counters as Docker's statistics."""

from dataclasses import dataclass

from hyper.agent.messages import ContainerStatistics
from hyper.api.times import ZERO, rfc3339
from hyper.engine.views import ContainerView

JSON = dict[str, object]
_NS_PER_US = 1000
_NO_LIMIT = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters at one moment."""

    time_ns: int
    counters: ContainerStatistics


def show(view: ContainerView, now: Sample, before: Sample | None, vm_bytes: int) -> JSON:
    """Return the body of one message; `before` is the sample a second ago."""
    counters = now.counters
    shown: JSON = {
        "name": "/" + view.name,
        "id": view.id,
        "read": rfc3339(now.time_ns),
        "preread": rfc3339(before.time_ns) if before else ZERO,
        "num_procs": 0,
        "pids_stats": _pids(counters),
        "cpu_stats": _cpu(counters),
        "precpu_stats": _cpu(before.counters) if before else _no_cpu(),
        "memory_stats": _memory(counters, vm_bytes),
        "blkio_stats": _block_io(counters),
        "storage_stats": {},
    }
    if counters.network:
        shown["networks"] = {
            card.name: {
                key: getattr(card, key)
                for key in (
                    "rx_bytes", "rx_packets", "rx_errors", "rx_dropped",
                    "tx_bytes", "tx_packets", "tx_errors", "tx_dropped",
                )
            }
            for card in counters.network
        }  # fmt: skip
    return shown


def stopped(view: ContainerView) -> JSON:
    """Return what Docker shows of a container that does not run."""
    return {
        "name": "/" + view.name,
        "id": view.id,
        "read": ZERO,
        "preread": ZERO,
        "num_procs": 0,
        "pids_stats": {},
        "cpu_stats": _no_cpu(),
        "precpu_stats": _no_cpu(),
        "memory_stats": {},
        "blkio_stats": dict.fromkeys(_BLOCK_IO_KEYS),
        "storage_stats": {},
    }


def _pids(counters: ContainerStatistics) -> JSON:
    return {"current": counters.pids_current, "limit": counters.pids_max}


def _no_cpu() -> JSON:
    return {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }


def _cpu(counters: ContainerStatistics) -> JSON:
    return {
        "cpu_usage": {
            "total_usage": counters.cpu_usage_us * _NS_PER_US,
            "usage_in_kernelmode": counters.cpu_system_us * _NS_PER_US,
            "usage_in_usermode": counters.cpu_user_us * _NS_PER_US,
        },
        "system_cpu_usage": counters.system_cpu_us * _NS_PER_US,
        "online_cpus": counters.online_cpus,
        "throttling_data": {
            "periods": counters.periods,
            "throttled_periods": counters.throttled_periods,
            "throttled_time": counters.throttled_us * _NS_PER_US,
        },
    }


def _memory(counters: ContainerStatistics, vm_bytes: int) -> JSON:
    limited = counters.memory_max_bytes != _NO_LIMIT
    return {
        "usage": counters.memory_current_bytes,
        "stats": {pair.key: _number(pair.value) for pair in counters.memory_stat},
        "limit": counters.memory_max_bytes if limited else vm_bytes,
    }


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


_BLOCK_IO_KEYS = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)


def _block_io(counters: ContainerStatistics) -> JSON:
    shown: JSON = dict.fromkeys(_BLOCK_IO_KEYS)
    shown["io_service_bytes_recursive"] = [
        {"major": 0, "minor": 0, "op": "read", "value": counters.io_read_bytes},
        {"major": 0, "minor": 0, "op": "write", "value": counters.io_write_bytes},
    ]
    shown["io_serviced_recursive"] = [
        {"major": 0, "minor": 0, "op": "read", "value": counters.io_reads},
        {"major": 0, "minor": 0, "op": "write", "value": counters.io_writes},
    ]
    return shown
