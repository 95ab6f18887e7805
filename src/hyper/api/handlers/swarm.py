"""Owns what belongs to a swarm: answered as by an engine that is not part of one."""

from aiohttp import web

from hyper.api.call import Call
from hyper.core.errors import Unavailable


async def outside(call: Call) -> web.StreamResponse:
    """Any request about a swarm."""
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to '
        "connect this node to swarm and try again."
    )
