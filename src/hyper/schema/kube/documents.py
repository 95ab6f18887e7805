"""Owns reading a file of Kubernetes documents: YAML as Kubernetes reads it, kinds, lists."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hyper.core.errors import InvalidArgument, Unsupported
from hyper.schema.kube.claim import CLAIM, Claim
from hyper.schema.kube.configuration import CONFIG_MAP, SECRET, ConfigMap, Secret
from hyper.schema.kube.fields import Table
from hyper.schema.kube.persistent import PERSISTENT, Persistent
from hyper.schema.kube.place import Place
from hyper.schema.kube.pod import POD, Pod
from hyper.schema.kube.service import SERVICE, Service
from hyper.schema.kube.text import load_all
from hyper.schema.kube.workloads import WORKLOADS, Workload

Document = Pod | Workload | ConfigMap | Secret | Claim | Persistent | Service

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
    "PersistentVolume": (_CORE, PERSISTENT),
    "Service": (_CORE, SERVICE),
}
NOTED_KINDS: dict[str, str] = {
    "Namespace": "names are unique across all namespaces",
    "StorageClass": "volumes are folders of hyperd",
    "ServiceAccount": "there is no API server",
    "PodDisruptionBudget": "nothing here disrupts pods",
    "PriorityClass": "nothing competes for the node: a pod starts or fails at once",
}
"""Kinds of which nothing is made: the play says so in a warning."""

_NO_CLUSTER = "there is no cluster"
REFUSED_KINDS: dict[str, str] = {
    "CronJob": "nothing here starts pods by the clock: use a systemd timer with `hyper play kube`",
    "Ingress": "nothing here routes HTTP: publish ports with hostPort",
    "NetworkPolicy": "pods are separated by their networks",
    "HorizontalPodAutoscaler": "the number of replicas is fixed",
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
    for number, value in enumerate(load_all(text), 1):
        for where, item in _flatten(value, f"document {number}"):
            if (document := _read(item, where, notes)) is not None:
                found.append(document)
    if not found and not notes:
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


def _read(value: object, where: str, notes: list[str]) -> Document | None:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{where} is invalid: an object with apiVersion and kind is needed")
    kind, version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        raise InvalidArgument(f"{where} is invalid: Object 'Kind' is missing")
    if not isinstance(version, str) or not version:
        raise InvalidArgument(f"{where} is invalid: Object 'apiVersion' is missing")
    if kind in NOTED_KINDS:
        notes.append(f"{where}: kind {kind}: has no effect: {NOTED_KINDS[kind]}")
        return None
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
