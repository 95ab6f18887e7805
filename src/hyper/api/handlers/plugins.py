"""Owns /plugins: there are none, and clients that ask are told so."""

from aiohttp import web

from hyper.api.call import Call, json_response
from hyper.core.errors import NotFound


async def list_all(call: Call) -> web.StreamResponse:
    """GET /plugins"""
    return json_response([])


async def missing(call: Call) -> web.StreamResponse:
    """Any request about one plugin."""
    raise NotFound("plugin", call.parameters["name"])
