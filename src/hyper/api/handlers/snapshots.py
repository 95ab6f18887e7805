"""Owns /hyper/v1/volumes/{name}: snapshots and sizes of volumes that are disk images."""

from aiohttp import web

from hyper.api.call import Call, json_response, no_content
from hyper.api.render import volumes as render
from hyper.core.errors import InvalidArgument
from hyper.core.values import read_int, read_string


async def list_all(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/volumes/{name}/snapshots"""
    found = await call.engine.snapshots.list(call.parameters["name"])
    return json_response({"Items": [render.snapshot(item) for item in found]})


async def create(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/volumes/{name}/snapshots: {"Name"}"""
    body = await call.body()
    name = read_string(body.get("Name") or "", "Name")
    taken = await call.engine.snapshots.take(call.parameters["name"], name)
    return json_response(render.snapshot(taken), 201)


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /hyper/v1/volumes/{name}/snapshots/{snapshot}"""
    await call.engine.snapshots.remove(call.parameters["name"], call.parameters["snapshot"])
    return no_content()


async def restore(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/volumes/{name}/snapshots/{snapshot}/restore"""
    names = call.parameters
    return json_response(
        render.show(await call.engine.snapshots.restore(names["name"], names["snapshot"]))
    )


async def resize(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/volumes/{name}/resize: {"Size"} in bytes"""
    body = await call.body()
    size = read_int(body.get("Size") or 0, "Size")
    if size <= 0:
        raise InvalidArgument("Size: a number of bytes is needed")
    return json_response(
        render.show(await call.engine.snapshots.resize(call.parameters["name"], size))
    )
