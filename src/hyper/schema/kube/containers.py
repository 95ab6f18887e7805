"""Owns containers of a pod: their documents."""

from dataclasses import dataclass

from hyper.schema.kube.actions import LIFECYCLE, NO_HOOKS, PROBE, Lifecycle, Probe
from hyper.schema.kube.codecs import (
    BOOLEAN,
    DNS_LABEL,
    PORT_NUMBER,
    STRINGS,
    TEXT,
    choice,
    integer,
    named,
    only,
)
from hyper.schema.kube.compute import NO_LIMITS, REQUIREMENTS_CODEC, Requirements
from hyper.schema.kube.environment import BUNDLES, VARIABLES, Bundle, Variable
from hyper.schema.kube.fields import Field, Table, acts, differs, idle, many, nested, refused
from hyper.schema.kube.names import port_name
from hyper.schema.kube.place import Place
from hyper.schema.kube.security import CONTAINER_SECURITY, POD_DEFAULTS, ContainerSecurity
from hyper.schema.kube.volumes import VOLUME_MOUNT, VolumeMount

ALWAYS, ON_FAILURE, NEVER = "Always", "OnFailure", "Never"
TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class Port:
    """A port a container listens on; host_port 0 does not publish it."""

    container_port: int = 0
    name: str = ""
    host_port: int = 0
    host_ip: str = ""
    protocol: str = "TCP"


PORT = Table(
    "ports[]",
    Port,
    (
        acts("containerPort", PORT_NUMBER, required=True),
        acts("name", named(port_name), "probes and hooks may use it"),
        acts("hostPort", integer(0, 65535)),
        acts("hostIP", TEXT),
        acts("protocol", only("SCTP is not forwarded", "TCP", "UDP"), "TCP, UDP"),
    ),
)


@dataclass(frozen=True, slots=True)
class Container:
    """A container; restart_policy Always makes an init container a sidecar."""

    name: str = ""
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[Variable, ...] = ()
    env_from: tuple[Bundle, ...] = ()
    ports: tuple[Port, ...] = ()
    resources: Requirements = NO_LIMITS
    volume_mounts: tuple[VolumeMount, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle = NO_HOOKS
    security_context: ContainerSecurity = POD_DEFAULTS
    restart_policy: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False


FIELDS: tuple[Field, ...] = (
    acts("name", DNS_LABEL, required=True),
    acts("image", TEXT, required=True),
    differs(
        "imagePullPolicy",
        choice(ALWAYS, "IfNotPresent", NEVER),
        "IfNotPresent when absent, whatever the tag",
    ),
    acts("command", STRINGS, "instead of the image's ENTRYPOINT, whose CMD is then dropped"),
    acts("args", STRINGS, "instead of the image's CMD"),
    acts("workingDir", TEXT),
    acts("env", VARIABLES),
    acts("envFrom", BUNDLES),
    differs("ports", many(nested(PORT)), "hostPort publishes; others are reachable in the pod"),
    acts("resources", REQUIREMENTS_CODEC),
    acts("volumeMounts", many(nested(VOLUME_MOUNT))),
    acts("livenessProbe", nested(PROBE)),
    acts("readinessProbe", nested(PROBE), "shown as the container's health; there is no Service"),
    acts("startupProbe", nested(PROBE)),
    acts("lifecycle", nested(LIFECYCLE)),
    acts("securityContext", nested(CONTAINER_SECURITY)),
    acts("stdin", BOOLEAN),
    acts("stdinOnce", BOOLEAN),
    acts("tty", BOOLEAN),
    refused(
        "terminationMessagePath",
        "nothing reads it: look at the exit status and the log",
        TERMINATION_LOG,
    ),
    idle("terminationMessagePolicy", "there are no termination messages", "File"),
    refused("volumeDevices", "a raw device is not given to a container"),
    idle("resizePolicy", "limits are changed with `hyper update`, never with a restart"),
    refused("restartPolicyRules", "restarts do not depend on exit codes"),
)
CONTAINER = Table(
    "container",
    Container,
    (
        *FIELDS,
        refused("restartPolicy", "of one container: the pod's restartPolicy is for all of them"),
    ),
)
INIT_CONTAINER = Table(
    "initContainer",
    Container,
    (
        *FIELDS,
        acts(
            "restartPolicy",
            only("an init container runs once, or always as a sidecar", ALWAYS),
            "Always: a sidecar",
        ),
    ),
)


def check_container(container: Container, place: Place, volumes: frozenset[str]) -> None:
    """Judge a container together with its pod's volumes."""
    image = container.image
    if not image:
        raise place.at("image").required()
    if image != image.strip():
        raise place.at("image").invalid(image, "must not have leading or trailing whitespace")
    _check_ports(container.ports, place.at("ports"))
    _check_mounts(container.volume_mounts, place.at("volumeMounts"), volumes)
    for name, probe in (
        ("livenessProbe", container.liveness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe and probe.success_threshold != 1:
            raise (
                place.at(name).at("successThreshold").invalid(probe.success_threshold, "must be 1")
            )
    readiness = container.readiness_probe
    if readiness and readiness.termination_grace_period_seconds is not None:
        raise (
            place.at("readinessProbe")
            .at("terminationGracePeriodSeconds")
            .invalid(
                readiness.termination_grace_period_seconds,
                "must not be set for readinessProbes",
            )
        )
    _check_port_names(container, place)


def _check_ports(ports: tuple[Port, ...], place: Place) -> None:
    seen: set[str] = set()
    for at, port in enumerate(ports):
        if port.name in seen:
            raise place.item(at).at("name").duplicate(port.name)
        seen |= {port.name} - {""}


def _check_mounts(mounts: tuple[VolumeMount, ...], place: Place, volumes: frozenset[str]) -> None:
    paths: set[str] = set()
    for at, mount in enumerate(mounts):
        where = place.item(at)
        if mount.name not in volumes:
            raise where.at("name").not_found(mount.name)
        if mount.mount_path in paths:
            raise where.at("mountPath").invalid(mount.mount_path, "must be unique")
        paths.add(mount.mount_path)


def _check_port_names(container: Container, place: Place) -> None:
    """Check that ports which probes and hooks name are among the container's own."""
    known = {port.name for port in container.ports}
    hooks = container.lifecycle
    for path, user in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
        ("lifecycle.postStart", hooks.post_start),
        ("lifecycle.preStop", hooks.pre_stop),
    ):
        for kind, action in (
            ("httpGet", getattr(user, "http_get", None)),
            ("tcpSocket", getattr(user, "tcp_socket", None)),
        ):
            if action and isinstance(action.port, str) and action.port not in known:
                raise (
                    place.at(path)
                    .at(kind)
                    .at("port")
                    .invalid(action.port, "no port of the container has this name")
                )


def check_init_container(container: Container, place: Place) -> None:
    """Judge what an init container may not have unless it is a sidecar."""
    if container.restart_policy == ALWAYS:
        return
    for name, value in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if value is not None:
            raise place.at(name).forbidden("may not be set for init containers")
    if container.lifecycle != NO_HOOKS:
        raise place.at("lifecycle").forbidden("may not be set for init containers")
