"""Owns volumes as Docker shows them."""

from hyper.api.times import rfc3339
from hyper.core.pod_spec import Medium, VolumeSource
from hyper.core.values import by_key
from hyper.engine.views import VolumeView
from hyper.storage.volume_disks import Snapshot

JSON = dict[str, object]


def show(volume: VolumeView, size_bytes: int | None = None) -> JSON:
    """Return a Volume object; with its usage when `size_bytes` is known."""
    shown: JSON = {
        "CreatedAt": rfc3339(volume.created_ns),
        "Driver": volume.driver,
        "Labels": by_key(volume.labels) or None,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": by_key(volume.options) or None,
        "Scope": "local",
    }
    if volume.source is not None:
        shown["Status"] = _status(volume.source)
    if size_bytes is not None:
        shown["UsageData"] = {"RefCount": volume.reference_count, "Size": size_bytes}
    return shown


def _status(source: VolumeSource) -> JSON:
    """Return what carries a volume, for the place Docker has for a driver's own words."""
    shown: JSON = {"Medium": str(source.medium), "ReadOnly": source.read_only}
    if source.source:
        shown["Source"] = source.source
    if source.medium is Medium.DISK:
        shown |= {"Format": source.image_format, "FileSystem": source.fstype}
    if source.size_bytes:
        shown["SizeBytes"] = source.size_bytes
    return shown


def snapshot(item: Snapshot) -> JSON:
    """Return a snapshot."""
    return {
        "Name": item.name,
        "CreatedAt": rfc3339(item.created_ns),
        "SizeBytes": item.size_bytes,
        "StoredBytes": item.stored_bytes,
    }
