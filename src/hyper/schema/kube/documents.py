"""Owns reading a file of Kubernetes documents: YAML as Kubernetes reads it, kinds, lists."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml

from hyper.core.errors import InvalidArgument, Unsupported
from hyper.schema.kube.claim import CLAIM, Claim
from hyper.schema.kube.configuration import CONFIG_MAP, SECRET, ConfigMap, Secret
from hyper.schema.kube.fields import Table
from hyper.schema.kube.place import Place
from hyper.schema.kube.pod import POD, Pod
from hyper.schema.kube.workloads import WORKLOADS, Workload

MAXIMUM_CHARACTERS = 2 * 1024 * 1024
MAXIMUM_NODES = 100_000
MAXIMUM_DEPTH = 100
Document = Pod | Workload | ConfigMap | Secret | Claim

_APPS, _CORE, _BATCH = "apps/v1", "v1", "batch/v1"
KINDS: dict[str, tuple[str, Table[Any]]] = {
    "Pod": (_CORE, POD),
    "Deployment": (_APPS, WORKLOADS["Deployment"]),
    "ReplicaSet": (_APPS, WORKLOADS["ReplicaSet"]),
    "ReplicationController": (_CORE, WORKLOADS["ReplicationController"]),
    "StatefulSet": (_APPS, WORKLOADS["StatefulSet"]),
    "DaemonSet": (_APPS, WORKLOADS["DaemonSet"]),
    "Job": (_BATCH, WORKLOADS["Job"]),
    "ConfigMap": (_CORE, CONFIG_MAP),
    "Secret": (_CORE, SECRET),
    "PersistentVolumeClaim": (_CORE, CLAIM),
}
_NO_CLUSTER = "there is no cluster"
REFUSED_KINDS: dict[str, str] = {
    "Service": "pods have no common network of names yet: publish ports with hostPort",
    "CronJob": "nothing here starts pods by the clock: use a systemd timer with `hyper play kube`",
    "Namespace": "there are no namespaces: leave it out",
    "PersistentVolume": "a PersistentVolumeClaim makes its volume itself",
    "StorageClass": "volumes are folders of hyperd",
    "Ingress": "nothing here routes HTTP: publish ports with hostPort",
    "NetworkPolicy": "pods are separated by their networks",
    "HorizontalPodAutoscaler": "the number of replicas is fixed",
    "ServiceAccount": "there is no API server",
    "Role": _NO_CLUSTER,
    "RoleBinding": _NO_CLUSTER,
    "ClusterRole": _NO_CLUSTER,
    "ClusterRoleBinding": _NO_CLUSTER,
    "CustomResourceDefinition": _NO_CLUSTER,
}


@dataclass(frozen=True, slots=True)
class Documents:
    """What a file holds, in its order, and what its reader should be told."""

    documents: tuple[Document, ...]
    notes: tuple[str, ...]


def read_documents(text: str) -> Documents:
    """Return the objects of a YAML (or JSON) file of one or more documents.

    Raises InvalidArgument for what is no valid document, Unsupported for what is not done here;
    both name the document and the path in it.
    """
    found: list[Document] = []
    notes: list[str] = []
    for number, value in enumerate(_load(text), 1):
        for where, item in _flatten(value, f"document {number}"):
            found.append(_read(item, where, notes))
    if not found:
        raise InvalidArgument("no Kubernetes object found: the file has no documents")
    return Documents(tuple(found), tuple(notes))


def _flatten(value: object, where: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value.get("kind") == "List":
        items = value.get("items")
        if not isinstance(items, list):
            raise Place(where, "items").invalid(items, "a list is needed")
        for name in value.keys() - {"apiVersion", "kind", "items", "metadata"}:
            raise Place(where, str(name)).unknown()
        for at, item in enumerate(items):
            yield from _flatten(item, f"{where}, items[{at}]")
    elif value is not None:
        yield where, value


def _read(value: object, where: str, notes: list[str]) -> Document:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{where} is invalid: an object with apiVersion and kind is needed")
    kind, version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        raise InvalidArgument(f"{where} is invalid: Object 'Kind' is missing")
    if not isinstance(version, str) or not version:
        raise InvalidArgument(f"{where} is invalid: Object 'apiVersion' is missing")
    if kind in REFUSED_KINDS:
        raise Unsupported(f"{where}: kind {kind}: not supported: {REFUSED_KINDS[kind]}")
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise Unsupported(f"{where}: kind {kind}: not supported: Hyper plays {known}")
    expected, table = KINDS[kind]
    if version != expected:
        raise InvalidArgument(
            f'{where} is invalid: no matches for kind "{kind}" in version "{version}": '
            f"use {expected}"
        )
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    title = f"{kind} {json.dumps(name)}" if isinstance(name, str) else f"{where} ({kind})"
    body = {key: item for key, item in value.items() if key not in ("apiVersion", "kind")}
    document: Document = table.read(body, Place(title, "", notes))
    return document


# --- YAML -----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML as sigs.k8s.io/yaml reads it: no timestamps, no base 60; 0o17 and 1e3 are numbers."""

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
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def _load(text: str) -> list[object]:
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
