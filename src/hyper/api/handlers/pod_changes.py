"""Owns what of a pod is changed live: /hyper/v1/pods/{id}/services, /ports, /resize."""

from collections.abc import Mapping

from aiohttp import web

from hyper.api.call import Call, json_response, no_content
from hyper.api.render import pods as render
from hyper.core.errors import InvalidArgument
from hyper.core.pod_spec import PodPort, PodService
from hyper.core.values import read_int, read_list
from hyper.schema.pod_document import PORT, SERVICE


async def services(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/pods/{id}/services"""
    view = call.engine.pods.get(call.parameters["id"])
    return json_response([render.service(item) for item in view.spec.services])


async def set_service(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/services: a service of the pod document."""
    service: PodService = SERVICE.read(await call.body(), "")
    await call.engine.pod_changes.set_service(call.parameters["id"], service)
    return json_response(render.service(service), 201)


async def remove_service(call: Call) -> web.StreamResponse:
    """DELETE /hyper/v1/pods/{id}/services/{name}"""
    await call.engine.pod_changes.remove_service(call.parameters["id"], call.parameters["name"])
    return no_content()


async def ports(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/pods/{id}/ports"""
    view = call.engine.pods.get(call.parameters["id"])
    return json_response([render.port(item) for item in view.network.ports])


async def _read_ports(call: Call) -> tuple[PodPort, ...]:
    found: list[PodPort] = []
    for at, item in enumerate(read_list((await call.body()).get("portmappings"), "portmappings")):
        found += PORT.read(item, f"portmappings[{at}]")
    return tuple(found)


async def add_ports(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/ports: {"portmappings": [...]}"""
    view = await call.engine.pod_changes.publish(
        call.parameters["id"], added=await _read_ports(call)
    )
    return json_response([render.port(item) for item in view.network.ports], 201)


async def remove_ports(call: Call) -> web.StreamResponse:
    """DELETE /hyper/v1/pods/{id}/ports: {"portmappings": [...]}"""
    await call.engine.pod_changes.publish(call.parameters["id"], removed=await _read_ports(call))
    return no_content()


def _amount(body: Mapping[str, object], name: str) -> int:
    """Return what a body wants to have of something, 0 if it does not say."""
    if body.get(name) is None:
        return 0
    amount = read_int(body[name], name)
    if amount < 1:
        raise InvalidArgument(f"{name}: {amount}: a pod needs more than that")
    return amount


async def resize(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/resize: {"VCpus": 2, "Memory": 268435456}"""
    body = await call.body()
    vcpus, memory_bytes = _amount(body, "VCpus"), _amount(body, "Memory")
    if not vcpus and not memory_bytes:
        raise InvalidArgument("VCpus or Memory is needed")
    view = await call.engine.pod_changes.resize(call.parameters["id"], vcpus, memory_bytes)
    return json_response({"VCpus": view.spec.vcpus, "Memory": view.spec.memory_bytes})
