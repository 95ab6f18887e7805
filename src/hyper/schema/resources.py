"""Owns the table of Docker's Resources: the part of HostConfig that `update` can change as well."""

import re
from typing import Any

from hyper.core.errors import Conflict, InvalidArgument, Unsupported
from hyper.core.spec import ContainerSpec, Resources, Rlimit
from hyper.core.values import (
    BOOL,
    INT,
    STRING,
    Codec,
    read_int,
    read_list,
    read_object,
    read_string,
)
from hyper.schema.devices import DEVICES
from hyper.schema.fields import Field, Support, Updates, differs, refused, works

_NANO = 1_000_000_000
_CPUSET = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_NO_BLKIO_WEIGHT = (
    "a weight is a share of a disk against other containers, and a VM's disks are its own"
)
_NO_BLKIO_LIMIT = (
    "the path names a device of the host, of which the VM has none: its disks are files of the "
    "host; limit the VMM's cgroup there (io.max)"
)
_NO_WINDOWS = "Windows only"
_NO_REALTIME = "the guest kernel has no real-time group scheduling"


def _read_cpus(value: object, where: str) -> float:
    nano = read_int(value, where)
    if nano < 0:
        raise InvalidArgument(f"{where}: {nano} is negative")
    return nano / _NANO


def _read_cpuset(value: object, where: str) -> str:
    text = read_string(value, where)
    if text and not _CPUSET.fullmatch(text):
        raise InvalidArgument(f"Invalid value {text} for cpuset cpus: invalid format: {text}")
    return text


def _read_cpuset_mems(value: object, where: str) -> str:
    text = read_string(value, where)
    if text and not _CPUSET.fullmatch(text):
        raise InvalidArgument(f"Invalid value {text} for cpuset mems")
    if text not in ("", "0"):
        raise InvalidArgument(
            f"Requested memory nodes are not available - requested {text}, available: 0"
        )
    return text


def _read_ulimits(value: object, where: str) -> Updates:
    limits = []
    for at, item in enumerate(read_list(value, where)):
        body = read_object(item, f"{where}[{at}]")
        name = read_string(body.get("Name", ""), f"{where}[{at}].Name")
        soft = read_int(body.get("Soft") or 0, f"{where}[{at}].Soft")
        hard = read_int(body.get("Hard") or 0, f"{where}[{at}].Hard")
        if hard != -1 and (soft > hard or soft == -1):
            raise InvalidArgument(
                f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )
        limits.append(Rlimit(name.lower(), soft, hard))
    return {"resources.rlimits": tuple(limits)}


def _show_ulimits(spec: ContainerSpec) -> object:
    limits = spec.resources.rlimits
    return [
        {"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft} for limit in limits
    ] or None


def _read_swappiness(value: object, where: str) -> int | None:
    number = read_int(value, where)
    if number != -1 and not 0 <= number <= 100:
        raise InvalidArgument(f"Invalid value: {number}, valid memory swappiness range is 0-100")
    return None if number == -1 else number


_CPUS: Codec[float] = Codec(_read_cpus, lambda value: round(value * _NANO))
_SWAPPINESS: Codec[int | None] = Codec(_read_swappiness, lambda value: value)
_PIDS: Codec[int] = Codec(
    lambda value, where: max(read_int(value, where), 0), lambda value: value or None
)

RESOURCES: tuple[Field, ...] = (
    works("CpuShares", "resources.cpu_shares", INT, "among the containers of one pod"),
    differs(
        "Memory",
        "resources.memory_bytes",
        INT,
        "a limit inside the VM, whose memory is sized to hold it when it starts: an update to more "
        "than the VM has is refused while it runs; without one a container sees the memory of its "
        "VM, not the host's",
    ),
    refused("CgroupParent", "a container's cgroup is in its VM", shown=""),
    refused("BlkioWeight", _NO_BLKIO_WEIGHT, shown=0),
    refused("BlkioWeightDevice", _NO_BLKIO_WEIGHT),
    refused("BlkioDeviceReadBps", _NO_BLKIO_LIMIT),
    refused("BlkioDeviceWriteBps", _NO_BLKIO_LIMIT),
    refused("BlkioDeviceReadIOps", _NO_BLKIO_LIMIT),
    refused("BlkioDeviceWriteIOps", _NO_BLKIO_LIMIT),
    works("CpuPeriod", "resources.cpu_period_us", INT),
    works("CpuQuota", "resources.cpu_quota_us", INT),
    refused("CpuRealtimePeriod", _NO_REALTIME, shown=0),
    refused("CpuRealtimeRuntime", _NO_REALTIME, shown=0),
    differs("CpusetCpus", "resources.cpuset", Codec(_read_cpuset, STRING.write), "vCPUs of the VM"),
    differs(
        "CpusetMems",
        "resources.cpuset_mems",
        Codec(_read_cpuset_mems, STRING.write),
        "a VM has the one memory node 0",
    ),
    DEVICES,
    refused("DeviceCgroupRules", "the VM, not a cgroup, keeps a container from the host's devices"),
    refused("DeviceRequests", "a GPU is given to a pod: hyper pod create --device pci:ADDRESS"),
    refused("KernelMemory", "gone from Linux", neutral=(-1,), shown=0),
    refused("KernelMemoryTCP", "gone from cgroup v2", neutral=(-1,), shown=0),
    works("MemoryReservation", "resources.memory_reservation_bytes", INT),
    differs(
        "MemorySwap",
        "resources.memory_swap_bytes",
        INT,
        "a VM has no swap: no more than Memory is used",
    ),
    differs(
        "MemorySwappiness",
        "resources.memory_swappiness",
        _SWAPPINESS,
        "kept and shown; cgroup v2 has no such setting (dockerd warns as well)",
    ),
    works("NanoCpus", "resources.cpus", _CPUS, "the VM gets as many vCPUs, rounded up"),
    differs(
        "OomKillDisable",
        "resources.oom_kill_disable",
        BOOL,
        "kept and shown; cgroup v2 has no such setting (dockerd warns as well)",
    ),
    works("Init", "init", BOOL),
    works("PidsLimit", "resources.pids_limit", _PIDS),
    Field("Ulimits", Support.WORKS, "", _read_ulimits, _show_ulimits),
    refused("CpuCount", _NO_WINDOWS, shown=0),
    refused("CpuPercent", _NO_WINDOWS, shown=0),
    refused("IOMaximumIOps", _NO_WINDOWS, shown=0),
    refused("IOMaximumBandwidth", _NO_WINDOWS, shown=0),
)


_OF_THE_START = {
    "devices": "Devices",
    "init": "Init",
    "resources.oom_kill_disable": "OomKillDisable",
    "resources.rlimits": "Ulimits",
}


def check_resources(resources: Resources) -> list[str]:
    """Return dockerd's warnings about limits (moby verifyPlatformContainerResources).

    Raises InvalidArgument with dockerd's texts.
    """
    _check_memory(resources)
    _check_cpu(resources)
    if not -1000 <= resources.oom_score_adj <= 1000:
        raise InvalidArgument(
            f"Invalid value {resources.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    warnings = []
    if resources.memory_swappiness is not None:
        warnings.append(
            "The guest kernel does not support memory swappiness. Memory swappiness discarded."
        )
    if resources.oom_kill_disable:
        warnings.append(
            "The guest kernel does not support OomKillDisable. OomKillDisable discarded."
        )
    return warnings


def _check_memory(resources: Resources) -> None:
    memory, swap, reservation = (
        resources.memory_bytes,
        resources.memory_swap_bytes,
        resources.memory_reservation_bytes,
    )
    if memory < 0 or (memory and memory < 6 * 1024**2):
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise InvalidArgument(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if not memory and swap > 0:
        raise InvalidArgument(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if reservation < 0 or (reservation and reservation < 6 * 1024**2):
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if memory and memory < reservation:
        raise InvalidArgument(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_cpu(resources: Resources) -> None:
    period, quota = resources.cpu_period_us, resources.cpu_quota_us
    if resources.cpus and period:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if resources.cpus and quota:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    if period and not 1000 <= period <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if resources.cpu_shares < 0:
        raise InvalidArgument(
            f"invalid CPU shares ({resources.cpu_shares}): value must be a positive integer"
        )


def check_changeable(updates: dict[str, Any]) -> None:
    """Raise Unsupported for what `update` asks to change and what is of a container's start."""
    for target, name in _OF_THE_START.items():
        if updates.get(target):
            raise Unsupported(
                f"{name} is not supported: update cannot change it, create the container anew"
            )


def check_update(now: Resources, updates: dict[str, Any]) -> None:
    """Raise Conflict for an update that contradicts what was set (moby UpdateContainer)."""
    for name, other, text in (
        ("cpus", "cpu_period_us", "Nano CPUs cannot be updated as CPU Period"),
        ("cpus", "cpu_quota_us", "Nano CPUs cannot be updated as CPU Quota"),
        ("cpu_period_us", "cpus", "CPU Period cannot be updated as NanoCPUs"),
        ("cpu_quota_us", "cpus", "CPU Quota cannot be updated as NanoCPUs"),
    ):
        if updates.get(f"resources.{name}") and getattr(now, other):
            raise Conflict(f"Conflicting options: {text} has already been set")
    memory, swap = updates.get("resources.memory_bytes") or 0, now.memory_swap_bytes
    if memory > swap > 0 and not updates.get("resources.memory_swap_bytes"):
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the "
            "memoryswap at the same time"
        )


def merge_resources(now: Resources, updates: dict[str, Any]) -> Resources:
    """Return `now` with what an update body set; `updates` as `read_fields` gives them."""
    values = {slot: getattr(now, slot) for slot in Resources.__slots__}
    for target, value in updates.items():
        group, _, name = target.partition(".")
        # 0 is what the docker command sends of what is not to change; of processes, no limit.
        if group == "resources" and name and (value or name == "pids_limit"):
            values[name] = value
    return Resources(**values)
