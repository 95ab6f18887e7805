"""Owns kernels and checks of the host as Hyper's own API shows them."""

from hyper.engine.kernels import Kernel
from hyper.hypervisor.check import Check

JSON = dict[str, object]


def kernel(item: Kernel) -> JSON:
    """Return a kernel."""
    return {
        "Name": item.name,
        "Path": str(item.path),
        "Size": item.size_bytes,
        "Version": item.version,
    }


def check(item: Check) -> JSON:
    """Return a check of the host."""
    return {
        "Name": item.name,
        "Ok": item.ok,
        "Detail": item.detail,
        "Advice": item.advice,
        "Warning": item.warning,
    }
