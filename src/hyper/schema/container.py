"""Owns Docker's container create body as a whole: to a ContainerSpec, and back for inspect.

What each field means is in the tables it walks; what depends on image or host is the engine's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hyper.core.errors import InvalidArgument
from hyper.core.ids import check_hostname
from hyper.core.signals import signal_number
from hyper.core.spec import (
    ContainerSpec,
    EndpointSpec,
    LogSpec,
    Mount,
    MountSyntax,
    RestartPolicyName,
)
from hyper.core.values import read_object, read_string
from hyper.schema.config import CONFIG, OPTIONAL
from hyper.schema.fields import read_fields, show_fields
from hyper.schema.hostconfig import HOST_CONFIG
from hyper.schema.networks import PREDEFINED_NETWORKS, check_shared_network, read_endpoint
from hyper.schema.resources import check_resources

KERNEL_ANNOTATION = "hyper.kernel"
POD_ANNOTATION = "hyper.pod"
# Fields dockerd leaves out of inspect when they are not set, and one that may not be null.
_OPTIONAL_HOST = frozenset(
    {"StorageOpt", "Tmpfs", "Sysctls", "Annotations", "Mounts", "Init", "MemorySwappiness"}
)


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """What a create body asks for, and what its sender should be warned of."""

    spec: ContainerSpec
    warnings: tuple[str, ...] = ()


def parse_create(body: Mapping[str, object], platform: str = "") -> CreateRequest:
    """Return the specification a create body describes.

    Besides Docker's fields `Kernel` and `Pod` are Hyper's own; docker users set annotations.

    Raises InvalidArgument for what cannot be, Unsupported for what a VM cannot do, by field.
    """
    if not body:
        raise InvalidArgument("config cannot be empty in order to create a container")
    updates = read_fields(CONFIG, body, "")
    host = read_object(body.get("HostConfig"), "HostConfig")
    for target, value in read_fields(HOST_CONFIG, host, "HostConfig.").items():
        joins = isinstance(value, tuple) and isinstance(updates.get(target), tuple)
        updates[target] = updates[target] + value if joins else value
    if updates.get("network_disabled"):
        updates["network_mode"] = "none"
    mode = str(updates.get("network_mode", "default"))
    updates |= _read_networking(read_object(body.get("NetworkingConfig"), "NetworkingConfig"), mode)
    annotations = dict(updates.get("annotations", ()))
    for name, target, annotation in (
        ("Kernel", "kernel", KERNEL_ANNOTATION),
        ("Pod", "pod", POD_ANNOTATION),
    ):
        updates[target] = read_string(body.get(name) or annotations.get(annotation, ""), name)
    updates["platform"] = platform
    updates["mounts"] = _without_shadowed(updates.get("mounts", ()))
    spec = build_spec(updates)
    return CreateRequest(spec, tuple(_check(spec)))


def _without_shadowed(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Drop anonymous volumes where something else is mounted (docker-py names every bind twice)."""
    taken = {mount.destination for mount in mounts if mount.syntax is not MountSyntax.VOLUME}
    return tuple(
        mount
        for mount in mounts
        if mount.syntax is not MountSyntax.VOLUME or mount.destination not in taken
    )


def build_spec(updates: Mapping[str, Any]) -> ContainerSpec:
    """Return a specification from dotted attribute paths and their values."""
    top = {target: value for target, value in updates.items() if "." not in target}
    spec = ContainerSpec(**{"image": "", "log": LogSpec(""), **top})
    groups: dict[str, dict[str, Any]] = {}
    for target, value in updates.items():
        group, dot, name = target.partition(".")
        if dot:
            groups.setdefault(group, {})[name] = value
    changes: dict[str, Any] = {
        group: replace(getattr(spec, group), **values) for group, values in groups.items()
    }
    return replace(spec, **changes)


def _read_networking(body: Mapping[str, object], mode: str) -> dict[str, Any]:
    """Return what NetworkingConfig.EndpointsConfig sets: the container's place on each network.

    A network that is only named there becomes the network mode when that is the default.
    """
    given = read_object(body.get("EndpointsConfig"), "NetworkingConfig.EndpointsConfig")
    endpoints = tuple(
        read_endpoint(network, value, f"NetworkingConfig.EndpointsConfig.{network}")
        for network, value in given.items()
    )
    asked = tuple(each for each in endpoints if each != EndpointSpec("default"))
    updates: dict[str, Any] = {"endpoints": asked} if asked else {}
    if mode == "default" and endpoints and endpoints[0].network not in PREDEFINED_NETWORKS:
        updates["network_mode"] = endpoints[0].network
    return updates


def _check(spec: ContainerSpec) -> list[str]:
    """Check what concerns several fields; return warnings (moby daemon/container.go)."""
    if spec.hostname:
        check_hostname(spec.hostname)
    if spec.stop_signal:
        signal_number(spec.stop_signal)
    if spec.auto_remove and spec.restart_policy.name is not RestartPolicyName.NO:
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
    if spec.shares_network_of:
        check_shared_network(spec)
    destinations: set[str] = set()
    for mount in spec.mounts:
        if mount.destination in destinations:
            raise InvalidArgument(f"Duplicate mount point: {mount.destination}")
        destinations.add(mount.destination)
    return check_resources(spec.resources)


def show_config(spec: ContainerSpec) -> dict[str, object]:
    """Return the Config object of inspect, as asked; the caller puts in what the image adds."""
    shown = show_fields(CONFIG, spec)
    return {
        name: value
        for name, value in shown.items()
        if name not in OPTIONAL or not (value is None or value is False or value == "")
    }


def show_host_config(spec: ContainerSpec) -> dict[str, object]:
    """Return the HostConfig object of inspect."""
    shown = show_fields(HOST_CONFIG, spec)
    return {name: value for name, value in shown.items() if value or name not in _OPTIONAL_HOST}
