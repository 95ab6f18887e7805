"""Owns the OpenAPI 3.1 document of the pods' API, made from the route table and the pod document.

`python -m hyper.schema.pod_api` prints it (docs/hyper-pods-api.json); the daemon serves it too.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from hyper.schema.pod_document import POD, PORT, SERVICE
from hyper.schema.routes import OWN_PREFIX, ROUTES, Route

PREFIX = f"{OWN_PREFIX}/pods"
JSON = dict[str, Any]
_TEXT: JSON = {"type": "string"}
_WHOLE: JSON = {"type": "integer"}
_FLAG: JSON = {"type": "boolean"}
_LIST: JSON = {"type": "array", "items": {"type": "object"}}
_PORTS: JSON = {
    "type": "object",
    "properties": {"portmappings": {"type": "array", "items": PORT.schema()}},
    "required": ["portmappings"],
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What the route table does not say of an operation."""

    summary: str
    query: tuple[tuple[str, JSON, str], ...] = ()
    body: JSON | None = None
    answer: JSON | None = None
    errors: tuple[int, ...] = (404,)


_SECONDS = ("t", _WHOLE, "seconds before containers are killed")
_FORCE = ("force", _FLAG, "also when it runs")
_VOLUMES = ("v", _FLAG, "anonymous volumes too")
_START = ("start", _FLAG, "start it; what does not start is removed again")
_CREATED: JSON = {"type": "object", "properties": {"Id": _TEXT}, "required": ["Id"]}

OPERATIONS: dict[str, Operation] = {
    "HyperPodList": Operation(
        "List pods",
        (
            ("filters", _TEXT, 'JSON: {"label": [...], "name": [...], "state": [...]}'),
            ("lone", _FLAG, "with pods made for one container (default)"),
        ),
        answer=_LIST,
        errors=(400,),
    ),
    "HyperPodCreate": Operation(
        "Create a pod from a document, JSON or YAML",
        (("name", _TEXT, "its name, in place of the document's id"), _START),
        POD.schema(),
        _CREATED,
        (400, 403, 404, 409, 500, 501),
    ),
    "HyperPodInspect": Operation("Inspect a pod", answer={"type": "object"}),
    "HyperPodDelete": Operation("Remove a pod", (_FORCE, _VOLUMES), errors=(404, 409)),
    "HyperPodStart": Operation("Start a pod, in order", errors=(304, 404, 409, 500)),
    "HyperPodStop": Operation("Stop a pod", (_SECONDS,), errors=(304, 404)),
    "HyperPodRestart": Operation("Stop and start a pod", (_SECONDS,), errors=(404, 500)),
    "HyperPodKill": Operation(
        "Signal its containers", (("signal", _TEXT, "KILL unless given"),), errors=(400, 404, 409)
    ),
    "HyperPodPause": Operation("Freeze its containers", errors=(404, 409)),
    "HyperPodUnpause": Operation("Thaw its containers", errors=(404, 409)),
    "HyperPodWait": Operation(
        "Wait until no container of it runs",
        answer={"type": "object", "properties": {"StatusCode": _WHOLE}},
    ),
    "HyperPodLabel": Operation(
        "Change its labels",
        body={
            "type": "object",
            "properties": {
                "Set": {"type": "object", "additionalProperties": _TEXT},
                "Remove": {"type": "array", "items": _TEXT},
            },
        },
        answer={"type": "object"},
        errors=(400, 404),
    ),
    "HyperPodResize": Operation(
        "Change its size; a running VM has at most what it was started with",
        body={"type": "object", "properties": {"VCpus": _WHOLE, "Memory": _WHOLE}},
        answer={"type": "object"},
        errors=(400, 404, 501),
    ),
    "HyperPodPortList": Operation("List published ports", answer=_LIST),
    "HyperPodPortAdd": Operation(
        "Publish ports", body=_PORTS, answer=_LIST, errors=(400, 404, 409, 501)
    ),
    "HyperPodPortDelete": Operation(
        "Take published ports away", body=_PORTS, errors=(400, 404, 501)
    ),
    "HyperPodServiceList": Operation("List services inside", answer=_LIST),
    "HyperPodServiceSet": Operation(
        "Add a service inside, or change the one of its name",
        body=SERVICE.schema(),
        answer={"type": "object"},
        errors=(400, 404, 409),
    ),
    "HyperPodServiceDelete": Operation("Take a service away"),
    "HyperPodContainerAdd": Operation(
        "Add a container: Docker's create body with Name",
        (("name", _TEXT, "its name in the pod"), _START),
        {"type": "object", "required": ["Image"]},
        _CREATED,
        (400, 404, 409, 500, 501),
    ),
    "HyperPodContainerDelete": Operation(
        "Remove a container", (_FORCE, _VOLUMES), errors=(400, 404, 409)
    ),
}


def routes() -> list[Route]:
    """Return the routes of pods."""
    return [route for route in ROUTES if re.fullmatch(PREFIX + "(/.*)?", route.path)]


def document() -> JSON:
    """Return the OpenAPI document."""
    paths: JSON = {}
    for route in routes():
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hyper pods", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "properties": {"message": _TEXT},
                    "required": ["message"],
                }
            }
        },
    }


def _operation(route: Route) -> JSON:
    said = OPERATIONS[route.operation]
    parameters: list[JSON] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
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
        success["content"] = {"application/json": {"schema": said.answer}}
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
