"""Owns what is done to a container from outside: the actions of probes and of lifecycle hooks."""

from dataclasses import dataclass

from hyper.schema.kube.codecs import (
    NUMBER,
    PORT,
    STRINGS,
    TEXT,
    integer,
    only,
)
from hyper.schema.kube.fields import Field, Table, acts, differs, many, nested, refused
from hyper.schema.kube.place import Place

_INSIDE = "an address as seen from inside the pod; by default the pod itself"


@dataclass(frozen=True, slots=True)
class Command:
    """A command run in the container, without a shell."""

    command: tuple[str, ...] = ()


EXEC = Table("exec", Command, (acts("command", STRINGS),))


@dataclass(frozen=True, slots=True)
class Header:
    """A header of a request."""

    name: str = ""
    value: str = ""


HEADER = Table(
    "httpHeaders[]", Header, (acts("name", TEXT, required=True), acts("value", TEXT, required=True))
)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; 200 to 399 is success. `port` may be the name of a port."""

    port: int | str = 0
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[Header, ...] = ()


HTTP_GET = Table(
    "httpGet",
    Request,
    (
        acts("port", PORT, required=True),
        acts("path", TEXT),
        differs("host", TEXT, _INSIDE),
        acts("scheme", only("probes and hooks speak no TLS: use exec", "HTTP"), "HTTP"),
        acts("httpHeaders", many(nested(HEADER))),
    ),
)


@dataclass(frozen=True, slots=True)
class Connection:
    """A TCP connection; success is that it opens."""

    port: int | str = 0
    host: str = ""


TCP_SOCKET = Table(
    "tcpSocket",
    Connection,
    (acts("port", PORT, required=True), differs("host", TEXT, _INSIDE)),
)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A question by gRPC's health protocol; success is SERVING."""

    port: int = 0
    service: str = ""


GRPC = Table(
    "grpc", HealthCheck, (acts("port", integer(1, 65535), required=True), acts("service", TEXT))
)


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause."""

    seconds: int = 0


SLEEP = Table("sleep", Sleep, (acts("seconds", NUMBER, required=True),))


@dataclass(frozen=True, slots=True)
class Probe:
    """How to find out whether a container is well; exactly one action."""

    exec: Command | None = None
    http_get: Request | None = None
    tcp_socket: Connection | None = None
    grpc: HealthCheck | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


_POSITIVE = integer(1)
_PROBE_FIELDS: tuple[Field, ...] = (
    acts("exec", nested(EXEC)),
    acts("httpGet", nested(HTTP_GET)),
    acts("tcpSocket", nested(TCP_SOCKET)),
    acts("grpc", nested(GRPC)),
    acts("initialDelaySeconds", NUMBER),
    acts("timeoutSeconds", _POSITIVE),
    acts("periodSeconds", _POSITIVE),
    acts("successThreshold", _POSITIVE),
    acts("failureThreshold", _POSITIVE),
    acts("terminationGracePeriodSeconds", _POSITIVE),
)


def _one_action(actions: tuple[tuple[str, object], ...], place: Place, optional: bool) -> None:
    chosen = [(name, action) for name, action in actions if action is not None]
    for name, _ in chosen[1:]:
        raise place.at(name).forbidden("may not specify more than 1 handler type")
    if not chosen and not optional:
        raise place.required("must specify a handler type")
    for name, action in chosen:
        if isinstance(action, Command) and not action.command:
            raise place.at(name).at("command").required()


def _check_probe(probe: Probe, place: Place) -> None:
    actions = (
        ("exec", probe.exec),
        ("httpGet", probe.http_get),
        ("tcpSocket", probe.tcp_socket),
        ("grpc", probe.grpc),
    )
    _one_action(actions, place, optional=False)


PROBE = Table("probe", Probe, _PROBE_FIELDS, _check_probe)


@dataclass(frozen=True, slots=True)
class Hook:
    """What to do at a moment of a container's life; exactly one action."""

    exec: Command | None = None
    http_get: Request | None = None
    sleep: Sleep | None = None


def _check_hook(hook: Hook, place: Place) -> None:
    actions = (("exec", hook.exec), ("httpGet", hook.http_get), ("sleep", hook.sleep))
    _one_action(actions, place, optional=False)


HOOK = Table(
    "hook",
    Hook,
    (
        acts("exec", nested(EXEC)),
        acts("httpGet", nested(HTTP_GET)),
        acts("sleep", nested(SLEEP)),
        refused("tcpSocket", "deprecated in Kubernetes too, where it fails at run time"),
    ),
    _check_hook,
)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Hooks of a container."""

    post_start: Hook | None = None
    pre_stop: Hook | None = None
    stop_signal: str = ""


NO_HOOKS = Lifecycle()

LIFECYCLE = Table(
    "lifecycle",
    Lifecycle,
    (
        acts("postStart", nested(HOOK)),
        acts("preStop", nested(HOOK)),
        acts("stopSignal", TEXT),
    ),
)
