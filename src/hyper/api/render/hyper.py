"""Owns pods, kernels and checks of the host as Hyper's own API shows them."""

from hyper.api.times import rfc3339
from hyper.engine.kernels import Kernel
from hyper.engine.views import PodView
from hyper.hypervisor.check import Check

JSON = dict[str, object]


def pod(view: PodView) -> JSON:
    """Return a pod."""
    return {
        "Id": view.id,
        "Name": view.spec.name,
        "Created": rfc3339(view.created_ns),
        "State": str(view.state),
        "Containers": list(view.container_ids),
        "VCpus": view.spec.vcpus,
        "Memory": view.spec.memory_bytes,
        "Kernel": view.spec.kernel,
        "Labels": dict(view.spec.labels),
        "Pid": view.vmm_pid,
        "Accelerator": view.accelerator,
        "IPAddress": view.network.address,
    }


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
