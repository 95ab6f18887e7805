"""Owns the table of Docker's container Config: what each field sets and how far it is honoured."""

from hyper.core.errors import InvalidArgument
from hyper.core.spec import ContainerSpec
from hyper.core.values import (
    BOOL,
    OPTIONAL_STRINGS,
    PAIRS,
    STRING,
    STRINGS,
    WORDS,
    Codec,
    read_int,
    read_string,
    read_words,
)
from hyper.schema.fields import Field, Support, Updates, refused, works
from hyper.schema.health import HEALTHCHECK
from hyper.schema.mounts import VOLUMES
from hyper.schema.ports import read_exposed, show_exposed


def _read_working_dir(value: object, where: str) -> str:
    path = read_string(value, where)
    if path and not path.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{path}' is invalid, it needs to be an absolute path"
        )
    return path


def _read_env(value: object, where: str) -> tuple[str, ...]:
    entries = STRINGS.read(value, where)
    for entry in entries:
        if not entry.partition("=")[0]:
            raise InvalidArgument(f"invalid environment variable: {entry}")
    return entries


def _read_command(value: object, where: str) -> tuple[str, ...] | None:
    # An empty array says nothing (docker-py sends one), as in moby's merge of image and container.
    return read_words(value, where) or None


def _read_exposed(value: object, where: str) -> Updates:
    return {"exposed_ports": read_exposed(value, where)}


def _read_stop_timeout(value: object, where: str) -> int | None:
    return read_int(value, where)


_OPTIONAL_INT: Codec[int | None] = Codec(_read_stop_timeout, lambda value: value)

CONFIG: tuple[Field, ...] = (
    works("Hostname", "hostname", STRING, "at most 64 characters of RFC 1123, or '_'"),
    works("Domainname", "domainname", STRING),
    works("User", "user", STRING, "names are resolved in the image's /etc/passwd and /etc/group"),
    works("AttachStdin", "attach_stdin", BOOL),
    works("AttachStdout", "attach_stdout", BOOL),
    works("AttachStderr", "attach_stderr", BOOL),
    Field(
        "ExposedPorts", Support.WORKS, "", _read_exposed, lambda spec: show_exposed(spec) or None
    ),
    works("Tty", "tty", BOOL),
    works("OpenStdin", "open_stdin", BOOL),
    works("StdinOnce", "stdin_once", BOOL),
    works("Env", "env", Codec(_read_env, STRINGS.write)),
    works("Cmd", "command", Codec(_read_command, WORDS.write)),
    HEALTHCHECK,
    refused("ArgsEscaped", "Windows only", shown=None),
    works("Image", "image", STRING),
    VOLUMES,
    works("WorkingDir", "working_dir", Codec(_read_working_dir, STRING.write)),
    works("Entrypoint", "entrypoint", WORDS),
    works("NetworkDisabled", "network_disabled", BOOL, "the same as network mode none"),
    works("MacAddress", "mac_address", STRING),
    works("OnBuild", "on_build", OPTIONAL_STRINGS, "kept for commit"),
    works("Labels", "labels", PAIRS),
    works("StopSignal", "stop_signal", STRING),
    works("StopTimeout", "stop_timeout_s", _OPTIONAL_INT),
    works("Shell", "shell", WORDS, "used by CMD-SHELL health checks and kept for commit"),
)

# Fields dockerd leaves out of inspect when they are not set (`omitempty` in moby container.Config).
OPTIONAL = frozenset(
    {
        "ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal",
        "StopTimeout", "Shell",
    }
)  # fmt: skip


def uses_network(spec: ContainerSpec) -> bool:
    """Return whether a container asked for any network."""
    return not spec.network_disabled and spec.network_mode != "none"
