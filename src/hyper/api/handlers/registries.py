"""Owns what moves images between the store and registries or clients: pull, push, import."""

from collections.abc import AsyncIterator, Callable

from aiohttp import web

from hyper.api.call import Call
from hyper.api.progress import Line, stream_progress
from hyper.core.errors import InvalidArgument, Unsupported
from hyper.images.build import Change
from hyper.images.changes import apply
from hyper.images.credentials import Credentials, from_header
from hyper.images.manifest import Platform
from hyper.images.push import push as push_image
from hyper.images.reference import parse


def _credentials(call: Call) -> Credentials | None:
    return from_header(call.request.headers.get("X-Registry-Auth", ""))


async def create(call: Call) -> web.StreamResponse:
    """POST /images/create: pull an image, or import one from the body."""
    if source := call.text("fromSrc"):
        return await _import(call, source)
    name, tag = call.text("fromImage"), call.text("tag")
    if not name:
        raise InvalidArgument("invalid reference format")
    if tag:
        name = f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
    name = str(parse(name).tagged())
    auth = _credentials(call)

    async def work(put: Callable[[Line], None]) -> None:
        await call.engine.images.pull(
            name,
            auth=auth,
            platform=call.text("platform"),
            progress=lambda step: put(step.as_json()),
        )

    return await stream_progress(call, work)


async def _import(call: Call, source: str) -> web.StreamResponse:
    if source != "-":
        raise Unsupported(
            "ImageCreate is not supported with a URL as fromSrc: fetch it and send it as the body"
        )
    name = call.text("repo")
    if name and call.text("tag"):
        name = f"{name}:{call.text('tag')}"
    changes = call.request.query.getall("changes", [])
    apply({}, changes)  # bad instructions are refused before anything is read
    platform = Platform.parse(call.text("platform")) if call.text("platform") else None
    change = Change(
        lambda config: apply(config, changes),
        comment=call.text("message") or "Imported from -",
        architecture=platform.architecture if platform else "",
        variant=platform.variant if platform else "",
    )

    async def body() -> AsyncIterator[bytes]:
        async for chunk in call.request.content.iter_any():
            yield chunk

    async def work(put: Callable[[Line], None]) -> None:
        image = await call.engine.images.create(body(), change, name=name)
        put({"status": image.id})

    return await stream_progress(call, work)


async def push(call: Call) -> web.StreamResponse:
    """POST /images/{name}/push"""
    name = call.parameters["name"]
    if call.text("tag"):
        name = f"{name}:{call.text('tag')}"
    name = str(parse(name).tagged())
    auth = _credentials(call)

    async def work(put: Callable[[Line], None]) -> None:
        await push_image(
            call.engine.images.shelf, name, auth=auth, progress=lambda step: put(step.as_json())
        )

    return await stream_progress(call, work)
