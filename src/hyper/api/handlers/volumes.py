"""Owns /volumes."""

from aiohttp import web

from hyper.api.call import Call, json_response, no_content
from hyper.api.event_records import record_prune
from hyper.api.filters import (
    Filters,
    excludes_labels,
    flag,
    matches_any,
    matches_labels,
    parse_filters,
)
from hyper.api.render import volumes as render
from hyper.core.errors import Conflict, Unsupported
from hyper.core.values import read_pairs, read_string
from hyper.engine.views import VolumeView

# moby gives a volume without a name this label; `prune` takes only those unless told otherwise.
ANONYMOUS_LABEL = "com.docker.volume.anonymous"


async def list_all(call: Call) -> web.StreamResponse:
    """GET /volumes"""
    filters = parse_filters(call.text("filters"), {"dangling", "driver", "label", "name"})
    dangling = flag(filters, "dangling") if "dangling" in filters else None
    found = [
        render.show(volume)
        for volume in await call.engine.volumes.list()
        if (dangling is None or dangling is (volume.reference_count == 0))
        and matches_any(filters, "driver", volume.driver)
        and matches_labels(filters, dict(volume.labels))
        and _named(filters, volume)
    ]
    return json_response({"Volumes": found, "Warnings": None})


def _named(filters: Filters, volume: VolumeView) -> bool:
    return "name" not in filters or any(text in volume.name for text in filters["name"])


async def create(call: Call) -> web.StreamResponse:
    """POST /volumes/create"""
    body = await call.body()
    if body.get("ClusterVolumeSpec") is not None:
        raise Unsupported("ClusterVolumeSpec is not supported: Hyper does not form swarms")
    name = read_string(body.get("Name") or "", "Name")
    labels = read_pairs(body.get("Labels"), "Labels")
    volume = await call.engine.volumes.create(
        name,
        driver=read_string(body.get("Driver") or "", "Driver"),
        labels=labels if name else (*labels, (ANONYMOUS_LABEL, "")),
        options=read_pairs(body.get("DriverOpts"), "DriverOpts"),
        anonymous=not name,
    )
    return json_response(render.show(volume), 201)


async def inspect(call: Call) -> web.StreamResponse:
    """GET /volumes/{name}"""
    return json_response(render.show(await call.engine.volumes.get(call.parameters["name"])))


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /volumes/{name}"""
    await call.engine.volumes.remove(call.parameters["name"], call.flag("force"))
    return no_content()


async def prune(call: Call) -> web.StreamResponse:
    """POST /volumes/prune"""
    filters = parse_filters(call.text("filters"), {"label", "label!", "all"})
    everything = flag(filters, "all", call.version < (1, 42))
    deleted: list[str] = []
    space = 0
    for volume in await call.engine.volumes.list():
        labels = dict(volume.labels)
        if (
            volume.reference_count
            or not (everything or volume.anonymous)
            or not matches_labels(filters, labels)
            or excludes_labels(filters, labels)
        ):
            continue
        try:
            size = await call.engine.volumes.usage_bytes(volume.name)
            await call.engine.volumes.remove(volume.name)
        except Conflict:
            continue  # a container took it meanwhile
        deleted.append(volume.name)
        space += max(size, 0)
    await record_prune(call, "volume", space)
    return json_response({"VolumesDeleted": deleted or None, "SpaceReclaimed": space})
