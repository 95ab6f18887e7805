"""Owns /images: list, inspect, history, tag, remove, prune, save and load."""

from collections.abc import AsyncIterator, Callable

from aiohttp import web

from hyper.api import event_records
from hyper.api.call import Call, json_response
from hyper.api.filters import flag, parse_filters
from hyper.api.image_filters import ALLOWED, PRUNE_ALLOWED, ImageFilter
from hyper.api.platforms import asked_platform, check_platform, read_platform
from hyper.api.progress import Line, stream_progress
from hyper.api.render import images as render
from hyper.api.render import older
from hyper.core.errors import InvalidArgument, Unsupported
from hyper.images.archive_save import expand
from hyper.images.reference import parse
from hyper.images.usage import history as history_of
from hyper.images.usage import usage as usage_of


async def list_all(call: Call) -> web.StreamResponse:
    """GET /images/json

    Without `all` those that only others are made from are left out. Digests are always shown.
    """
    _refuse_manifests(call)
    wanted = ImageFilter(parse_filters(call.text("filters"), ALLOWED), call.engine)
    found = call.engine.images.list()
    steps = set() if call.flag("all") else {image.parent for image in found}
    images = [
        wanted.shown(image)
        for image in found
        if wanted.matches(image) and (image.references or image.digests or image.id not in steps)
    ]
    images.sort(key=render.created_ns, reverse=True)
    users = image_users(call)
    shared: dict[str, int] = {}
    if call.flag("shared-size") and call.version >= (1, 42):
        everything = usage_of(call.engine.images.shelf, found)
        shared = {item.image_id: item.shared_bytes for item in everything}
    shown = [
        render.summary(image, users.get(image.id, 0), shared.get(image.id, -1)) for image in images
    ]
    return json_response([older.image_summary(item, call.version) for item in shown])


def _refuse_manifests(call: Call) -> None:
    if call.flag("manifests") and call.version >= (1, 47):
        raise Unsupported(
            "manifests=true is not supported: the store keeps one platform of each image"
        )


def image_users(call: Call) -> dict[str, int]:
    """Return how many containers use each image."""
    users: dict[str, int] = {}
    for view in call.engine.containers.list(all=True):
        users[view.spec.image_id] = users.get(view.spec.image_id, 0) + 1
    return users


async def inspect(call: Call) -> web.StreamResponse:
    """GET /images/{name}/json"""
    _refuse_manifests(call)
    name = call.parameters["name"]
    image = check_platform(call, call.engine.images.get(name), name, (1, 49))
    shown = render.inspect(image)
    return json_response(older.image(shown, call.version))


async def history(call: Call) -> web.StreamResponse:
    """GET /images/{name}/history"""
    images, name = call.engine.images, call.parameters["name"]
    image = check_platform(call, images.get(name), name, (1, 48))
    return json_response(render.history(history_of(images.shelf, image)))


async def tag(call: Call) -> web.StreamResponse:
    """POST /images/{name}/tag"""
    repository, label = call.text("repo"), call.text("tag")
    if not repository:
        raise InvalidArgument("invalid reference format")
    target = f"{repository}:{label}" if label else repository
    image = call.engine.images.get(call.parameters["name"])
    await call.engine.images.tag(call.parameters["name"], target)
    await event_records.record(call, "tag", image.id, name=parse(target).tagged().familiar())
    return web.Response(status=201)


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /images/{name}"""
    image = call.engine.images.get(call.parameters["name"])
    if call.version >= (1, 50):
        for text in call.request.query.getall("platforms", []):
            image.check_platform(read_platform(text), call.parameters["name"])
    removed = await call.engine.images.remove(
        call.parameters["name"],
        force=call.flag("force"),
        prune=not call.flag("noprune"),
        used_by=render.uses(call.engine.containers.list(all=True)),
    )
    shown = [item.as_json() for item in removed]
    await event_records.record_removal(call, image.id, shown)
    return json_response(shown)


async def prune(call: Call) -> web.StreamResponse:
    """POST /images/prune"""
    filters = parse_filters(call.text("filters"), PRUNE_ALLOWED)
    dangling = filters.get("dangling", ())
    # The docker command adds its own to the user's: as with dockerd, false wins.
    every = any(value.lower() in ("false", "0") for value in dangling)
    wanted = ImageFilter({name: values for name, values in filters.items() if name != "dangling"})
    removed, space = await call.engine.images.prune(
        [image for image in call.engine.images.list() if wanted.matches(image)],
        dangling=not every and flag(filters, "dangling", True),
        used_by=render.uses(call.engine.containers.list(all=True)),
    )
    deleted = [item.as_json() for item in removed]
    await event_records.record_removal(call, "", deleted)
    await event_records.record_prune(call, "image", space)
    return json_response({"ImagesDeleted": deleted or None, "SpaceReclaimed": space})


async def save_one(call: Call) -> web.StreamResponse:
    """GET /images/{name}/get"""
    return await _save(call, (call.parameters["name"],))


async def save_many(call: Call) -> web.StreamResponse:
    """GET /images/get"""
    names = tuple(name for name in call.request.query.getall("names", []) if name)
    return await _save(call, names)


async def _save(call: Call, names: tuple[str, ...]) -> web.StreamResponse:
    if not names:
        raise InvalidArgument("no image is named: give its name")
    names = tuple(each for name in names for each in expand(call.engine.images.shelf, name))
    images = dict.fromkeys(
        check_platform(call, call.engine.images.get(name), name, (1, 48)).id for name in names
    )
    response = web.StreamResponse(headers={"Content-Type": "application/x-tar", **call.headers})
    with call.connection.cancelling():
        await response.prepare(call.request)
        async for chunk in call.engine.images.save(names):
            await response.write(chunk)
    await event_records.record(call, "save", *images)
    return response


async def load(call: Call) -> web.StreamResponse:
    """POST /images/load"""
    quiet = call.flag("quiet")
    platform = asked_platform(call, (1, 48))

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in call.request.content.iter_any():
            yield chunk

    async def work(put: Callable[[Line], None]) -> None:
        loaded = await call.engine.images.load(
            chunks(),
            platform=platform,
            progress=lambda step: None if quiet else put(step.as_json()),
        )
        for item in loaded:
            for message in item.messages:
                put({"stream": message + "\n"})
        await event_records.record(call, "load", *(item.id for item in loaded))

    # dockerd answers 200 whatever the archive is; docker-py looks for the error in the stream.
    return await stream_progress(call, work, errors_in_stream=True)
