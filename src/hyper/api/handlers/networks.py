"""Owns /networks: the predefined ones, until users can make their own."""

from aiohttp import web

from hyper.api.call import Call, json_response
from hyper.api.filters import Filters, flag, matches_any, parse_filters
from hyper.api.render.containers import network_id, network_name
from hyper.api.times import ZERO
from hyper.core.errors import Forbidden, NotFound

JSON = dict[str, object]
_DRIVERS = {"bridge": "bridge", "host": "host", "none": "null"}
_ALLOWED = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})


async def list_all(call: Call) -> web.StreamResponse:
    """GET /networks"""
    filters = parse_filters(call.text("filters"), _ALLOWED)
    return json_response([_show(call, name) for name in _DRIVERS if _matches(filters, name)])


def _matches(filters: Filters, name: str) -> bool:
    return (
        ("name" not in filters or any(text in name for text in filters["name"]))
        and ("id" not in filters or any(network_id(name).startswith(i) for i in filters["id"]))
        and matches_any(filters, "driver", _DRIVERS[name])
        and matches_any(filters, "scope", "local")
        and matches_any(filters, "type", "builtin")
        and "label" not in filters
        and not flag(filters, "dangling")
    )


async def inspect(call: Call) -> web.StreamResponse:
    """GET /networks/{id}"""
    return json_response(_show(call, _find(call.parameters["id"]), members=True))


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /networks/{id}"""
    name = _find(call.parameters["id"])
    raise Forbidden(f"{name} is a pre-defined network and cannot be removed")


async def prune(call: Call) -> web.StreamResponse:
    """POST /networks/prune"""
    parse_filters(call.text("filters"), {"label", "label!", "until"})
    return json_response({"NetworksDeleted": None})


def _find(reference: str) -> str:
    for name in _DRIVERS:
        if reference == name or (reference and network_id(name).startswith(reference)):
            return name
    raise NotFound("network", reference)


def _show(call: Call, name: str, members: bool = False) -> JSON:
    containers: JSON = {}
    if members:
        containers = {
            view.id: {
                "Name": view.name,
                "EndpointID": network_id(view.id + name),
                "MacAddress": view.network.mac,
                "IPv4Address": f"{view.network.address}/{view.network.prefix_length}",
                "IPv6Address": "",
            }
            for view in call.engine.containers.list()
            if network_name(view) == name and view.network.address
        }
    return {
        "Name": name,
        "Id": network_id(name),
        "Created": ZERO,
        "Scope": "local",
        "Driver": _DRIVERS[name],
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": containers,
        "Options": {},
        "Labels": {},
    }
