"""Owns /_ping, /version, /info, /system/df and /events."""

from contextlib import aclosing

from aiohttp import web

from hyper.api.call import Call, json_response
from hyper.api.event_filters import ALLOWED, matches
from hyper.api.event_records import record_prune
from hyper.api.event_stream import event_stream
from hyper.api.filters import parse_filters
from hyper.api.handlers.images import image_users
from hyper.api.render import containers, images, older, system, volumes
from hyper.api.shown_images import image_names
from hyper.api.times import parse_time
from hyper.core.errors import InvalidArgument
from hyper.images.usage import layers_bytes
from hyper.images.usage import usage as usage_of

_PING_HEADERS = {
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Swarm": "inactive",
    "Builder-Version": "1",
}


async def ping(call: Call) -> web.StreamResponse:
    """GET and HEAD /_ping"""
    if call.request.method == "HEAD":
        return web.Response(headers={**_PING_HEADERS, "Content-Length": "0"})
    return web.Response(text="OK", headers=_PING_HEADERS)


async def version(call: Call) -> web.StreamResponse:
    """GET /version"""
    return json_response(system.version())


async def info(call: Call) -> web.StreamResponse:
    """GET /info"""
    facts = await call.engine.system.info()
    shown = system.info(facts, len(call.engine.images.list()), len(call.engine.events))
    return json_response(older.info(shown, call.version))


async def usage(call: Call) -> web.StreamResponse:
    """GET /system/df"""
    kinds = call.request.query.getall("type", ["container", "image", "volume", "build-cache"])
    for kind in kinds:
        if kind not in ("container", "image", "volume", "build-cache"):
            raise InvalidArgument(f"unknown object type: {kind}")
    shown: dict[str, object] = {}
    if "image" in kinds:
        users = image_users(call)
        found = call.engine.images.list()
        shared = {item.image_id: item for item in usage_of(call.engine.images.shelf, found)}
        shown["Images"] = [
            older.image_summary(
                images.summary(image, users.get(image.id, 0), shared[image.id].shared_bytes),
                call.version,
            )
            for image in found
        ]
        shown["LayersSize"] = layers_bytes(call.engine.images.shelf, found)
    if "container" in kinds:
        image = image_names(call.engine)
        views = call.engine.containers.list(all=True)
        sizes = await call.engine.system.container_sizes([view.id for view in views])
        shown["Containers"] = [
            older.container_summary(
                containers.summary(view, sizes[view.id], image(view)), call.version
            )
            for view in views
            if view.id in sizes
        ]
    if "volume" in kinds:
        shown["Volumes"] = [
            volumes.show(volume, await call.engine.volumes.usage_bytes(volume.name))
            for volume in await call.engine.volumes.list()
        ]
    if "build-cache" in kinds:
        shown["BuildCache"] = []
    return json_response(older.usage(shown, call.version))


async def prune_builds(call: Call) -> web.StreamResponse:
    """POST /build/prune: no build leaves anything (`docker system prune` asks for it)."""
    await record_prune(call, "builder")
    return json_response({"CachesDeleted": None, "SpaceReclaimed": 0})


async def events(call: Call) -> web.StreamResponse:
    """GET /events"""
    filters = parse_filters(call.text("filters"), ALLOWED)
    since_ns = parse_time(call.text("since"), "since")
    until_ns = parse_time(call.text("until"), "until")
    if until_ns and since_ns > until_ns:
        raise InvalidArgument(
            f"`since` time ({call.text('since')}) cannot be after "
            f"`until` time ({call.text('until')})"
        )
    response = web.StreamResponse(headers={"Content-Type": "application/json", **call.headers})
    engine = call.engine
    with call.connection.cancelling():
        await response.prepare(call.request)
        stream = event_stream(engine.events, engine.store, since_ns, until_ns)
        async with aclosing(stream) as happened:
            async for event in happened:
                if matches(filters, event):
                    await response.write(system.event_line(event))
    return response
