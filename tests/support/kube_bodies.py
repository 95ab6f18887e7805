"""Owns bodies of Kubernetes documents for tests, and what a play makes of them."""

from base64 import b64encode
from typing import Any

import yaml

from hyper.schema.kube.documents import read_documents
from hyper.schema.kube.translate import Plan, PlannedPod, make_plan

Body = dict[str, Any]
CONFIG: Body = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "conf"},
    "data": {"a": "1", "b.txt": "two"},
    "binaryData": {"bin": b64encode(b"\xff\x00").decode()},
}
SECRET: Body = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "hush"},
    "data": {"password": b64encode(b"s3cret").decode()},
    "stringData": {"user": "admin"},
}


def plan(*bodies: Body, configuration: tuple[Body, ...] = (CONFIG, SECRET)) -> Plan:
    """Return what a play makes of documents."""
    read = read_documents(yaml.safe_dump_all(bodies))
    given = read_documents(yaml.safe_dump_all(configuration)).documents if configuration else ()
    return make_plan(read.documents, given, node_name="host", notes=read.notes)


def pod(spec: Body | None = None, **container: Any) -> Body:
    """Return a pod with one container of these fields."""
    one = {"name": "one", "image": "busybox", **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "x"}, "annotations": {"note": "n"}},
        "spec": {"containers": [one], **(spec or {})},
    }


def planned(spec: Body | None = None, **container: Any) -> PlannedPod:
    """Return what becomes of a pod with one container of these fields."""
    (made,) = plan(pod(spec, **container)).pods
    return made


def workload(kind: str, version: str = "apps/v1", **spec: Any) -> Body:
    """Return a workload of one kind with these fields in its spec."""
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "one", "image": "busybox"}]},
    }
    selector = {} if kind == "Job" else {"selector": {"matchLabels": {"app": "x"}}}
    body = {"template": template, **selector, **spec}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "work"}, "spec": body}
