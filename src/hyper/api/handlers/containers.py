"""Owns /containers: create, list, inspect, and the verbs of a container's life."""

import asyncio
import json
from typing import cast

from aiohttp import web

from hyper.api.call import Call, json_response, no_content
from hyper.api.container_filters import ALLOWED, PRUNE_ALLOWED, ContainerFilter, prunable
from hyper.api.creation import create_container, remove_unstarted
from hyper.api.event_records import record_prune
from hyper.api.filters import parse_filters, until_ns
from hyper.api.render import containers as render
from hyper.api.render import older
from hyper.api.shown_images import image_names
from hyper.core.errors import Conflict, HyperError, InvalidArgument, NotFound, Unsupported
from hyper.core.spec import Resources, RestartPolicy
from hyper.core.values import read_object
from hyper.engine.containers import WaitCondition
from hyper.engine.states import ContainerState
from hyper.engine.views import ContainerView
from hyper.images.manifest import Platform
from hyper.schema.container import parse_create
from hyper.schema.fields import read_fields
from hyper.schema.hostconfig import RESTART_POLICY
from hyper.schema.later import without_later
from hyper.schema.resources import (
    RESOURCES,
    check_changeable,
    check_resources,
    check_update,
    merge_resources,
)

_CONDITIONS = ("not-running", "next-exit", "removed")


async def list_all(call: Call) -> web.StreamResponse:
    """GET /containers/json"""
    filters = parse_filters(call.text("filters"), ALLOWED)
    wanted = ContainerFilter(filters, call.engine)
    limit = call.integer("limit", 0) or 0
    everything = call.flag("all") or limit > 0 or wanted.needs_all
    views = [view for view in call.engine.containers.list(all=everything) if wanted.matches(view)]
    if limit > 0:
        views = views[:limit]
    image = image_names(call.engine)
    if call.flag("size"):
        sizes = await call.engine.system.container_sizes([view.id for view in views])
        shown = [
            render.summary(view, sizes[view.id], image(view)) for view in views if view.id in sizes
        ]
    else:
        shown = [render.summary(view, None, image(view)) for view in views]
    return json_response([older.container_summary(item, call.version) for item in shown])


async def create(call: Call) -> web.StreamResponse:
    """POST /containers/create"""
    platform = call.text("platform") if call.version >= (1, 41) else ""
    request = parse_create(without_later(await call.body(), call.version), platform)
    view = await create_container(call, request.spec, call.text("name"))
    warnings = [*request.warnings, *_platform_warning(call, view, platform)]
    return json_response({"Id": view.id, "Warnings": warnings}, 201)


def _platform_warning(call: Call, view: ContainerView, platform: str) -> list[str]:
    image, host = call.engine.images.get(view.spec.image_id), Platform.host()
    if platform or host.runs(image.platform):
        return []
    return [
        f"The requested image's platform ({image.platform}) does not match the detected host "
        f"platform ({host}) and no specific platform was requested"
    ]


async def inspect(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/json"""
    view = await call.engine.containers.get_settled(call.parameters["id"])
    sizes = None
    if call.flag("size"):
        sizes = (await call.engine.system.container_sizes([view.id])).get(view.id)
    return json_response(older.container(render.inspect(view, sizes), call.version))


async def start(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/start"""
    if call.request.content_length and call.request.content_length > 2:
        raise InvalidArgument(
            "starting container with non-empty request body was deprecated since API v1.22 "
            "and removed in v1.24"
        )
    if call.text("checkpoint"):
        raise Unsupported("checkpoint is not supported: Hyper makes no checkpoints of containers")
    view = call.engine.containers.get(call.parameters["id"])
    try:
        await call.engine.containers.start(view.id)
    except HyperError:
        await remove_unstarted(call, view)
        raise
    return no_content()


def _seconds(call: Call) -> float | None:
    seconds = call.integer("t")
    return None if seconds is None else float(seconds)


def _stop_signal(call: Call) -> str:
    return call.text("signal") if call.version >= (1, 42) else ""


async def stop(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/stop"""
    await call.engine.containers.stop(call.parameters["id"], _seconds(call), _stop_signal(call))
    return no_content()


async def restart(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/restart"""
    await call.engine.containers.restart(call.parameters["id"], _seconds(call), _stop_signal(call))
    return no_content()


async def kill(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/kill"""
    await call.engine.containers.kill(call.parameters["id"], call.text("signal") or "KILL")
    return no_content()


async def pause(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/pause"""
    await call.engine.containers.set_paused(call.parameters["id"], True)
    return no_content()


async def unpause(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/unpause"""
    await call.engine.containers.set_paused(call.parameters["id"], False)
    return no_content()


async def rename(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/rename"""
    if not call.text("name"):
        raise InvalidArgument("Neither old nor new names may be empty")
    await call.engine.container_changes.rename(call.parameters["id"], call.text("name"))
    return no_content()


async def update(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/update"""
    view = call.engine.containers.get(call.parameters["id"])
    body = await call.body()
    # The docker command sends a policy without a name when none is to be set.
    named = read_object(body.get("RestartPolicy"), "RestartPolicy").get("Name")
    updates = read_fields((*RESOURCES, *([RESTART_POLICY] if named else ())), body, "")
    check_changeable(updates)
    warnings: list[str] = []

    def change(before: Resources) -> Resources:
        try:
            check_update(before, updates)
        except Conflict as err:
            raise Conflict(f"Cannot update container {view.id}: {err}") from err
        resources = merge_resources(before, updates)
        warnings.extend(check_resources(resources))
        return resources

    policy = cast(RestartPolicy | None, updates.get("restart_policy"))
    await call.engine.container_changes.update(view.id, change, policy)
    return json_response({"Warnings": warnings or None})


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /containers/{id}"""
    await call.engine.containers.remove(
        call.parameters["id"],
        force=call.flag("force"),
        volumes=call.flag("v"),
        link=call.flag("link"),
    )
    return no_content()


async def prune(call: Call) -> web.StreamResponse:
    """POST /containers/prune"""
    filters = parse_filters(call.text("filters"), PRUNE_ALLOWED)
    until = until_ns(filters)
    deleted: list[str] = []
    space = 0
    unused = [
        view
        for view in call.engine.containers.list(all=True)
        if not view.active
        and view.state is not ContainerState.REMOVING
        and prunable(filters, until, view)
    ]
    sizes = await call.engine.system.container_sizes([view.id for view in unused])
    for view in unused:
        try:
            await call.engine.containers.remove(view.id)
        except (Conflict, NotFound):
            continue  # somebody started or removed it meanwhile
        deleted.append(view.id)
        space += max(sizes.get(view.id, (0, 0))[0], 0)
    await record_prune(call, "container", space)
    return json_response({"ContainersDeleted": deleted or None, "SpaceReclaimed": space})


async def wait(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/wait

    The head goes out before the container ends: the docker command starts the container only when
    it has seen it. So waiting must have begun by then.
    """
    condition = (call.text("condition") if call.version >= (1, 30) else "") or "not-running"
    if condition not in _CONDITIONS:
        raise InvalidArgument(f'invalid condition: "{condition}"')
    view = call.engine.containers.get(call.parameters["id"])
    response = web.StreamResponse(headers={"Content-Type": "application/json", **call.headers})
    with call.connection.cancelling():
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(
                _ended(call, view.id, cast(WaitCondition, condition)), name=f"wait {view.id[:12]}"
            )
            await asyncio.sleep(0)  # let it begin before the client is told
            await response.prepare(call.request)
        await response.write(json.dumps(waiting.result()).encode() + b"\n")
    return response


async def _ended(call: Call, container_id: str, condition: WaitCondition) -> dict[str, object]:
    try:
        end = await call.engine.containers.wait(container_id, condition)
    except HyperError as err:  # the head is out: the error goes into the body, as dockerd's does
        return {"StatusCode": -1, "Error": {"Message": str(err)}}
    shown: dict[str, object] = {"StatusCode": end.exit_code}
    if end.error:
        shown["Error"] = {"Message": end.error}
    return shown
