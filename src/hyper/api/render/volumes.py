"""Owns volumes as Docker shows them."""

from hyper.api.times import rfc3339
from hyper.engine.views import VolumeView

JSON = dict[str, object]


def show(volume: VolumeView, size_bytes: int | None = None) -> JSON:
    """Return a Volume object; with its usage when `size_bytes` is known."""
    shown: JSON = {
        "CreatedAt": rfc3339(volume.created_ns),
        "Driver": volume.driver,
        "Labels": dict(volume.labels) or None,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": dict(volume.options) or None,
        "Scope": "local",
    }
    if size_bytes is not None:
        shown["UsageData"] = {"RefCount": volume.reference_count, "Size": size_bytes}
    return shown
