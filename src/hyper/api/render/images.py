"""Owns images as Docker shows them: inspect, lists, history, and progress lines."""

from collections.abc import Iterable

from hyper.api.times import NS_PER_S, parse_time
from hyper.core.errors import InvalidArgument
from hyper.core.values import by_key
from hyper.engine.views import ContainerView
from hyper.images.catalog import Image
from hyper.images.removal import ImageUse, Uses
from hyper.images.usage import HistoryEntry

JSON = dict[str, object]


def created_ns(image: Image) -> int:
    """Return when an image was made, 0 when it does not say."""
    try:
        return parse_time(image.created, "created") if image.created else 0
    except InvalidArgument:
        return 0


def inspect(image: Image) -> JSON:
    """Return the body of GET /images/{name}/json."""
    shown: JSON = {
        "Id": image.id,
        "RepoTags": list(image.references),
        "RepoDigests": list(image.digests),
        "Parent": image.parent,
        "Comment": image.comment,
        "DockerVersion": "",
        "Author": image.author,
        "Config": config(image),
        "Architecture": image.architecture,
        "Variant": image.variant,
        "Os": image.os,
        "Size": image.size_bytes,
        "GraphDriver": {"Name": "squashfs", "Data": {}},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }
    if image.created:
        shown["Created"] = image.created
    return shown


def config(image: Image) -> JSON:
    """Return the Config object of an image, with Docker's field names."""
    own = image.config
    shown: JSON = {
        "User": own.user,
        "Env": list(own.env),
        "Cmd": None if own.cmd is None else list(own.cmd),
        "WorkingDir": own.working_dir,
        "Entrypoint": None if own.entrypoint is None else list(own.entrypoint),
        "Labels": by_key(own.labels),
        "OnBuild": list(own.onbuild) or None,
        "Volumes": {path: {} for path in sorted(own.volumes)} or None,
        "ExposedPorts": {port: {} for port in sorted(own.exposed_ports)} or None,
        "Healthcheck": own.healthcheck,
        "StopSignal": own.stop_signal,
        "Shell": None if own.shell is None else list(own.shell),
    }
    optional = ("Volumes", "ExposedPorts", "Healthcheck", "StopSignal", "Shell")
    return {name: value for name, value in shown.items() if value or name not in optional}


def summary(image: Image, containers: int, shared_bytes: int = -1) -> JSON:
    """Return an item of GET /images/json."""
    return {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": list(image.references),
        "RepoDigests": list(image.digests),
        "Created": created_ns(image) // NS_PER_S,
        "Size": image.size_bytes,
        "SharedSize": shared_bytes,
        "Labels": by_key(image.config.labels),
        "Containers": containers,
    }


def history(entries: Iterable[HistoryEntry]) -> list[JSON]:
    """Return the body of GET /images/{name}/history, newest step first."""
    return [
        {
            "Id": entry.id,
            "Created": entry.created_s,
            "CreatedBy": entry.created_by,
            "Tags": list(entry.tags) or None,
            "Size": entry.size_bytes,
            "Comment": entry.comment,
        }
        for entry in entries
    ]


def uses(views: Iterable[ContainerView]) -> Uses:
    """Return the containers that use each image."""
    found: dict[str, list[ImageUse]] = {}
    for view in views:
        found.setdefault(view.spec.image_id, []).append(ImageUse(view.id, view.active))
    return found
