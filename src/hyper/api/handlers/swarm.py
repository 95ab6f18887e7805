"""Owns what belongs to a swarm: answered as by an engine that is not part of one."""

from aiohttp import web

from hyper.api.call import Call
from hyper.core.errors import InvalidArgument, Unavailable

_LARGEST_VERSION = 2**64 - 1


async def outside(call: Call) -> web.StreamResponse:
    """Any request about a swarm."""
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to '
        "connect this node to swarm and try again."
    )


async def leave(call: Call) -> web.StreamResponse:
    """POST /swarm/leave"""
    raise Unavailable("This node is not part of a swarm")


async def update_swarm(call: Call) -> web.StreamResponse:
    """POST /swarm/update"""
    return await _update(call, "swarm")


async def update_node(call: Call) -> web.StreamResponse:
    """POST /nodes/{id}/update"""
    return await _update(call, "node")


async def update_service(call: Call) -> web.StreamResponse:
    """POST /services/{id}/update"""
    return await _update(call, "service")


async def update_secret(call: Call) -> web.StreamResponse:
    """POST /secrets/{id}/update"""
    return await _update(call, "secret")


async def update_config(call: Call) -> web.StreamResponse:
    """POST /configs/{id}/update"""
    return await _update(call, "config")


async def _update(call: Call, kind: str) -> web.StreamResponse:
    text = call.text("version")
    if not text.isascii() or not text.isdigit() or int(text) > _LARGEST_VERSION:
        why = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
        raise InvalidArgument(
            f"invalid {kind} version '{text}': strconv.ParseUint: parsing \"{text}\": {why}"
        )
    return await outside(call)


async def logs(call: Call) -> web.StreamResponse:
    """GET /services/{id}/logs and /tasks/{id}/logs"""
    if not (call.flag("stdout") or call.flag("stderr")):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    return await outside(call)
