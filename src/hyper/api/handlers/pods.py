"""Owns /hyper/v1/pods: what is done to pods as a whole."""

import contextlib
from dataclasses import replace

from aiohttp import web

from hyper.api.call import Call, json_response, no_content
from hyper.api.documents import parse_document
from hyper.api.filters import matches_any, matches_labels, parse_filters
from hyper.api.render import pods as render
from hyper.core.errors import HyperError, InvalidArgument, NotFound
from hyper.core.spec import ContainerSpec
from hyper.core.values import read_pairs, read_string, read_strings
from hyper.engine.file_sources import encoded, fetch
from hyper.engine.states import PodState
from hyper.engine.views import ContainerView, PodView
from hyper.schema.container import parse_create
from hyper.schema.own_api import document
from hyper.schema.pod_document import PodDocument, read_document

_FILTERS = frozenset({"label", "name", "state"})


async def api_document(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/openapi.json: what these endpoints take and give."""
    return json_response(document())


async def list_all(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/pods"""
    filters = parse_filters(call.text("filters"), _FILTERS)
    for state in filters.get("state", ()):
        if state not in tuple(PodState):
            raise InvalidArgument(f"invalid filter 'state={state}': {', '.join(PodState)} exist")
    lone = call.flag("lone", True)
    return json_response(
        [
            render.summary(view)
            for view in call.engine.pods.list()
            if (lone or not view.spec.lone)
            and matches_any(filters, "name", view.spec.name)
            and matches_any(filters, "state", str(view.state))
            and matches_labels(filters, dict(view.spec.labels))
        ]
    )


async def create(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods: the body is a pod document, YAML or JSON.

    With `start` the pod is started as well, and removed again when it does not start; with `rm` it
    is removed when its containers have ended.
    """
    asked = read_document(parse_document(await call.body_bytes()))
    if name := call.text("name"):
        asked = replace(asked, spec=replace(asked.spec, name=name))
    if call.flag("rm"):
        asked = replace(asked, spec=replace(asked.spec, follows=True, auto_remove=True))
    containers = asked.with_files(await _contents(call, asked))
    view = await call.engine.pod_verbs.create(asked.spec, containers)
    if call.flag("start"):
        try:
            await call.engine.pod_verbs.start(view.id)
        except HyperError:
            with contextlib.suppress(NotFound):  # with `rm` it may be gone already
                await call.engine.pod_verbs.remove(view.id, force=True, volumes=True)
            raise
    return json_response({"Id": view.id, "Name": view.spec.name}, 201)


async def _contents(call: Call, asked: PodDocument) -> dict[str, str]:
    """Return every file of a document as base64, fetched where it is by URI."""
    contents = {}
    for file in asked.files:
        if file.uri:
            data = await fetch(file.name, file.uri, call.engine.settings.pod_files)
        else:
            data = file.content.encode()
        contents[file.name] = encoded(file.name, data, file.encoding)
    return contents


def _containers(call: Call, view: PodView) -> list[ContainerView]:
    return [call.engine.containers.get(container_id) for container_id in view.container_ids]


async def inspect(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/pods/{id}"""
    view = call.engine.pods.get(call.parameters["id"])
    return json_response(render.inspect(view, _containers(call, view)))


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /hyper/v1/pods/{id}"""
    await call.engine.pod_verbs.remove(
        call.parameters["id"], force=call.flag("force"), volumes=call.flag("v")
    )
    return no_content()


async def start(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/start"""
    await call.engine.pod_verbs.start(call.parameters["id"])
    return no_content()


def _seconds(call: Call) -> float | None:
    seconds = call.integer("t")
    return None if seconds is None else float(seconds)


async def stop(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/stop"""
    await call.engine.pod_verbs.stop(call.parameters["id"], _seconds(call))
    return no_content()


async def restart(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/restart"""
    await call.engine.pod_verbs.restart(call.parameters["id"], _seconds(call))
    return no_content()


async def kill(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/kill"""
    await call.engine.pod_verbs.kill(call.parameters["id"], call.text("signal") or "KILL")
    return no_content()


async def pause(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/pause"""
    await call.engine.pod_verbs.set_paused(call.parameters["id"], True)
    return no_content()


async def unpause(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/unpause"""
    await call.engine.pod_verbs.set_paused(call.parameters["id"], False)
    return no_content()


async def wait(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/wait"""
    with call.connection.cancelling():
        ended = await call.engine.pod_verbs.wait(call.parameters["id"])
    return json_response({"StatusCode": ended.exit_code})


async def label(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/labels: {"Set": {...}, "Remove": [...]}"""
    body = await call.body()
    view = await call.engine.pod_verbs.label(
        call.parameters["id"],
        read_pairs(body.get("Set"), "Set"),
        read_strings(body.get("Remove"), "Remove"),
    )
    return json_response({"Labels": dict(view.spec.labels)})


async def add_container(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/pods/{id}/containers: Docker's create body with `Name`.

    With `start` it is started as well, and removed again when it does not start.
    """
    body = await call.body()
    request = parse_create(body)
    name = read_string(body.get("Name") or call.text("name"), "Name")
    pod = call.engine.pods.get(call.parameters["id"])
    name = name or _free_name(_containers(call, pod))
    spec: ContainerSpec = replace(request.spec, name_in_pod=name, pod=pod.id)
    view = await call.engine.pod_verbs.add_container(pod.id, spec)
    if call.flag("start"):
        try:
            await call.engine.containers.start(view.id)
        except HyperError:
            await call.engine.containers.remove(view.id, force=True, volumes=True)
            raise
    return json_response({"Id": view.id, "Warnings": list(request.warnings)}, 201)


def _free_name(containers: list[ContainerView]) -> str:
    taken = {view.spec.name_in_pod for view in containers}
    return next(str(number) for number in range(len(taken) + 1) if str(number) not in taken)


async def remove_container(call: Call) -> web.StreamResponse:
    """DELETE /hyper/v1/pods/{id}/containers/{name}"""
    pod = call.engine.pods.get(call.parameters["id"])
    view = find_container(_containers(call, pod), call.parameters["name"], pod)
    await call.engine.containers.remove(view.id, force=call.flag("force"), volumes=call.flag("v"))
    return no_content()


def find_container(containers: list[ContainerView], name: str, pod: PodView) -> ContainerView:
    """Return a pod's container by its name in the pod, name or id. Raises NotFound."""
    for view in containers:
        if name in (view.spec.name_in_pod, view.name, view.id, view.id[:12]):
            return view
    raise NotFound("container of a pod", name, pod.spec.name)
