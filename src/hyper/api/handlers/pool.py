"""Owns /hyper/v1/pool: the VMs that wait for a pod."""

from aiohttp import web

from hyper.api.call import Call, json_response
from hyper.api.render import pool as render
from hyper.core.values import read_int


async def show(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/pool"""
    return json_response(render.pool(call.engine.pool))


async def change(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pool: {"Waiting", "Shapes"}; what is left out stays as it is."""
    body = await call.body()
    wanted = [
        None if body.get(key) is None else read_int(body[key], key) for key in ("Waiting", "Shapes")
    ]
    call.engine.pool.change(*wanted)
    return json_response(render.pool(call.engine.pool))
