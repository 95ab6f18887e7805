"""Owns what a client does with a container's files: archive, changes, export, commit."""

import copy
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from hyper.api.call import Call, json_response
from hyper.api.render import files as render
from hyper.api.render.containers import show_image_config
from hyper.images.changes import apply
from hyper.images.manifest import Json
from hyper.images.reference import parse_tag
from hyper.schema.config import CONFIG
from hyper.schema.container import build_spec, show_config
from hyper.schema.fields import read_fields

_TAR = "application/x-tar"


async def stat(call: Call) -> web.StreamResponse:
    """HEAD /containers/{id}/archive"""
    found = await call.engine.files.stat(call.parameters["id"], call.text("path"))
    return web.Response(headers={render.STAT_HEADER: render.stat_header(found)})


async def read(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/archive"""
    with call.connection.cancelling():
        async with call.engine.files.archive(call.parameters["id"], call.text("path")) as (
            found,
            archive,
        ):
            headers = {render.STAT_HEADER: render.stat_header(found)}
            return await _send(call, archive, _TAR, headers)


async def write(call: Call) -> web.StreamResponse:
    """PUT /containers/{id}/archive"""

    async def body() -> AsyncIterator[bytes]:
        async for chunk in call.request.content.iter_any():
            yield chunk

    with call.connection.cancelling():
        await call.engine.files.extract(
            call.parameters["id"],
            call.text("path"),
            body(),
            keep_kinds=call.flag("noOverwriteDirNonDir"),
            own=call.flag("copyUIDGID"),
        )
    return web.Response()


async def changes(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/changes"""
    return json_response(render.changes(await call.engine.files.changes(call.parameters["id"])))


async def export(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/export"""
    with call.connection.cancelling():
        async with call.engine.files.export(call.parameters["id"]) as archive:
            return await _send(call, archive, "application/octet-stream", {})


async def _send(
    call: Call, archive: AsyncIterator[bytes], kind: str, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": kind, **call.headers, **headers})
    await response.prepare(call.request)
    async for piece in archive:
        await response.write(piece)
    await response.write_eof()
    return response


async def commit(call: Call) -> web.StreamResponse:
    """POST /commit"""
    view = call.engine.containers.get(call.text("container"))
    name = call.text("repo")
    if name and call.text("tag"):
        name = f"{name}:{call.text('tag')}"
    if name:
        parse_tag(name)  # a bad name is refused before anything is done
    given = _given_config(await call.body(required=False))
    instructions = call.request.query.getall("changes", [])
    apply({}, instructions)

    def configure(config: Json) -> None:
        own = _joined(show_image_config(view), config)
        changed = copy.deepcopy(given or own)
        apply(changed, instructions)
        config.clear()
        config.update(_merge(changed, own))

    image = await call.engine.files.commit(
        view.id,
        name,
        configure,
        comment=call.text("comment"),
        author=call.text("author"),
        pause=call.flag("pause", True),
    )
    return json_response({"Id": image.id}, 201)


def _given_config(body: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a client's Config, as Docker spells them. Raises InvalidArgument."""
    shown = show_config(build_spec(read_fields(CONFIG, body, "")))
    return {name: value for name, value in shown.items() if body.get(name) is not None}


def _joined(own: Json, image: Json) -> Json:
    """Return the config of a container together with that of its image."""
    joined = image | own
    for key in ("Labels", "ExposedPorts", "Volumes"):
        if image.get(key) or own.get(key):
            joined[key] = (image.get(key) or {}) | (own.get(key) or {})
    return joined


def _merge(new: Json, old: Json) -> Json:
    """Return a config with what `new` leaves open taken from `old` (moby daemon/commit.go)."""
    merged = {key: value for key, value in new.items() if value not in (None, "", [], {})}
    if not merged.get("Entrypoint"):
        if not merged.get("Cmd"):
            merged["Cmd"] = old.get("Cmd")
        merged["Entrypoint"] = old.get("Entrypoint")
    for key, value in old.items():
        ours = merged.get(key)
        if key in ("Labels", "ExposedPorts", "Volumes") and value:
            merged[key] = value | (ours or {})
        elif key == "Env" and ours:
            names = {item.partition("=")[0] for item in ours}
            merged[key] = [*ours, *(e for e in value or [] if e.partition("=")[0] not in names)]
        elif key not in ("Cmd", "Entrypoint") and not ours:
            merged[key] = value
    return merged
