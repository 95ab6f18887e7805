"""Owns `--link` on the default network: whom a container means, what it is told, what follows.

On user-defined networks links are names (`networks`); here they are lines of /etc/hosts and
variables, as dockerd's are (moby daemon/links, daemon/container_operations_unix.go).
"""

import io
import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hyper.agent import messages as guest
from hyper.core.errors import Conflict, HyperError, InvalidArgument, NotFound, Unsupported
from hyper.core.spec import ContainerSpec, LinkSpec
from hyper.engine.container import Container
from hyper.engine.jobs import job
from hyper.engine.networks import BRIDGE, NONE, predefined_id
from hyper.engine.pods import Pods, find_container
from hyper.engine.states import ContainerState

if TYPE_CHECKING:
    from hyper.engine.machine import Machine
    from hyper.engine.pod import Pod

HOSTS = "/etc/hosts"
_HOSTS_MAX_BYTES = 1 << 20
_RUNNING = (ContainerState.RUNNING, ContainerState.PAUSED)
_NOT_PASSED_ON = ("HOME", "PATH")  # moby links.go: what an image's build set


@dataclass(frozen=True, slots=True)
class Linked:
    """A container that another knows by `alias`, and its address on the default network."""

    alias: str
    container: Container
    address: str


def on_default_network(mode: str) -> bool:
    """Tell whether links of a container of this network mode are those of the default network."""
    return mode in ("", "default", BRIDGE, NONE)


def resolve(pods: Pods, spec: ContainerSpec, *, names_only: bool) -> tuple[LinkSpec, ...]:
    """Return links that name by id whom they mean. Raises InvalidArgument, Unsupported.

    `names_only` says that the host's pods cannot reach each other.
    """
    settled: dict[str, LinkSpec] = {}
    for link in spec.links:
        try:
            _, target = find_container(pods, link.container)
            while target.spec.shares_network_of:
                _, target = find_container(pods, target.spec.shares_network_of)
        except NotFound as err:  # clients take a 404 of create for a missing image
            raise InvalidArgument(f"could not get container for {link.container}: {err}") from err
        if names_only:
            raise Unsupported(
                f"--link {link.container}: this host's pods cannot reach each other (see "
                "hyper doctor)"
            )
        alias = link.alias or link.container
        settled.setdefault(alias, LinkSpec(target.id, alias, target.row.name))
    return tuple(settled.values())


def linked(pod: "Pod", container: Container) -> list[Linked]:
    """Return what a container on the default network is linked to. Raises Conflict.

    All of it has to run, and to be on that network.
    """
    if not container.spec.links or _address_asked(container) is None:
        return []
    found = []
    for link in container.spec.links:
        target = _by_id(pod, link.container)
        if target is None or target.status.state not in _RUNNING:
            name = target.row.name if target else link.name
            raise Conflict(
                f"Cannot link to a non running container: /{name} AS "
                f"/{container.row.name}/{link.alias}"
            )
        address = _address(target)
        if not address:
            raise Conflict(
                f"Cannot link to /{target.row.name}, as it does not belong to the default network"
            )
        found.append(Linked(link.alias, target, address))
    return found


def _address_asked(container: Container) -> str | None:
    """Return the address asked for on the default network, None when it is not on it."""
    default = predefined_id(BRIDGE)
    asked = (each for each in container.spec.endpoints if each.network_id == default)
    return next((each.address for each in asked), None)


def _address(container: Container) -> str:
    """Return the address a running container has on the default network, "" without one."""
    default = predefined_id(BRIDGE)
    joined = (each for each in container.network.joined if each.network_id == default)
    return next((each.address for each in joined), "")


def _by_id(pod: "Pod", container_id: str) -> Container | None:
    for other in pod.services.pods():
        if container_id in other.containers:
            return other.containers[container_id]
    return None


# --- what a container is told ---------------------------------------------------------------------


def hosts_lines(found: Iterable[Linked]) -> tuple[str, ...]:
    """Return the lines of /etc/hosts: the alias, the host name, and the name if it is another."""
    lines = []
    for each in found:
        name = each.container.row.name
        names = [each.alias, each.container.hostname, *([name] if name != each.alias else [])]
        lines.append(f"{each.address}\t{' '.join(names)}")
    return tuple(lines)


def environment(own_name: str, found: Iterable[Linked]) -> tuple[str, ...]:
    """Return the variables about what a container is linked to."""
    return tuple(
        variable
        for each in found
        for variable in _variables(
            own_name,
            each.alias,
            each.address,
            each.container.spec.exposed_ports,
            each.container.row.command.env,
        )
    )


def _variables(
    own_name: str, alias: str, address: str, exposed: Sequence[str], env: Sequence[str]
) -> Iterable[str]:
    prefix = alias.upper().replace("-", "_")
    ports = sorted(_port(text) for text in exposed)
    if ports:
        _, number, protocol = min(ports, key=lambda port: (port[1], port[0]))
        yield f"{prefix}_PORT={protocol}://{address}:{number}"
    at = 0
    while at < len(ports):
        last = _last_of_range(ports, at)
        if last > at + 1:
            yield from _range(prefix, address, ports[at], ports[last])
            at = last
        at += 1
    for _, number, protocol in ports:
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield f"{name}={protocol}://{address}:{number}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PORT={number}"
        yield f"{name}_PROTO={protocol}"
    yield f"{prefix}_NAME=/{own_name}/{alias}"
    for entry in env:
        name, equals, value = entry.partition("=")
        if equals and name not in _NOT_PASSED_ON:
            yield f"{prefix}_ENV_{name}={value}"


def _port(text: str) -> tuple[tuple[bool, str], int, str]:
    """Return a port with what it is sorted by: tcp first, then by number."""
    number, _, protocol = text.partition("/")
    protocol = protocol or "tcp"
    return (protocol != "tcp", protocol), int(number), protocol


def _last_of_range(ports: Sequence[tuple[object, int, str]], first: int) -> int:
    """Return where the numbers that follow each other end (moby links.go: nextContiguous)."""
    last = first
    while last + 1 < len(ports) and ports[last + 1][1] <= ports[first][1] + (last - first) + 1:
        last += 1
    return last


def _range(
    prefix: str, address: str, first: tuple[object, int, str], last: tuple[object, int, str]
) -> Iterable[str]:
    _, start, protocol = first
    name = f"{prefix}_PORT_{start}_{protocol.upper()}"
    yield f"{name}_START={protocol}://{address}:{start}"
    yield f"{name}_ADDR={address}"
    yield f"{name}_PROTO={protocol}"
    yield f"{name}_PORT_START={start}"
    _, end, protocol = last
    name = f"{prefix}_PORT_{start}_{protocol.upper()}"
    yield f"{name}_END={protocol}://{address}:{end}"
    yield f"{name}_PORT_END={end}"


# --- names, and what changes them -----------------------------------------------------------------


def link_names(pods: Iterable["Pod"]) -> dict[str, list[str]]:
    """Return the names that containers have by being linked to (OWNER/ALIAS), by their ids."""
    names: dict[str, list[str]] = {}
    for owner in _owners(pods):
        for link in owner.spec.links:
            names.setdefault(link.container, []).append(f"{owner.row.name}/{link.alias}")
    return names


def _owners(pods: Iterable["Pod"]) -> list[Container]:
    return [each for pod in pods for each in pod.containers.values() if each.spec.links]


async def renamed(pod: "Pod", target: Container) -> None:
    """Take a container's new name into the links that lead to it."""
    for other in pod.services.pods():
        for owner in tuple(other.containers.values()):
            if any(link.container == target.id for link in owner.spec.links):
                links = tuple(
                    replace(link, name=target.row.name) if link.container == target.id else link
                    for link in owner.spec.links
                )
                await other.supervisor.call(partial(_put_links, other, owner, links))


async def _put_links(pod: "Pod", owner: Container, links: tuple[LinkSpec, ...]) -> None:
    spec = replace(owner.spec, links=links)
    store = pod.services.store
    await store.call(store.put_spec, owner.id, spec, ())
    owner.row = replace(owner.row, spec=spec)


async def unlink(pods: Pods, reference: str) -> None:
    """Remove a link by its name OWNER/ALIAS. Raises NotFound, Conflict."""
    find_container(pods, reference)
    parent, slash, alias = reference.removeprefix("/").rpartition("/")
    if not slash:
        raise Conflict("Conflict, cannot remove the default link name of the container")
    pod, owner = find_container(pods, parent)
    left = tuple(link for link in owner.spec.links if link.alias != alias)
    await pod.supervisor.call(partial(_put_links, pod, owner, left))
    if pod.machine and owner.status.state in _RUNNING:
        await _change_hosts(pod.machine, owner, alias, "")


async def tell_owners(pod: "Pod", target: Container) -> None:
    """Have those who are linked to a container that has just started find it where it is now."""
    address = _address(target)
    for other in pod.services.pods():
        for owner in tuple(other.containers.values()):
            if owner is target or not owner.spec.links or owner.status.state not in _RUNNING:
                continue
            for link in owner.spec.links:
                if link.container == target.id and other.machine and address:
                    try:
                        await _change_hosts(other.machine, owner, link.alias, address)
                    except HyperError as err:
                        other.log.warning("%s of container %s: %s", HOSTS, owner.id[:12], err)


async def _change_hosts(machine: "Machine", owner: Container, alias: str, address: str) -> None:
    text = await _read_hosts(machine, owner)
    changed = with_address(text, alias, address)
    if changed != text:
        await machine.agent.request(
            guest.FileWrite(
                container=owner.id, path=HOSTS, content=changed.encode("utf-8", "surrogateescape")
            )
        )


def with_address(hosts: str, alias: str, address: str) -> str:
    """Return the text of /etc/hosts with another address for an alias, "": without its line."""
    line = re.compile(rf"^\S+(\t{re.escape(alias)}[ \n].*?\n?)$")
    lines = []
    for text in hosts.splitlines(keepends=True):
        match = line.match(text)
        if match is None:
            lines.append(text)
        elif address:
            lines.append(address + match[1])
    return "".join(lines)


async def _read_hosts(machine: "Machine", owner: Container) -> str:
    archive = bytearray()

    def request(process_id: int) -> guest.Message:
        return guest.ArchiveRead(owner.id, process_id, HOSTS, "hosts", True)

    async with job(machine, owner.id, request) as reading:
        async for data in reading.output():
            archive += data
            if len(archive) > _HOSTS_MAX_BYTES:
                raise InvalidArgument(f"{HOSTS} is too long")
    try:
        with tarfile.open(fileobj=io.BytesIO(bytes(archive))) as tar:
            member = tar.next()
            content = tar.extractfile(member) if member else None
            return content.read().decode("utf-8", "surrogateescape") if content else ""
    except (tarfile.TarError, OSError) as err:
        raise InvalidArgument(f"{HOSTS} cannot be read: {err}") from err
