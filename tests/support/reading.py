"""Owns finding out what of a request the server reads: parameters of the query, fields of the body.

A field is asked for with a body that has it and no more; one that nobody looked at was ignored.
"""

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from hyper.core.gojson import GoObject
from tests.support import specification

Path = tuple[str, ...]  # "[]" is an item of an array, "{}" a value of a map
KEY = "net1"


class Seen:
    """What was read of the requests since `clear`."""

    def __init__(self) -> None:
        self.query: set[str] = set()
        self.bodies: list[Any] = []
        self.fields: dict[int, set[str]] = {}

    def clear(self) -> None:
        """Forget all of it."""
        self.query.clear()
        self.bodies.clear()
        self.fields.clear()

    def loads(self, data: bytes) -> object:
        """Parse a body as `gojson.loads` does, into objects that say what is read of them."""
        seen = self

        class Told(GoObject):
            def get(self, key: str, default: Any = None) -> Any:
                seen.fields.setdefault(id(self), set()).add(key.lower())
                return super().get(key, default)

            def items(self) -> Any:
                seen.fields.setdefault(id(self), set()).update(map(str.lower, self))
                return super().items()

        body = json.loads(data, object_pairs_hook=Told)
        self.bodies.append(body)
        return body

    def request_query(self, request: web.BaseRequest) -> "ToldQuery":
        """Return a request's query, which says what is read of it."""
        return ToldQuery(self, request.rel_url.query)

    def was_read(self, path: Path) -> bool:
        """Return whether a field of the last body was read, or something above it refused."""
        value = self.bodies[-1]
        for step in path:
            if step == "[]":
                value = value[0]
            elif step == "{}":
                value = dict.__getitem__(value, KEY)
            elif step.lower() not in self.fields.get(id(value), ()):
                return False
            else:
                value = dict.__getitem__(value, step)
        return True


class ToldQuery:
    """A query whose reads are told."""

    def __init__(self, seen: Seen, query: MultiMapping[str]) -> None:
        self._seen = seen
        self._query = query

    def get(self, key: str, default: Any = None) -> Any:
        self._seen.query.add(key)
        return self._query.get(key, default)

    def getall(self, key: str, default: Any = None) -> Any:
        self._seen.query.add(key)
        return self._query.getall(key, default)

    def __contains__(self, key: str) -> bool:
        self._seen.query.add(key)
        return key in self._query


def parameters(operation: str) -> list[str]:
    """Return the parameters of an operation's query."""
    described = specification.operations()[operation][2].get("parameters", [])
    return [each["name"] for each in described if each.get("in") == "query"]


def body_schema(operation: str) -> dict[str, Any]:
    """Return the schema of an operation's body if that is an object, else {}."""
    for each in specification.operations()[operation][2].get("parameters", []):
        if each.get("in") == "body" and (schema := _resolved(each["schema"])).get("properties"):
            return schema
    return {}


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = specification.specification()["definitions"][name]
    if "allOf" in schema:
        parts = [_resolved(part) for part in schema["allOf"]] + [schema]
        properties = [part.get("properties", {}) for part in parts]
        return {
            "type": "object",
            "properties": {k: v for each in properties for k, v in each.items()},
        }
    return schema


def leaves(schema: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Yield the path of every field of a body, with a value that is right for its kind."""
    schema = _resolved(schema)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    inner = schema.get("additionalProperties")
    if schema.get("properties"):
        for name, field in schema["properties"].items():
            yield from leaves(field, (*path, name))
    elif kind == "array" and _resolved(schema["items"]).get("properties"):
        yield from leaves(schema["items"], (*path, "[]"))
    elif isinstance(inner, dict) and _resolved(inner).get("properties"):
        yield from leaves(inner, (*path, "{}"))
    else:
        values = {"integer": 1, "boolean": True, "array": ["x"], "object": {"k": "v"}}
        named = [value for value in schema.get("enum", ()) if value]
        yield path, named[0] if named else values.get(str(kind), "x")


def with_field(path: Path, value: object, body: Any) -> Any:
    """Return a body with one field more."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if step == "[]":
        items = body or [{}]
        return [with_field(rest, value, items[0]), *items[1:]]
    name = KEY if step == "{}" else step
    body = body or {}
    return body | {name: with_field(rest, value, body.get(name))}
