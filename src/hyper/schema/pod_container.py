"""Owns the tables of a container in Hyper's pod document."""

from dataclasses import dataclass, field, replace
from typing import Any

from hyper.core.errors import InvalidArgument
from hyper.core.pod_spec import (
    Action,
    ActionKind,
    Hooks,
    InjectedFile,
    Probe,
    Probes,
    Role,
)
from hyper.core.signals import signal_number
from hyper.core.spec import (
    ContainerSpec,
    Healthcheck,
    LogSpec,
    Mount,
    MountKind,
    PortBinding,
    Resources,
    RestartPolicy,
    RestartPolicyName,
    Rlimit,
)
from hyper.schema.document import (
    Flag,
    Key,
    ListOf,
    Node,
    Number,
    Pairs,
    Size,
    Table,
    Text,
    Values,
    Whole,
    checked,
)
from hyper.schema.hostconfig import read_host
from hyper.schema.pod_security import CONTAINER_DEVICE, LIMITS, SECURITY

_PATH = Text(r"/[^\0]*")


@dataclass(frozen=True, slots=True)
class FileUse:
    """A file of the document as a container wants it."""

    name: str
    path: str
    mode: int = 0o644
    owner: str = ""

    def file(self, content: str) -> InjectedFile:
        """Return it with its content (base64)."""
        return InjectedFile(self.path, content, self.mode, self.owner)


@dataclass(frozen=True, slots=True)
class ContainerPart:
    """A container that was read; its files are added when their contents are known."""

    spec: ContainerSpec
    files: tuple[FileUse, ...] = ()
    tty_given: bool = False
    restart_given: bool = False


def _restart(text: str, where: str) -> RestartPolicy:
    kind, _, count = text.partition(":")
    names = {
        "never": RestartPolicyName.NO,
        "no": RestartPolicyName.NO,
        "always": RestartPolicyName.ALWAYS,
        "unless-stopped": RestartPolicyName.UNLESS_STOPPED,
        "onFailure": RestartPolicyName.ON_FAILURE,
        "on-failure": RestartPolicyName.ON_FAILURE,
    }
    if count and not (count.isdigit() and names[kind] is RestartPolicyName.ON_FAILURE):
        raise InvalidArgument(f"{where}: only on-failure takes a number of retries")
    return RestartPolicy(names[kind], int(count or 0))


@dataclass(frozen=True, slots=True)
class _Restart:
    text: Text = field(
        default=Text(r"never|no|always|unless-stopped|(onFailure|on-failure)(:\d{1,6})?")
    )

    def read(self, value: object, where: str) -> RestartPolicy:
        # `no` without quotes is false to YAML.
        return _restart(self.text.read("no" if value is False else value, where), where)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.text.schema(), {"const": False}]}


ENV = Table(
    "An environment variable.",
    (
        Key("env", Text(r"[^=\0]+"), "its name", required=True),
        Key("value", Text(), "its value"),
    ),
    lambda values, where: f"{values['env']}={values.get('value', '')}",
)

FILE_USE = Table(
    "A file of the pod's `files` put into the container before it starts.",
    (
        Key("filename", Text(), "its name among the pod's files", "name", required=True),
        Key("path", _PATH, "where it is put, absolute", required=True),
        Key("perm", Text("0?[0-7]{3,4}"), "mode in octal; 0644 unless given"),
        Key("user", Text(r"[^:\0]*"), "owner: a number, or a name the image knows"),
        Key("group", Text(r"[^:\0]*"), "group: a number, or a name the image knows"),
    ),
    lambda values, where: FileUse(
        values["name"],
        values["path"],
        int(values.get("perm", "644"), 8),
        f"{values.get('user', '')}:{values['group']}"
        if values.get("group")
        else values.get("user", ""),
    ),
)


def _check_subpath(path: str) -> None:
    if ".." in path.split("/"):
        raise InvalidArgument(f"{path!r} leads out of the volume")


def _mount(kind: MountKind, values: Values) -> Mount:
    made = "subpath" in values and not values.get("read_only")
    return Mount(kind, **values, subpath_mode=0o755 if made else 0)


_SUBPATH = checked(Text(r"[^/].*"), _check_subpath)

VOLUME_USE = Table(
    "A volume of the pod as the container mounts it.",
    (
        Key("volume", Text(), "its name among the pod's volumes", "source", required=True),
        Key("path", _PATH, "where it is mounted, absolute", "destination", required=True),
        Key("subpath", _SUBPATH, "a folder inside the volume, made when there is none"),
        Key("readOnly", Flag(), "the container cannot write to it", "read_only"),
    ),
    lambda values, where: _mount(MountKind.POD, values),
)

NAMED_VOLUME_USE = Table(
    "A named volume of Hyper (hyper volume), made when there is none.",
    (
        Key("name", Text(), "its name", "source", required=True),
        Key("path", _PATH, "where it is mounted, absolute", "destination", required=True),
        Key("subpath", _SUBPATH, "a folder inside the volume, made when there is none"),
        Key("readOnly", Flag(), "the container cannot write to it", "read_only"),
    ),
    lambda values, where: _mount(MountKind.VOLUME, values),
)

ULIMIT = Table(
    "A limit of the container's processes.",
    (
        Key("name", Text(), "as in ulimit, e.g. nofile", required=True),
        Key("soft", Whole(-1), "soft limit, -1 for none", required=True),
        Key("hard", Whole(-1), "hard limit, -1 for none", required=True),
    ),
    lambda values, where: Rlimit(**values),
)

USER = Table(
    "Who the container's process is.",
    (
        Key("name", Text(r"[^:\0]+"), "name or number", required=True),
        Key("group", Text(r"[^:\0]+"), "name or number"),
        Key("additionalGroups", ListOf(Text()), "names or numbers", "groups"),
    ),
)


@dataclass(frozen=True, slots=True)
class _User:
    """`user` as text (name[:group]) or as an object."""

    def read(self, value: object, where: str) -> tuple[str, tuple[str, ...]]:
        if not isinstance(value, dict):
            return Text().read(value, where), ()
        values = USER.read(value, where)
        group = values.get("group", "")
        return values["name"] + (f":{group}" if group else ""), values.get("groups", ())

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [Text().schema(), {"type": "integer"}, USER.schema()]}


HTTP = Table(
    "An HTTP request from inside the pod; 200 to 399 is success.",
    (
        Key("port", Whole(1, 65535), "port", required=True),
        Key("path", _PATH, "path; / unless given"),
        Key("host", Text(), "address; the pod itself unless given"),
        Key("headers", Pairs(), "headers"),
    ),
    lambda values, where: Action(ActionKind.HTTP, **values),
)

TCP = Table(
    "A connection from inside the pod.",
    (
        Key("port", Whole(1, 65535), "port", required=True),
        Key("host", Text(), "address; the pod itself unless given"),
    ),
    lambda values, where: Action(ActionKind.TCP, **values),
)

GRPC = Table(
    "A question by gRPC's health protocol from inside the pod; SERVING is success.",
    (
        Key("port", Whole(1, 65535), "port", required=True),
        Key("service", Text(), "service; the server as a whole unless given"),
        Key("host", Text(), "address; the pod itself unless given"),
    ),
    lambda values, where: Action(ActionKind.GRPC, **values),
)

_ACTIONS = (
    Key("exec", ListOf(Text()), "a command in the container"),
    Key("http", HTTP, "an HTTP request"),
    Key("tcp", TCP, "a connection"),
)


def _action(values: Values, where: str) -> Action:
    given = [name for name in ("exec", "http", "tcp", "grpc", "sleep") if name in values]
    if len(given) != 1:
        raise InvalidArgument(f"{where}: one action is needed: exec, http, tcp...")
    match given[0]:
        case "exec":
            if not values["exec"]:
                raise InvalidArgument(f"{where}.exec: a command is needed")
            return Action(ActionKind.EXEC, values["exec"])
        case "sleep":
            return Action(ActionKind.SLEEP, seconds=values["sleep"])
        case name:
            action: Action = values[name]
            return action


def _probe(values: Values, where: str) -> Probe:
    names = (
        "initial_delay_s",
        "period_s",
        "timeout_s",
        "success_threshold",
        "failure_threshold",
    )
    numbers = {name: values[name] for name in names if name in values}
    return Probe(_action(values, where), **numbers)


PROBE = Table(
    "A check repeated while the container runs.",
    (
        *_ACTIONS,
        Key("grpc", GRPC, "a question by gRPC's health protocol"),
        Key("initialDelay", Number(), "seconds before the first", "initial_delay_s"),
        Key("period", Number(), "seconds between two; 10 unless given", "period_s"),
        Key("timeout", Number(), "seconds one may take; 1 unless given", "timeout_s"),
        Key("successThreshold", Whole(1), "successes in a row that count", "success_threshold"),
        Key("failureThreshold", Whole(1), "failures in a row that count", "failure_threshold"),
    ),
    _probe,
)

PROBES = Table(
    "Checks of the container.",
    (
        Key("startup", PROBE, "the others wait for it; a failure ends the container"),
        Key("liveness", PROBE, "a failure ends the container; its restart policy decides"),
        Key("readiness", PROBE, "whether the container is ready"),
    ),
    lambda values, where: Probes(**values),
)

HOOK = Table(
    "What is done at a point of the container's life.",
    (*_ACTIONS, Key("sleep", Number(), "seconds to wait")),
    _action,
)

HOOKS = Table(
    "Hooks of the container.",
    (
        Key("postStart", HOOK, "right after its start; a failure ends it", "post_start"),
        Key("preStop", HOOK, "before it is signalled to stop", "pre_stop"),
    ),
    lambda values, where: Hooks(**values),
)

CONTAINER_PORT = Table(
    "A published port of the container.",
    (
        Key("containerPort", Whole(1, 65535), "port", "container_port", required=True),
        Key("hostPort", Whole(1, 65535), "port of the host; absent: a free one", "host_port"),
        Key("protocol", Text(choices=("tcp", "udp")), "tcp unless said otherwise"),
        Key("hostIP", Text(), "address of the host", "host_ip"),
    ),
    lambda values, where: PortBinding(**values),
)


def _check_test(test: tuple[str, ...]) -> None:
    kind, count = (test[0] if test else ""), len(test)
    fitting = {"NONE": count == 1, "CMD": count > 1, "CMD-SHELL": count == 2}
    if not fitting.get(kind):
        raise InvalidArgument("CMD and arguments, CMD-SHELL and a command, or NONE is needed")


HEALTH = Table(
    "Docker's health check.",
    (
        Key("test", checked(ListOf(Text()), _check_test),
            "CMD and arguments, or CMD-SHELL and a command; NONE: not even the image's",
            required=True),
        Key("interval", Number(), "seconds", "interval_s"),
        Key("timeout", Number(), "seconds", "timeout_s"),
        Key("startPeriod", Number(), "seconds", "start_period_s"),
        Key("startInterval", Number(), "seconds between two in that time", "start_interval_s"),
        Key("retries", Whole(1), "failures in a row that count"),
    ),
    lambda values, where: Healthcheck(**{"interval_s": 0, "timeout_s": 0, "start_interval_s": 0,
                                         "retries": 0, **values}),
)  # fmt: skip


def _container(values: Values, where: str) -> ContainerPart:
    direct = (
        "image", "command", "entrypoint", "env", "tty", "open_stdin", "init", "working_dir",
        "read_only_root", "stop_signal", "labels", "sysctls", "hooks", "probes", "role",
        "name_in_pod", "ports", "security", "restart_policy", "healthcheck", "extra_hosts",
        "devices", "storage_size_bytes",
    )  # fmt: skip
    found = {name: values[name] for name in direct if name in values}
    user, groups = values.get("user", ("", ()))
    mounts = (*values.get("volumes", ()), *values.get("named", ()), *values.get("tmpfs", ()))
    limits: Resources = values.get("limits", Resources())
    found["resources"] = replace(limits, rlimits=values.get("ulimits", ()))
    stop_timeout = values.get("stop_timeout")
    spec = ContainerSpec(
        **found,
        user=user,
        groups=groups,
        mounts=mounts,
        log=LogSpec(""),
        stop_timeout_s=None if stop_timeout is None else round(stop_timeout),
    )
    return ContainerPart(spec, values.get("files", ()), "tty" in values, "restart_policy" in values)


@dataclass(frozen=True, slots=True)
class _Role:
    def read(self, value: object, where: str) -> Role:
        return Role(Text(choices=tuple(Role)).read(value, where))

    def schema(self) -> dict[str, Any]:
        return Text(choices=tuple(str(role) for role in Role)).schema()


TMPFS = Table(
    "A memory file system.",
    (
        Key("path", _PATH, "where it is mounted, absolute", "destination", required=True),
        Key("size", Size(), "most it holds", "size_bytes"),
        Key("mode", Text("0?[0-7]{3,4}"), "mode of its root in octal; 1777 unless given"),
    ),
    lambda values, where: Mount(
        MountKind.TMPFS, **{**values, "mode": int(values.get("mode", "1777"), 8)}
    ),
)


@dataclass(frozen=True, slots=True)
class _Tmpfs:
    def read(self, value: object, where: str) -> Mount:
        if isinstance(value, dict):
            mount: Mount = TMPFS.read(value, where)
            return mount
        return Mount(MountKind.TMPFS, _PATH.read(value, where))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [_PATH.schema(), TMPFS.schema()]}


@dataclass(frozen=True, slots=True)
class ContainerTable(Table):
    """The table of a container."""

    def node_of(self, name: str) -> Node:
        """Return the node of a field, for a pod-wide default of it."""
        return next(key.node for key in self.keys if key.name == name)


_WORDS = ListOf(Text(), lone=True)

CONTAINER = ContainerTable(
    "A container of the pod.",
    (
        Key("name", Text(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"),
            "its name in the pod; its number unless given", "name_in_pod"),
        Key("image", Text(r".+"), "its image", required=True),
        Key("command", _WORDS, "arguments; the image's unless given"),
        Key("entrypoint", _WORDS, "program; the image's unless given"),
        Key("workdir", _PATH, "working directory", "working_dir"),
        Key("envs", ListOf(ENV), "environment variables", "env"),
        Key("user", _User(), "name[:group], or an object"),
        Key("tty", Flag(), "a terminal"),
        Key("stdin", Flag(), "standard input stays open for `attach`", "open_stdin"),
        Key("init", Flag(), "a reaping init as process 1"),
        Key("readOnly", Flag(), "its root file system cannot be written", "read_only_root"),
        Key("files", ListOf(FILE_USE), "files put into it"),
        Key("volumes", ListOf(VOLUME_USE), "volumes of the pod it mounts"),
        Key("namedVolumes", ListOf(NAMED_VOLUME_USE), "named volumes it mounts", "named"),
        Key("tmpfs", ListOf(_Tmpfs()), "memory file systems of its own"),
        Key("ulimits", ListOf(ULIMIT), "limits of its processes"),
        Key("sysctl", Pairs(), "kernel settings of its namespaces", "sysctls"),
        Key("StopSignal", checked(Text(), signal_number), "signal that asks it to stop",
            "stop_signal"),
        Key("stopTimeout", Number(), "seconds from that to SIGKILL", "stop_timeout"),
        Key("restartPolicy", _Restart(), "what follows its end", "restart_policy"),
        Key("role", _Role(), "init: before the others; sidecar: beside them; main"),
        Key("probes", PROBES, "checks while it runs"),
        Key("hooks", HOOKS, "what is done at its start and stop"),
        Key("healthcheck", HEALTH, "Docker's health check"),
        Key("limits", LIMITS, "limits within the pod"),
        Key("security", SECURITY, "what it may do"),
        Key("devices", ListOf(CONTAINER_DEVICE), "devices of its own"),
        Key("storageSize", Size(), "most its writable layer holds", "storage_size_bytes"),
        Key("ports", ListOf(CONTAINER_PORT), "published ports of it"),
        Key("labels", Pairs(), "labels"),
        Key("extraHosts", ListOf(checked(Text(r"[^:\s]+:\S+"), read_host)),
            "lines of /etc/hosts, name:address",
            "extra_hosts"),
    ),
    _container,
)  # fmt: skip
