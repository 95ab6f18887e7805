"""What size a pod may be asked to have."""

import pytest

from hyper.core.errors import InvalidArgument
from hyper.core.pod_spec import HostDevice, PodSpec
from hyper.core.units import MIB
from hyper.engine.pod_checks import check_size

PCI = (HostDevice("0000:00:1f.2"),)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"vcpus": 5}, "vcpus: 5: this host has 4"),
        ({"memory_bytes": MIB}, "64 MiB at least"),
        ({"memory_bytes": 65 * MIB + 1}, "whole MiB"),
        ({"max_vcpus": 2}, "maxVcpu: 2: it needs a vcpu"),
        ({"vcpus": 3, "max_vcpus": 2}, "of at most that number"),
        ({"vcpus": 1, "max_vcpus": 5}, "this host has 4 CPUs"),
        ({"max_memory_bytes": 128 * MIB}, "it needs a memory"),
        ({"memory_bytes": 256 * MIB, "max_memory_bytes": 128 * MIB}, "of at most that size"),
        ({"memory_bytes": 64 * MIB, "max_memory_bytes": 65 * MIB + 1}, "maxMemory.*whole MiB"),
        ({"memory_bytes": 64 * MIB, "max_memory_bytes": 65 * MIB, "devices": PCI}, "PCI devices"),
    ],
)
def test_an_impossible_size_is_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        check_size(PodSpec("p", **wrong), 4)  # type: ignore[arg-type]


def test_a_pod_may_begin_smaller_than_it_can_grow() -> None:
    check_size(PodSpec("p", 1, 64 * MIB, max_vcpus=4, max_memory_bytes=1024 * MIB), 4)
