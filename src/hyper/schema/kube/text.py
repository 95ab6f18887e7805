"""Owns YAML as Kubernetes reads it, and writing what reads back the same. Knows no kinds.

As sigs.k8s.io/yaml: no timestamps, no base 60; 0o17 and 1e3 are numbers; a key twice is an error.
"""

import re
from collections.abc import Iterable
from typing import Any, ClassVar

import yaml

from hyper.core import gojson
from hyper.core.errors import InvalidArgument

MAXIMUM_CHARACTERS = 2 * 1024 * 1024
MAXIMUM_NODES = 100_000
MAXIMUM_DEPTH = 100


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse documents nested beyond reason before they exhaust the stack."""
        depth = getattr(self, "depth", 0)
        if depth > MAXIMUM_DEPTH:
            raise InvalidArgument(f"the YAML is nested more than {MAXIMUM_DEPTH} levels deep")
        self.depth = depth + 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth = depth

    def construct_scalar(self, node: Any) -> str:
        """Return the text of a scalar, which may be half of JSON's pair of escapes."""
        return gojson.joined(super().construct_scalar(node))


class _Dumper(yaml.SafeDumper):
    """Writes strings in quotes that any of the two rule books takes for something else."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text.rstrip("\n") or text.endswith("\n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


def dump_all(values: Iterable[object]) -> str:
    """Return the values as the documents of one YAML text."""
    return yaml.dump_all(
        values, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=100
    )


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node).replace("_", "").lower()
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8), ("0", 8)):
        if digits.startswith(prefix) and digits != "0":
            return sign * int(digits.removeprefix(prefix), base)
    if len(digits) > 30:
        raise InvalidArgument(f"the number {digits[:30]}... is too long")
    return sign * int(digits)


for _tag, _pattern, _first in (
    (
        "bool",
        r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
        "yYnNtTfFoO",
    ),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    for _owner in (_Loader, _Dumper):
        _owner.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def load_all(text: str) -> list[object]:
    """Return the values of a YAML text's documents. Raises InvalidArgument."""
    if len(text) > MAXIMUM_CHARACTERS:
        raise InvalidArgument(f"the file is longer than {MAXIMUM_CHARACTERS} characters")
    loader = _Loader(text)
    values = []
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None  # check_node() said so
            _check_node(node, {}, set())
            values.append(loader.construct_document(node))
    except yaml.YAMLError as err:
        raise InvalidArgument(f"error converting YAML to JSON: {_one_line(err)}") from err
    except (ValueError, RecursionError) as err:
        raise InvalidArgument(f"error converting YAML to JSON: {err}") from err
    finally:
        loader.dispose()
    return values


def _check_node(node: yaml.Node, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """Return how many values a node stands for with its aliases written out.

    Raises InvalidArgument for a key given twice, and where aliases multiply without end.
    """
    if id(node) in sizes:
        return sizes[id(node)]
    if id(node) in open_nodes:
        raise InvalidArgument("error converting YAML to JSON: an anchor contains itself")
    open_nodes.add(id(node))
    size = 1
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in keys:
                    line = key.start_mark.line + 1
                    raise InvalidArgument(
                        f'error converting YAML to JSON: line {line}: key "{key.value}" already '
                        "set in map"
                    )
                keys.add(key.value)
            size += _check_node(key, sizes, open_nodes) + _check_node(value, sizes, open_nodes)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check_node(item, sizes, open_nodes) for item in node.value)
    open_nodes.discard(id(node))
    if size > MAXIMUM_NODES:
        raise InvalidArgument(f"the YAML has more than {MAXIMUM_NODES} values in one document")
    sizes[id(node)] = size
    return size


def _one_line(err: yaml.YAMLError) -> str:
    mark = getattr(err, "problem_mark", None)
    problem = getattr(err, "problem", None) or str(err).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
