"""Owns Docker's published API specification: which operations exist, and whether a reply fits."""

import functools
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

PATH = Path(__file__).parents[1] / "api" / "specification" / "docker-engine-v1.50.yaml"
JSON = dict[str, Any]


@functools.cache
def specification() -> JSON:
    """Return the specification, with its nullable fields in JSON Schema's words."""
    with open(PATH) as file:
        loaded: JSON = yaml.load(file, yaml.CSafeLoader)
    _adapt(loaded["definitions"])
    _adapt(loaded["paths"])
    # dockerd writes null while the process runs; the specification only says so of `Running`.
    exec_schema = loaded["paths"]["/exec/{id}/json"]["get"]["responses"][200]["schema"]
    exec_schema["properties"]["ExitCode"]["type"] = ["integer", "null"]
    return loaded


def _adapt(node: Any) -> None:
    """Swagger 2 has x-nullable, and Go writes null for every empty list and map."""
    if isinstance(node, list):
        for item in node:
            _adapt(item)
    if not isinstance(node, dict):
        return
    for value in list(node.values()):
        _adapt(value)
    kind = node.get("type")
    if isinstance(kind, str) and (node.get("x-nullable") or kind in ("array", "object")):
        node["type"] = [kind, "null"]
    if node.get("x-nullable") and isinstance(node.get("enum"), list):
        node["enum"] = [*node["enum"], None]
    for noise in ("example", "format", "discriminator"):
        if not isinstance(node.get(noise), dict | list) or noise == "example":
            if "type" in node or "allOf" in node or "$ref" in node:
                node.pop(noise, None)


def operations() -> dict[str, tuple[str, str, JSON]]:
    """Return method, path and description of every operation, by its id."""
    return {
        description["operationId"]: (method.upper(), path, description)
        for path, methods in specification()["paths"].items()
        for method, description in methods.items()
        if method != "parameters"
    }


def operation_of(method: str, path: str) -> str:
    """Return the id of the operation that a request is for, "" for none of them."""
    path = re.sub(r"^/v[\d.]+/", "/", path.partition("?")[0])
    found = ""
    for operation, (verb, pattern, _) in operations().items():
        regex = re.sub(r"\{\w+\}", ".+", pattern)
        if verb == method and re.fullmatch(regex, path):
            if "{" not in pattern:
                return operation
            found = operation
    return found


def statuses(operation: str) -> set[int]:
    """Return the statuses an operation may answer with."""
    return {int(status) for status in operations()[operation][2]["responses"]}


def check_reply(operation: str, status: int, body: Any) -> None:
    """Raise ValidationError when a reply does not fit the specification."""
    responses = operations()[operation][2]["responses"]
    schema = (responses.get(status) or responses.get(str(status)) or {}).get("schema")
    if schema is not None:
        check(schema, body)


def check(schema: JSON, body: Any) -> None:
    """Raise ValidationError when `body` does not fit `schema`."""
    root = {"definitions": specification()["definitions"], **schema}
    jsonschema.Draft4Validator(root).validate(body)
