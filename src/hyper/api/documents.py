"""Owns reading documents that users write in YAML or JSON. What is in them is others'."""

from collections.abc import Hashable
from typing import Any

import yaml

from hyper.core import gojson
from hyper.core.errors import InvalidArgument


class _Loader(yaml.SafeLoader):
    """YAML without aliases (a few bytes of them can stand for billions) and without doubles."""

    def compose_node(self, parent: "yaml.Node | None", index: int) -> "yaml.Node | None":
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise InvalidArgument(f"line {mark.line + 1}: YAML aliases are not supported")
        return super().compose_node(parent, index)

    def construct_mapping(
        self, node: "yaml.MappingNode", deep: bool = False
    ) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if isinstance(name, Hashable) and name in seen:
                line = key.start_mark.line + 1
                raise InvalidArgument(f"line {line}: the field {name} is there twice")
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: "yaml.ScalarNode | yaml.MappingNode") -> str:
        return gojson.joined(super().construct_scalar(node))


def parse_document(data: bytes) -> object:
    """Return a document's value; JSON is read as the YAML it is. Raises InvalidArgument."""
    try:
        documents = list(yaml.load_all(data.decode(), _Loader))
    except UnicodeDecodeError as err:
        raise InvalidArgument(f"the document is not UTF-8: {err.reason}") from err
    except (yaml.YAMLError, RecursionError, ValueError) as err:
        text = " ".join(str(err).split())
        raise InvalidArgument(f"the document is neither YAML nor JSON: {text}") from err
    if len(documents) != 1:
        raise InvalidArgument(f"one document is needed, not {len(documents)}")
    if not isinstance(documents[0], dict):
        raise InvalidArgument("the document is not an object with fields")
    return documents[0]
