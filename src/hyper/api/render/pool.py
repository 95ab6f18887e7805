"""Owns the pool of waiting VMs as Hyper's own API shows it."""

from hyper.api.times import rfc3339
from hyper.engine.pool import Pool
from hyper.hypervisor.factory import Shape

JSON = dict[str, object]


def pool(state: Pool) -> JSON:
    """Return what the pool is to keep, and what it has."""
    options = state.options
    return {
        "Templates": options.templates,
        "Waiting": options.waiting,
        "Shapes": options.shapes,
        "Items": [_shape(shape) for shape in state.shapes()],
    }


def _shape(shape: Shape) -> JSON:
    spec = shape.spec
    return {
        "Key": shape.key,
        "VCpus": spec.vcpus if spec else 0,
        "Memory": spec.memory_bytes if spec else 0,
        "Kernel": str(spec.kernel) if spec else "",
        "Waiting": shape.waiting,
        "Zygote": shape.zygote,
        "TemplateSize": shape.template_bytes,
        "TemplateUsed": rfc3339(int(shape.used_s * 1e9)) if shape.used_s else "",
        "Failures": shape.failures,
    }
