"""Every field of a pod document, one by one: without it another pod is read, or none."""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hyper.api.documents import parse_document
from hyper.core.errors import InvalidArgument
from hyper.schema.pod_document import json_schema, read_document

EVERY = Path(__file__).parents[2] / "docs" / "examples" / "pod-every-field.yaml"
Path_ = tuple[str | int, ...]


def _document() -> Any:
    return parse_document(EVERY.read_bytes())


def _paths(value: object, at: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of every field that is given in a document, those of its lists too."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield (*at, name)
            yield from _paths(item, (*at, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _paths(item, (*at, number))


def _known(schema: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every field the schema knows and does not refuse. Probes and hooks are all alike."""
    for name, node in schema.get("properties", {}).items():
        if node.get("not") != {}:
            here = (*at, _ALIKE.get(name, name))
            yield here
            yield from _known(node, here)
    for node in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        yield from _known(node, at)


_ALIKE = dict.fromkeys(("startup", "liveness", "readiness"), "<probe>") | dict.fromkeys(
    ("postStart", "preStop"), "<hook>"
)


def test_the_document_of_every_field_has_every_field() -> None:
    given = {
        tuple(_ALIKE.get(part, part) for part in path if isinstance(part, str))
        for path in _paths(_document())
    }
    assert sorted(set(_known(json_schema())) - given) == []


@pytest.mark.parametrize(
    "path", list(_paths(_document())), ids=lambda path: ".".join(map(str, path))
)
def test_it_counts(path: Path_) -> None:
    whole = _document()
    without = copy.deepcopy(whole)
    place = without
    for part in path[:-1]:
        place = place[part]
    del place[path[-1]]
    try:
        assert read_document(without) != read_document(whole), f"{json.dumps(path)} does nothing"
    except InvalidArgument:
        pass  # It is needed: what names it, or its object, is refused without it.
