"""Owns what moves images between the store and registries or clients: pull, push, import."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from aiohttp import web

from hyper.api import event_records
from hyper.api.call import Call, json_response
from hyper.api.platforms import check_platform
from hyper.api.progress import Line, stream_progress
from hyper.core.errors import Failure, InvalidArgument, Unauthorized
from hyper.core.values import read_string
from hyper.images import download, remote
from hyper.images.build import Change
from hyper.images.changes import apply
from hyper.images.credentials import Credentials, from_header
from hyper.images.manifest import Platform
from hyper.images.pull import pull_all
from hyper.images.push import push as push_image
from hyper.images.reference import parse, parse_repository
from hyper.images.shelf import Progress


def _credentials(call: Call) -> Credentials | None:
    return from_header(call.request.headers.get("X-Registry-Auth", ""))


async def login(call: Call) -> web.StreamResponse:
    """POST /auth: check credentials with their registry."""
    body = await call.body()
    known = Credentials(
        read_string(body.get("username") or "", "username"),
        read_string(body.get("password") or "", "password"),
        read_string(body.get("identitytoken") or "", "identitytoken"),
        read_string(body.get("registrytoken") or "", "registrytoken"),
    )
    server = read_string(body.get("serveraddress") or "", "serveraddress")
    token = await remote.login(call.engine.images.shelf, server, known)
    return json_response({"Status": "Login Succeeded", "IdentityToken": token})


async def distribution(call: Call) -> web.StreamResponse:
    """GET /distribution/{name}/json: what a name stands for at its registry."""
    found = await remote.inspect(
        call.engine.images.shelf, call.parameters["name"], _credentials(call)
    )
    platforms = [
        {"architecture": item.architecture, "os": item.os}
        | ({"variant": item.variant} if item.variant else {})
        for item in found.platforms
    ]
    descriptor = {
        "mediaType": found.media_type,
        "digest": found.digest,
        "size": found.size_bytes,
    }
    return json_response({"Descriptor": descriptor, "Platforms": platforms})


async def create(call: Call) -> web.StreamResponse:
    """POST /images/create: pull an image, or import one from the body."""
    if source := call.text("fromSrc"):
        return await _import(call, source)
    name, tag = call.text("fromImage"), call.text("tag")
    if not name:
        raise InvalidArgument("invalid reference format")
    if tag:
        name = f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
    wanted = parse(name)
    auth, platform = _credentials(call), call.text("platform")

    async def work(put: Callable[[Line], None]) -> None:
        def report(step: Progress) -> None:
            put(step.as_json())

        try:
            if wanted.tag or wanted.digest:
                images = call.engine.images
                await images.pull(str(wanted), auth=auth, platform=platform, progress=report)
            else:
                shelf = call.engine.images.shelf
                await pull_all(shelf, str(wanted), auth, platform, report)
        except Unauthorized as err:
            # With 401, which dockerd never answers here, the docker command asks for a password.
            raise Failure(str(err)) from err
        await event_records.record(call, "pull", wanted.familiar(), name=wanted.familiar_name)

    return await stream_progress(call, work)


async def _import(call: Call, source: str) -> web.StreamResponse:
    url = "" if source == "-" else download.address(source)
    name = call.text("repo")
    if name and call.text("tag"):
        name = f"{name}:{call.text('tag')}"
    changes = call.request.query.getall("changes", [])
    apply({}, changes)  # bad instructions are refused before anything is read
    platform = Platform.parse(call.text("platform")) if call.text("platform") else None
    change = Change(
        lambda config: apply(config, changes),
        comment=call.text("message") or f"Imported from {source}",
        architecture=platform.architecture if platform else "",
        variant=platform.variant if platform else "",
    )

    async def body(put: Callable[[Line], None]) -> AsyncGenerator[bytes, None]:
        if not url:
            async for chunk in call.request.content.iter_any():
                yield chunk
            return
        http = call.engine.images.shelf.http
        async with aclosing(download.download(http, url, lambda step: put(step.as_json()))) as got:
            async for chunk in got:
                yield chunk

    async def work(put: Callable[[Line], None]) -> None:
        async with aclosing(body(put)) as archive:
            image = await call.engine.images.create(archive, change, name=name)
        put({"status": image.id})
        if name:
            familiar = parse(name).tagged().familiar()
            await event_records.record(call, "tag", image.id, name=familiar)
        await event_records.record(call, "import", image.id)

    return await stream_progress(call, work)


async def push(call: Call) -> web.StreamResponse:
    """POST /images/{name}/push"""
    name = call.parameters["name"]
    if call.text("tag"):
        name = f"{name}:{call.text('tag')}"
    auth = _credentials(call)
    wanted = parse_repository(name)
    if call.text("platform"):
        check_platform(call, call.engine.images.get(name), name, (1, 46))

    async def work(put: Callable[[Line], None]) -> None:
        await push_image(
            call.engine.images.shelf, name, auth=auth, progress=lambda step: put(step.as_json())
        )
        await event_records.record(call, "push", wanted.familiar(), name=wanted.familiar_name)

    # dockerd has said which repository it pushes to before anything can fail.
    return await stream_progress(call, work, errors_in_stream=True)
