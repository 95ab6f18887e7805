"""Owns /networks."""

from aiohttp import web

from hyper.api.call import Call, json_response
from hyper.api.event_records import record_prune
from hyper.api.filters import (
    Filters,
    excludes_labels,
    flag,
    matches_any,
    matches_labels,
    parse_filters,
    until_ns,
)
from hyper.api.render.containers import endpoint_id
from hyper.api.times import rfc3339
from hyper.core.errors import Forbidden, InvalidArgument, NotFound
from hyper.core.values import by_key, read_bool, read_string
from hyper.engine.views import NetworkInfo
from hyper.schema.networks import parse_network, read_endpoint

JSON = dict[str, object]
_ALLOWED = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})


async def list_all(call: Call) -> web.StreamResponse:
    """GET /networks"""
    filters = parse_filters(call.text("filters"), _ALLOWED)
    found = [i for i in call.engine.networks.registry.list() if _matches(call, filters, i)]
    if call.version < (1, 28):  # which had the members in the list, too
        return json_response([_show(info) | {"Containers": _members(call, info)} for info in found])
    return json_response([_show(info) for info in found])


def _matches(call: Call, filters: Filters, info: NetworkInfo) -> bool:
    for kind in filters.get("type", ()):
        if kind not in ("builtin", "custom"):
            raise InvalidArgument(f"invalid filter: 'type'='{kind}'")
    spec = info.spec
    used = bool(call.engine.networks.members(info.id))
    dangling = flag(filters, "dangling") if "dangling" in filters else None
    return (
        ("name" not in filters or any(text in spec.name for text in filters["name"]))
        and ("id" not in filters or any(info.id.startswith(i) for i in filters["id"]))
        and matches_any(filters, "driver", spec.driver)
        and matches_any(filters, "scope", "local")
        and matches_any(filters, "type", "builtin" if info.predefined else "custom")
        and matches_labels(filters, dict(spec.labels))
        and (dangling is None or (not info.predefined and dangling is not used))
    )


async def inspect(call: Call) -> web.StreamResponse:
    """GET /networks/{id}"""
    call.flag("verbose")  # what it adds is a swarm's
    info = call.engine.networks.registry.find(call.parameters["id"])
    if call.text("scope") not in ("", "local"):
        raise NotFound("network", call.parameters["id"])
    return json_response(_show(info) | {"Containers": _members(call, info)})


def _members(call: Call, info: NetworkInfo) -> JSON:
    return {
        member.container_id: {
            "Name": member.name,
            "EndpointID": endpoint_id(member.container_id, info.id),
            "MacAddress": member.mac,
            "IPv4Address": f"{member.address}/{member.prefix_length}",
            "IPv6Address": f"{member.address6}/{member.prefix_length6}" if member.address6 else "",
        }
        for member in call.engine.networks.members(info.id)
    }


async def create(call: Call) -> web.StreamResponse:
    """POST /networks/create"""
    spec = parse_network(await call.body())
    info = await call.engine.networks.create(spec)
    return json_response({"Id": info.id, "Warning": ""}, 201)


async def connect(call: Call) -> web.StreamResponse:
    """POST /networks/{id}/connect"""
    body = await call.body()
    info = call.engine.networks.registry.find(call.parameters["id"])
    endpoint = read_endpoint(info.spec.name, body.get("EndpointConfig"), "EndpointConfig")
    container = read_string(body.get("Container"), "Container")
    await call.engine.networks.connect(info.id, container, endpoint)
    return web.Response(status=200)


async def disconnect(call: Call) -> web.StreamResponse:
    """POST /networks/{id}/disconnect"""
    body = await call.body()
    container = read_string(body.get("Container"), "Container")
    force = read_bool(body.get("Force") or False, "Force")
    await call.engine.networks.disconnect(call.parameters["id"], container, force=force)
    return web.Response(status=200)


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /networks/{id}"""
    found = call.engine.networks.registry.find(call.parameters["id"])
    if names := call.engine.balancing.on_network(found.id):
        raise Forbidden(
            f"error while removing network: network {found.spec.name} has services "
            f"({', '.join(names)}): hyper kube down, or DELETE /hyper/v1/services/NAME"
        )
    await call.engine.networks.remove(found.id)
    return web.Response(status=204)


async def prune(call: Call) -> web.StreamResponse:
    """POST /networks/prune"""
    filters = parse_filters(call.text("filters"), {"label", "label!", "until"})
    until = until_ns(filters)
    chosen = [
        info
        for info in call.engine.networks.registry.list()
        if (until is None or info.created_ns < until)
        and matches_labels(filters, dict(info.spec.labels))
        and not excludes_labels(filters, dict(info.spec.labels))
        and not call.engine.balancing.on_network(info.id)
    ]
    deleted = await call.engine.networks.prune(chosen)
    await record_prune(call, "network")
    return json_response({"NetworksDeleted": deleted or None})


def _show(info: NetworkInfo) -> JSON:
    spec = info.spec
    plans: list[JSON] = []
    for plan in spec.subnets:
        shown: JSON = {"Subnet": plan.subnet}
        if plan.ip_range:
            shown["IPRange"] = plan.ip_range
        shown["Gateway"] = plan.gateway
        if plan.auxiliary:
            shown["AuxiliaryAddresses"] = dict(plan.auxiliary)
        plans.append(shown)
    ipam_options = dict(spec.ipam_options) or (None if info.predefined else {})
    return {
        "Name": spec.name,
        "Id": info.id,
        "Created": rfc3339(info.created_ns),
        "Scope": "local",
        "Driver": spec.driver,
        "EnableIPv4": True,
        "EnableIPv6": spec.ipv6,
        "IPAM": {"Driver": "default", "Options": ipam_options, "Config": plans},
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": by_key(spec.options),
        "Labels": by_key(spec.labels),
    }
