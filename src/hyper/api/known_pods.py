"""Owns what `generate` is told of a pod: its spec and those of its containers, named in the pod."""

import re
from dataclasses import replace

from hyper.core.errors import Conflict, NotFound
from hyper.core.health import merge_healthcheck
from hyper.core.spec import ContainerSpec
from hyper.engine.engine import Engine
from hyper.engine.views import ContainerView, PodView
from hyper.schema.kube.generate import KnownPod


def known_pod(engine: Engine, name: str) -> KnownPod:
    """Return a pod, or the pod of a lone container, under the container's name.

    Raises NotFound, or Conflict for one container among others of a pod.
    """
    try:
        pod = engine.pods.get(name)
    except NotFound:
        return _of_container(engine, name)
    containers = [engine.containers.get(identifier) for identifier in pod.container_ids]
    if pod.spec.lone and containers:
        return _lone(engine, pod, containers[0])
    if not containers:
        raise Conflict(f"pod {pod.spec.name} has no containers: a manifest needs one")
    spec = replace(pod.spec, name=_label(pod.spec.name))
    specs = (_own(engine, view.spec) for view in containers)
    return KnownPod(spec, tuple(_named(spec, spec.name_in_pod) for spec in specs))


def _of_container(engine: Engine, name: str) -> KnownPod:
    try:
        container = engine.containers.get(name)
    except NotFound:
        raise NotFound("pod or container", name) from None
    pod = engine.pods.get(container.pod_id)
    if not pod.spec.lone:
        raise Conflict(
            f"container {name} is one of pod {pod.spec.name}: generate a manifest of the pod"
        )
    return _lone(engine, pod, container)


def _own(engine: Engine, spec: ContainerSpec) -> ContainerSpec:
    """Return a spec without the health check that its image has anyhow."""
    try:
        image = engine.images.get(spec.image_id)
    except NotFound:
        return spec
    inherited = merge_healthcheck(None, image.config.healthcheck)
    return replace(spec, healthcheck=None) if spec.healthcheck == inherited else spec


def _lone(engine: Engine, pod: PodView, container: ContainerView) -> KnownPod:
    """Return a lone container as a pod, of which all is that can be only a pod's in a manifest."""
    name = _label(container.name)
    spec = _own(engine, container.spec)
    hostname = spec.hostname or name
    limit_s = -1 if spec.stop_timeout_s is None else spec.stop_timeout_s
    known = replace(
        pod.spec,
        name=name,
        hostname=hostname,
        labels=spec.labels,
        sysctls=(*pod.spec.sysctls, *spec.sysctls),
        grace_s=pod.spec.grace_s if limit_s < 0 else float(limit_s),
    )
    return KnownPod(known, (_named(replace(spec, sysctls=()), name),))


def _named(spec: ContainerSpec, name: str) -> ContainerSpec:
    return replace(spec, name_in_pod=_label(name))


def _label(name: str) -> str:
    """Return a name as Kubernetes allows it for pods and containers."""
    return re.sub("[^a-z0-9-]+", "-", name.lower()).strip("-")[:63].strip("-") or "pod"
