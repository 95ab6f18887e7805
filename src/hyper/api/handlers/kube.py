"""Owns /hyper/v1/play/kube and /hyper/v1/generate/kube: Kubernetes documents in and out."""

import platform
from collections.abc import Callable

from aiohttp import web

from hyper.api.call import Call
from hyper.api.known_pods import known_pod
from hyper.api.play import Player
from hyper.api.progress import Line, stream_progress
from hyper.core.errors import InvalidArgument
from hyper.core.values import read_string
from hyper.engine.balancing import ServiceView
from hyper.host.threads import in_thread
from hyper.images.credentials import from_config_header
from hyper.schema.kube.documents import Documents, read_documents
from hyper.schema.kube.generate import generate as generate_manifest
from hyper.schema.kube.translate import Plan, make_plan

_NOTHING = Documents((), ())


async def _documents(text: str) -> Documents:
    # Reading much YAML takes seconds, in which other requests are to be served.
    return await in_thread("yaml", read_documents, text)


async def _read(call: Call) -> tuple[Documents, Documents]:
    """Return the documents to play, and those they may refer to besides."""
    body = await call.body()
    text = read_string(body.get("Text") or "", "Text")
    configuration = read_string(body.get("Configuration") or "", "Configuration")
    given = await _documents(configuration) if configuration.strip() else _NOTHING
    return await _documents(text), given


def _stop_timeout_s(call: Call) -> float | None:
    seconds = call.integer("t")
    return None if seconds is None else float(seconds)


async def play(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/play/kube: {"Text", "Configuration"}, both YAML; `replace`, `start`, `t`.

    What is wrong with the documents is an ordinary error; then lines tell what is done.
    """
    documents, configuration = await _read(call)
    settings = call.engine.settings
    plan: Plan = make_plan(
        documents.documents,
        configuration.documents,
        node_name=platform.node(),
        node_sizes={"cpu": settings.vcpus, "memory": settings.memory_bytes},
        notes=documents.notes,
    )
    if not plan.pods and not plan.volumes and not plan.services:
        raise InvalidArgument("there is nothing to play: the documents are only configuration")
    timeout_s = _stop_timeout_s(call)
    credentials = from_config_header(call.request.headers.get("X-Registry-Config", ""))

    async def work(put: Callable[[Line], None]) -> None:
        player = Player(call.engine, put, credentials, timeout_s)
        await player.play(plan, again=call.flag("replace"), start=call.flag("start", True))

    return await stream_progress(call, work)


async def generate(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/generate/kube: a manifest of the pods and lone containers `names`."""
    names = call.request.query.getall("names", [])
    if not names:
        raise InvalidArgument("names: the name of a pod or a container is needed")
    text = generate_manifest([known_pod(call.engine, name) for name in names])
    return web.Response(text=text, content_type="application/yaml")


async def services(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/services: the services of networks, with who is behind each now."""
    return web.json_response([_service(view) for view in call.engine.balancing.views()])


async def remove_service(call: Call) -> web.StreamResponse:
    """DELETE /hyper/v1/services/{name}."""
    await call.engine.balancing.remove(call.parameters["name"])
    return web.Response(status=204)


def _service(view: ServiceView) -> dict[str, object]:
    spec = view.spec
    return {
        "Id": view.id,
        "Name": spec.name,
        "Network": spec.network,
        "Address": spec.address,
        "Names": list(spec.names),
        "Selector": dict(spec.selector),
        "Sticky": spec.sticky,
        "Ports": [
            {
                "Port": port.port,
                "Protocol": port.protocol,
                "Target": port.target,
                "HostPort": port.host_port,
                "Backends": [{"Address": host, "Port": number} for host, number in behind],
            }
            for port, behind in view.backends
        ],
    }


async def down(call: Call) -> web.StreamResponse:
    """DELETE /hyper/v1/play/kube: {"Text"}; `volumes` removes the claimed volumes too; `t`."""
    documents, _ = await _read(call)

    timeout_s = _stop_timeout_s(call)

    async def work(put: Callable[[Line], None]) -> None:
        player = Player(call.engine, put, stop_timeout_s=timeout_s)
        await player.down(documents.documents, volumes=call.flag("volumes"))

    return await stream_progress(call, work)
