"""The requests of the SDK as data: method, path, body, and how to read the answer. Sends nothing.

Both clients, blocking (client.py) and asyncio (aio.py), send these.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hyper.core.units import parse_size
from hyper.sdk import answers
from hyper.sdk.http1 import path_of

T = TypeVar("T")
Json = dict[str, object]
Objects = list[Json]  # in classes that have a method called list


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request; `read` turns the JSON of the answer into a value."""

    method: str
    path: str
    read: Callable[[object], T]
    query: Mapping[str, object] = field(default_factory=dict)
    body: object = None


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """How a container is made. Sizes as docker writes them ("256m"), ports as -p, volumes as -v."""

    name: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] | None = None
    working_dir: str = ""
    user: str = ""
    hostname: str = ""
    memory: str = ""
    cpus: float = 0.0
    volumes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    network: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    auto_remove: bool = False
    init: bool = False
    kernel: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a process left behind."""

    stdout: bytes
    stderr: bytes
    exit_code: int

    @property
    def text(self) -> str:
        """Return stdout as text."""
        return self.stdout.decode("utf-8", "replace")


def container(name: str, rest: str = "") -> str:
    """Return the path of a container."""
    return path_of("containers", name, rest)


def create_body(image: str, command: Sequence[str], options: ContainerOptions) -> Json:
    """Return the body that creates a container. Raises InvalidArgument."""
    host: Json = {"AutoRemove": options.auto_remove, "ReadonlyRootfs": options.read_only}
    if options.memory:
        host["Memory"] = parse_size(options.memory)
    if options.cpus:
        host["NanoCpus"] = round(options.cpus * 1e9)
    if options.volumes:
        host["Binds"] = list(options.volumes)
    if options.network:
        host["NetworkMode"] = options.network
    if options.init:
        host["Init"] = True
    body: Json = {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in options.env.items()],
        "Labels": dict(options.labels),
        "WorkingDir": options.working_dir,
        "User": options.user,
        "Hostname": options.hostname,
        "HostConfig": host,
    }
    if command:
        body["Cmd"] = list(command)
    if options.entrypoint is not None:
        body["Entrypoint"] = list(options.entrypoint)
    if options.kernel:
        body["Kernel"] = options.kernel
    if options.ports:
        from hyper.sdk.ports import parse_published

        published = parse_published(list(options.ports))
        host["PortBindings"] = published
        body["ExposedPorts"] = {port: {} for port in published}
    return body


def _nothing(answer: object) -> None:
    return None


def container_create(image: str, command: Sequence[str], options: ContainerOptions) -> Call[str]:
    """Create a container; the value is its id."""
    return Call(
        "POST",
        "/containers/create",
        lambda answer: answers.text(answer, "Id"),
        {"name": options.name, "platform": options.platform},
        create_body(image, command, options),
    )


def container_list(everything: bool) -> Call[list[Json]]:
    """List containers, as Docker's ContainerSummary."""
    return Call("GET", "/containers/json", answers.objects, {"all": everything})


def container_inspect(name: str) -> Call[Json]:
    """Inspect a container."""
    return Call("GET", container(name, "/json"), answers.mapping)


def container_start(name: str) -> Call[None]:
    """Start a container."""
    return Call("POST", container(name, "/start"), _nothing)


def container_stop(name: str, timeout_s: int | None) -> Call[None]:
    """Stop a container."""
    return Call("POST", container(name, "/stop"), _nothing, {"t": timeout_s})


def container_restart(name: str, timeout_s: int | None) -> Call[None]:
    """Stop and start a container."""
    return Call("POST", container(name, "/restart"), _nothing, {"t": timeout_s})


def container_kill(name: str, signal: str) -> Call[None]:
    """Send a signal to a container."""
    return Call("POST", container(name, "/kill"), _nothing, {"signal": signal})


def container_remove(name: str, force: bool, volumes: bool) -> Call[None]:
    """Remove a container."""
    return Call("DELETE", container(name), _nothing, {"force": force, "v": volumes})


def container_wait(name: str) -> Call[int]:
    """Wait for a container's end; the value is its exit status."""
    return Call("POST", container(name, "/wait"), lambda a: answers.number(a, "StatusCode"))


def exec_create(
    name: str,
    command: Sequence[str],
    env: Mapping[str, str],
    working_dir: str,
    user: str,
    stdin: bool,
) -> Call[str]:
    """Create an exec; the value is its id."""
    body: Json = {
        "Cmd": list(command),
        "Env": [f"{key}={value}" for key, value in env.items()],
        "WorkingDir": working_dir,
        "User": user,
        "AttachStdin": stdin,
        "AttachStdout": True,
        "AttachStderr": True,
    }
    return Call("POST", container(name, "/exec"), lambda a: answers.text(a, "Id"), body=body)


def exec_exit_code(identifier: str) -> Call[int]:
    """Return the exit status of an exec that has ended."""
    return Call("GET", f"/exec/{identifier}/json", lambda a: answers.number(a, "ExitCode"))


def image_list() -> Call[list[Json]]:
    """List images, as Docker's ImageSummary."""
    return Call("GET", "/images/json", answers.objects)


def image_inspect(name: str) -> Call[Json]:
    """Inspect an image."""
    return Call("GET", path_of("images", name, "/json"), answers.mapping)


def image_remove(name: str, force: bool) -> Call[list[Json]]:
    """Remove an image; the value tells what was untagged and deleted."""
    return Call("DELETE", path_of("images", name), answers.objects, {"force": force})


def image_tag(name: str, repository: str, tag: str) -> Call[None]:
    """Give an image another name."""
    return Call("POST", path_of("images", name, "/tag"), _nothing, {"repo": repository, "tag": tag})


def image_pull_query(reference: str, platform: str) -> Json:
    """Return the query of a pull. Without a tag it is latest's."""
    rest, _, digest = reference.partition("@")
    name, separator, tag = rest.rpartition(":")
    if not separator or "/" in tag:
        name, tag = rest, ""
    return {"fromImage": name, "tag": digest or tag or "latest", "platform": platform}


def volume_list() -> Call[list[Json]]:
    """List volumes."""
    return Call("GET", "/volumes", lambda answer: answers.objects(answer, "Volumes"))


def volume_create(name: str, labels: Mapping[str, str]) -> Call[Json]:
    """Create a volume."""
    body = {"Name": name, "Labels": dict(labels)}
    return Call("POST", "/volumes/create", answers.mapping, body=body)


def volume_inspect(name: str) -> Call[Json]:
    """Inspect a volume."""
    return Call("GET", path_of("volumes", name), answers.mapping)


def volume_remove(name: str, force: bool) -> Call[None]:
    """Remove a volume."""
    return Call("DELETE", path_of("volumes", name), _nothing, {"force": force})


def pod_list() -> Call[list[Json]]:
    """List pods."""
    return Call("GET", "/hyper/v1/pods", answers.objects)


def pod_inspect(name: str) -> Call[Json]:
    """Inspect a pod."""
    return Call("GET", path_of("hyper/v1/pods", name), answers.mapping)


def version() -> Call[Json]:
    """Return the daemon's version."""
    return Call("GET", "/version", answers.mapping)


def info() -> Call[Json]:
    """Return the daemon's information."""
    return Call("GET", "/info", answers.mapping)
