"""Owns images as Docker shows them: inspect, lists, history, and progress lines."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hyper.api.times import NS_PER_S, parse_time
from hyper.core.errors import InvalidArgument
from hyper.engine.views import ContainerView
from hyper.images.catalog import Image
from hyper.images.removal import ImageUse, Uses

if TYPE_CHECKING:
    from hyper.images.archive_load import Loaded

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
        "Labels": dict(own.labels),
        "OnBuild": list(own.onbuild) or None,
        "Volumes": {path: {} for path in own.volumes} or None,
        "ExposedPorts": {port: {} for port in own.exposed_ports} or None,
        "Healthcheck": own.healthcheck,
        "StopSignal": own.stop_signal,
        "Shell": None if own.shell is None else list(own.shell),
    }
    optional = ("Volumes", "ExposedPorts", "Healthcheck", "StopSignal", "Shell")
    return {name: value for name, value in shown.items() if value or name not in optional}


def summary(image: Image, containers: int) -> JSON:
    """Return an item of GET /images/json."""
    return {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": list(image.references),
        "RepoDigests": list(image.digests),
        "Created": created_ns(image) // NS_PER_S,
        "Size": image.size_bytes,
        "SharedSize": -1,
        "Labels": dict(image.config.labels),
        "Containers": containers,
    }


def history(image: Image) -> list[JSON]:
    """Return the body of GET /images/{name}/history, newest step first."""
    shown: list[JSON] = []
    for entry in image.history:
        created = str(entry.get("created") or "")
        shown.append(
            {
                "Id": "<missing>",
                "Created": parse_time(created, "created") // NS_PER_S if created else 0,
                "CreatedBy": entry.get("created_by") or "",
                "Tags": None,
                "Size": 0,
                "Comment": entry.get("comment") or "",
            }
        )
    shown.reverse()
    if shown:
        shown[0] |= {"Id": image.id, "Tags": list(image.references) or None}
    return shown


def loaded(images: "Iterable[Loaded]") -> Iterator[JSON]:
    """Yield the last lines of a load: names, or ids of images that have none."""
    for item in images:
        names = [f"Loaded image: {name}" for name in item.references]
        for text in names or [f"Loaded image ID: {item.id}"]:
            yield {"stream": text + "\n"}


def uses(views: Iterable[ContainerView]) -> Uses:
    """Return the containers that use each image."""
    found: dict[str, list[ImageUse]] = {}
    for view in views:
        found.setdefault(view.spec.image_id, []).append(ImageUse(view.id, view.active))
    return found
