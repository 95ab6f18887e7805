"""Owns the OpenAPI 3.1 document of Hyper's own API, made from the route table and the pod document.

`python -m hyper.schema.own_api` prints it (docs/hyper-api.json); the daemon serves it too.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from hyper.schema import own_replies as reply
from hyper.schema.own_replies import FLAG, TEXT, WHOLE, listed
from hyper.schema.pod_document import POD, PORT, SERVICE
from hyper.schema.routes import OWN_PREFIX, ROUTES, Route

JSON = dict[str, Any]
Query = tuple[tuple[str, JSON, str], ...]
_PORTS: JSON = {
    "type": "object",
    "properties": {"portmappings": {"type": "array", "items": PORT.schema()}},
    "required": ["portmappings"],
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What the route table does not say of an operation."""

    summary: str
    query: Query = ()
    body: JSON | None = None
    answer: JSON | None = None
    errors: tuple[int, ...] = (404,)
    kind: str = "application/json"


def _body(fields: JSON) -> JSON:
    return {"type": "object", "properties": fields}


_SECONDS = ("t", WHOLE, "seconds before containers are killed")
_FORCE = ("force", FLAG, "also when it runs")
_VOLUMES = ("v", FLAG, "anonymous volumes too")
_START = ("start", FLAG, "start it; what does not start is removed again")
_POSITIVE: JSON = {"type": "integer", "minimum": 1}
_DOCKER_CREATE: JSON = {"type": "object", "required": ["Image"]}

PODS: dict[str, Operation] = {
    "HyperPodList": Operation(
        "List pods",
        (
            ("filters", TEXT, 'JSON: {"label": [...], "name": [...], "state": [...]}'),
            ("lone", FLAG, "with pods made for one container (default)"),
        ),
        answer=listed(reply.POD_SUMMARY),
        errors=(400,),
    ),
    "HyperPodCreate": Operation(
        "Create a pod from a document, JSON or YAML",
        (
            ("name", TEXT, "its name, in place of the document's id"),
            _START,
            ("rm", FLAG, "remove it when its containers have ended"),
        ),
        POD.schema(),
        reply.CREATED,
        (400, 403, 404, 409, 500, 501),
    ),
    "HyperPodInspect": Operation("Inspect a pod", answer=reply.POD),
    "HyperPodDelete": Operation("Remove a pod", (_FORCE, _VOLUMES), errors=(404, 409)),
    "HyperPodStart": Operation("Start a pod, in order", errors=(304, 404, 409, 500)),
    "HyperPodStop": Operation("Stop a pod", (_SECONDS,), errors=(304, 404)),
    "HyperPodRestart": Operation("Stop and start a pod", (_SECONDS,), errors=(404, 500)),
    "HyperPodKill": Operation(
        "Signal its containers", (("signal", TEXT, "KILL unless given"),), errors=(400, 404, 409)
    ),
    "HyperPodPause": Operation("Freeze its containers", errors=(404, 409)),
    "HyperPodUnpause": Operation("Thaw its containers", errors=(404, 409)),
    "HyperPodWait": Operation(
        "Wait until no container of it runs",
        answer=reply.shape({"StatusCode": WHOLE}),
    ),
    "HyperPodLabel": Operation(
        "Change its labels",
        body={
            "type": "object",
            "properties": {
                "Set": {"type": "object", "additionalProperties": TEXT},
                "Remove": {"type": "array", "items": TEXT},
            },
        },
        answer=reply.shape({"Labels": reply.PAIRS}),
        errors=(400, 404),
    ),
    "HyperPodResize": Operation(
        "Change its size; a running VM has at most what it was started with",
        body=_body({"VCpus": _POSITIVE, "Memory": _POSITIVE}),
        answer=reply.SIZE,
        errors=(400, 404, 501),
    ),
    "HyperPodPortList": Operation("List published ports", answer=listed(reply.PORT)),
    "HyperPodPortAdd": Operation(
        "Publish ports", body=_PORTS, answer=listed(reply.PORT), errors=(400, 404, 409, 501)
    ),
    "HyperPodPortDelete": Operation(
        "Take published ports away", body=_PORTS, errors=(400, 404, 501)
    ),
    "HyperPodServiceList": Operation("List services inside", answer=listed(reply.SERVICE)),
    "HyperPodServiceSet": Operation(
        "Add a service inside, or change the one of its name",
        body=SERVICE.schema(),
        answer=reply.SERVICE,
        errors=(400, 404, 409),
    ),
    "HyperPodServiceDelete": Operation("Take a service away"),
    "HyperPodContainerAdd": Operation(
        "Add a container: Docker's create body with Name",
        (("name", TEXT, "its name in the pod"), _START),
        _DOCKER_CREATE,
        reply.CONTAINER_CREATED,
        (400, 404, 409, 500, 501),
    ),
    "HyperPodContainerDelete": Operation(
        "Remove a container", (_FORCE, _VOLUMES), errors=(400, 404, 409)
    ),
}

OTHERS: dict[str, Operation] = {
    "HyperRun": Operation(
        "Create a container (Docker's body with Name, Pull), attach, start and wait in one request",
        (
            ("platform", TEXT, "platform of the image"),
            ("detachKeys", TEXT, "as for Docker's attach"),
        ),
        _DOCKER_CREATE,
        errors=(400, 404, 409, 500, 501),
    ),
    "HyperDoctor": Operation("Check the host", answer=listed(reply.CHECK), errors=()),
    "HyperMemory": Operation(
        "What VMs and daemon take of the host's memory", answer=reply.MEMORY, errors=()
    ),
    "HyperKernelList": Operation("List guest kernels", answer=listed(reply.KERNEL), errors=()),
    "HyperKernelAdd": Operation(
        "Make a kernel of the daemon's host known by a name",
        body={**_body({"Name": TEXT, "Path": TEXT}), "required": ["Path"]},
        answer=reply.KERNEL,
        errors=(400, 404, 409),
    ),
    "HyperKernelDelete": Operation("Forget a kernel", errors=(400, 404, 409)),
    "HyperPlayKube": Operation(
        "Make pods, volumes and services of Kubernetes documents",
        (
            ("replace", FLAG, "remove pods of the same names first"),
            ("start", FLAG, "start the pods (default)"),
            _SECONDS,
        ),
        {**_body({"Text": TEXT, "Configuration": TEXT}), "required": ["Text"]},
        reply.PLAYED,
        (400, 404, 409, 500, 501),
    ),
    "HyperPlayKubeDown": Operation(
        "Remove what documents name",
        (("volumes", FLAG, "the volumes of claims too"), _SECONDS),
        {**_body({"Text": TEXT}), "required": ["Text"]},
        reply.PLAYED_DOWN,
        (400, 501),
    ),
    "HyperGenerateKube": Operation(
        "Write a manifest of pods and lone containers",
        (("names", listed(TEXT), "their names, each as a parameter of its own"),),
        answer=TEXT,
        errors=(400, 404),
        kind="application/yaml",
    ),
    "HyperServiceList": Operation(
        "List the services of networks", answer=listed(reply.NETWORK_SERVICE), errors=()
    ),
    "HyperServiceDelete": Operation("Remove a service of a network"),
    "HyperOpenApi": Operation("This document", answer={"type": "object"}, errors=()),
    "HyperPool": Operation("The VMs that wait for a pod", answer=reply.POOL, errors=()),
    "HyperPoolChange": Operation(
        "Change how many wait, until the daemon ends",
        body=_body({"Waiting": WHOLE, "Shapes": WHOLE}),
        answer=reply.POOL,
        errors=(400,),
    ),
    "HyperSnapshotList": Operation(
        "List the snapshots of a volume", answer=reply.shape({"Items": listed(reply.SNAPSHOT)})
    ),
    "HyperSnapshotCreate": Operation(
        "Take a snapshot of a volume, in use or not",
        body={**_body({"Name": TEXT}), "required": ["Name"]},
        answer=reply.SNAPSHOT,
        errors=(400, 404, 409, 500, 501),
    ),
    "HyperSnapshotDelete": Operation("Delete a snapshot", errors=(400, 404)),
    "HyperSnapshotRestore": Operation(
        "Make a volume what it was", answer=reply.VOLUME, errors=(400, 404, 409, 501)
    ),
    "HyperVolumeResize": Operation(
        "Make a volume larger",
        body={**_body({"Size": _POSITIVE}), "required": ["Size"]},
        answer=reply.VOLUME,
        errors=(400, 404, 409, 501),
    ),
}
OPERATIONS = PODS | OTHERS


def routes() -> list[Route]:
    """Return the routes of Hyper's own API."""
    return [route for route in ROUTES if route.path.startswith(f"{OWN_PREFIX}/")]


def document() -> JSON:
    """Return the OpenAPI document."""
    paths: JSON = {}
    for route in routes():
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hyper", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "properties": {"message": TEXT},
                    "required": ["message"],
                }
            }
        },
    }


def _operation(route: Route) -> JSON:
    said = OPERATIONS[route.operation]
    parameters: list[JSON] = [
        {"name": name, "in": "path", "required": True, "schema": TEXT}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    parameters += [
        {"name": name, "in": "query", "description": text, "schema": kind}
        for name, kind, text in said.query
    ]
    shown: JSON = {"operationId": route.operation, "summary": said.summary}
    if parameters:
        shown["parameters"] = parameters
    if said.body is not None:
        kinds = ["application/json"]
        if route.operation == "HyperPodCreate":
            kinds.append("application/yaml")
        content = {kind: {"schema": said.body} for kind in kinds}
        shown["requestBody"] = {"required": True, "content": content}
    success: JSON = {"description": "done"}
    if said.answer is not None:
        success["content"] = {said.kind: {"schema": said.answer}}
    error: JSON = {
        "description": "error",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    shown["responses"] = {str(route.status): success}
    shown["responses"] |= {
        str(status): error if status != 304 else {"description": "it is so already"}
        for status in said.errors
    }
    return shown


if __name__ == "__main__":
    print(json.dumps(document(), indent=1))
