"""Owns who is on which network: joining and leaving, live for a pod that runs, and what follows.

The networks themselves are `networks`; addresses and ports are the back end's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hyper.agent import messages as guest
from hyper.core.errors import (
    Forbidden,
    HyperError,
    InvalidArgument,
    NotFound,
    Unsupported,
)
from hyper.core.spec import EndpointSpec, NetworkSpec, PortBinding
from hyper.engine import boot, links, pod_plan
from hyper.engine.container import Container
from hyper.engine.events import Event
from hyper.engine.machine import Machine
from hyper.engine.networks import NONE, SHARES, NetworkRegistry, event
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods, find_container
from hyper.engine.services import Services
from hyper.engine.views import NetworkInfo
from hyper.network.networks import Link


@dataclass(frozen=True, slots=True)
class Member:
    """A running container's place on a network."""

    container_id: str
    name: str
    mac: str
    address: str
    prefix_length: int
    address6: str = ""
    prefix_length6: int = 0


class Memberships:
    """Networks and their members, for the API."""

    def __init__(self, services: Services, pods: Pods) -> None:
        self._services = services
        self._pods = pods

    @property
    def registry(self) -> NetworkRegistry:
        """The networks themselves."""
        return self._services.registry

    def members(self, network_id: str) -> list[Member]:
        """Return the running containers on a network."""
        return [
            Member(
                container.id,
                container.row.name,
                at.mac,
                at.address,
                at.prefix_length,
                at.address6,
                at.prefix_length6,
            )
            for container in self._containers()
            for at in container.network.joined
            if at.network_id == network_id and not container.spec.shares_network_of
        ]

    async def create(self, spec: NetworkSpec) -> NetworkInfo:
        """Make a network; see NetworkRegistry."""
        return await self.registry.create(spec)

    async def remove(self, reference: str) -> None:
        """Remove a network. Raises Forbidden while it has members or when it is predefined."""
        info = self.registry.find(reference)
        users = {each.container_id: each.name for each in self.members(info.id)}
        users |= {each.id: each.row.name for each in self._joining(info.id)}
        if users:
            names = ", ".join(f'name:"{name}" id:"{key[:12]}"' for key, name in users.items())
            raise Forbidden(
                f"error while removing network: network {info.spec.name} has active endpoints "
                f"({names})"
            )
        await self.registry.remove(info)

    def _joining(self, network_id: str) -> list[Container]:
        """Return the containers whose start is taking their pod to a network right now."""
        joining = []
        for pod in self._pods.all():
            starting = [each for each in pod.containers.values() if each.launch.under_way]
            # The first one to start takes its pod to the networks of all.
            bring = starting if pod.machine else pod.containers.values()
            named = {each.network_id for brings in bring for each in brings.spec.endpoints}
            joining += starting if network_id in named else []
        return joining

    async def prune(self, chosen: Sequence[NetworkInfo]) -> list[str]:
        """Remove those of `chosen` that no container names; return their names."""
        used = {
            endpoint.network_id
            for container in self._containers()
            for endpoint in container.spec.endpoints
        }
        pruned = []
        for info in chosen:
            if not info.predefined and info.id not in used and not self.members(info.id):
                await self.registry.remove(info)
                pruned.append(info.spec.name)
        return pruned

    async def connect(self, reference: str, container: str, endpoint: EndpointSpec) -> None:
        """Put a container on one more network, at once if it runs.

        Raises NotFound, Forbidden, InvalidArgument, Conflict.
        """
        info = self.registry.find(reference)
        pod, found = find_container(self._pods, container)
        endpoint = replace(endpoint, network=info.spec.name, network_id=info.id)
        if found.spec.network_disabled or found.spec.network_mode == NONE:
            if info.spec.name == NONE:
                raise _already(found, info)
            raise InvalidArgument(
                "container cannot be connected to multiple networks with one of the networks in "
                "private (none) mode"
            )
        if found.spec.shares_network_of:
            raise InvalidArgument(SHARES)
        self.registry.check_endpoint(endpoint)
        await pod.supervisor.call(lambda: self._connect(pod, found, info, endpoint))

    async def _connect(
        self, pod: Pod, container: Container, info: NetworkInfo, endpoint: EndpointSpec
    ) -> None:
        if any(each.network_id == info.id for each in container.spec.endpoints):
            raise _already(container, info)
        if pod.machine is not None and container.active:
            await self._join(pod, pod.machine, container, endpoint)
        endpoints = (*container.spec.endpoints, endpoint)
        await self._store(pod, container, endpoints, info, "connect")

    async def _join(
        self, pod: Pod, machine: Machine, container: Container, endpoint: EndpointSpec
    ) -> None:
        if any(each.network_id == endpoint.network_id for each in machine.link.joined):
            return  # another container of the pod brought it there
        wanted = self.registry.place(container, endpoint)
        link = await self._services.networks.join(pod.row.id, wanted)
        try:
            await _tell(pod, machine, link)
        except HyperError:
            await self._services.networks.leave(pod.row.id, endpoint.network_id)
            raise

    async def disconnect(self, reference: str, container: str, *, force: bool) -> None:
        """Take a container off a network, at once if it runs; off one that is gone if it does not,
        or by `force`. Raises NotFound, Forbidden.
        """
        pod, found = find_container(self._pods, container)
        try:
            info = self.registry.find(reference)
        except NotFound:
            if found.active and not force:
                raise
            await pod.supervisor.call(lambda: self._forget(found, reference))
            return
        await pod.supervisor.call(lambda: self._disconnect(pod, found, info, force=force))

    async def _forget(self, container: Container, network: str) -> None:
        """Take a container off a network that was removed, which is known by its name or id."""
        endpoints = container.spec.endpoints
        left = tuple(each for each in endpoints if network not in (each.network, each.network_id))
        if left == endpoints:
            raise _not_on(container, network)
        store = self._services.store
        spec = replace(container.spec, endpoints=left)
        await store.call(store.put_spec, container.id, spec, ())
        container.row = replace(container.row, spec=spec)

    async def _disconnect(
        self, pod: Pod, container: Container, info: NetworkInfo, *, force: bool
    ) -> None:
        left = tuple(each for each in container.spec.endpoints if each.network_id != info.id)
        if len(left) == len(container.spec.endpoints):
            raise _not_on(container, info.spec.name)
        machine = pod.machine
        others = any(
            each.network_id == info.id
            for other in pod.containers.values()
            if other is not container and other.active
            for each in other.spec.endpoints
        )
        if machine is not None and container.active and not others:
            link = await self._services.networks.leave(pod.row.id, info.id)
            try:
                await _tell(pod, machine, link)
            except HyperError:
                if not force:
                    raise
        await self._store(pod, container, left, info, "disconnect")

    async def _store(
        self,
        pod: Pod,
        container: Container,
        endpoints: tuple[EndpointSpec, ...],
        info: NetworkInfo,
        action: str,
    ) -> None:
        spec = replace(container.spec, endpoints=endpoints)
        store = self._services.store
        happened = event(action, info, container.id)
        await store.call(store.put_spec, container.id, spec, (happened,))
        container.row = replace(container.row, spec=spec)
        if pod.machine is not None:
            await _store_resources(pod)
        self._services.feed.publish(happened)

    def _containers(self) -> list[Container]:
        return [each for pod in self._pods.all() for each in pod.containers.values()]


def _already(container: Container, info: NetworkInfo) -> Forbidden:
    name = container.row.name
    return Forbidden(f"endpoint with name {name} already exists in network {info.spec.name}")


def _not_on(container: Container, network: str) -> Forbidden:
    return Forbidden(f"container {container.id} is not connected to network {network}")


async def _tell(pod: Pod, machine: Machine, link: Link) -> None:
    """Have the guest's interfaces follow a link that changed, and remember it."""
    await machine.agent.request(guest.PodSetup(interfaces=links.interfaces(link)))
    machine.link = link
    machine.network = links.view(link)
    for container in pod.containers.values():
        if container.active:
            container.network = machine.network


async def enter(pod: Pod, machine: Machine, container: Container) -> None:
    """Give a container that starts in a pod that runs its networks, names and published ports.

    Nothing is left to do for the one the pod was started with.
    """
    services, link = pod.services, machine.link
    here = {joined.network_id for joined in link.joined}
    for endpoint in container.spec.endpoints:
        if endpoint.network_id not in here:
            wanted = services.registry.place(container, endpoint)
            link = await services.networks.join(pod.row.id, wanted)
    if len(link.joined) != len(here):
        await _tell(pod, machine, link)
    open_ports = {(port.container_port, port.protocol) for port in link.ports}
    missing = [
        port
        for port in links.published(container.spec, pod.row.spec, services)
        if (port.container_port, port.protocol) not in open_ports
    ]
    if missing:
        link = await services.networks.publish(pod.row.id, (*link.ports, *missing))
    if link is not machine.link:
        machine.link, machine.network = link, links.view(link)
        await _store_resources(pod)
    rename(pod)


async def publish(
    pod: Pod, machine: Machine, added: Sequence[PortBinding], removed: Sequence[PortBinding]
) -> None:
    """Change the published ports of a pod that runs. Raises Conflict, Unsupported."""
    left = tuple(port for port in machine.link.ports if port not in removed)
    link = await pod.services.networks.publish(pod.row.id, (*left, *added))
    if {*link.ports} & {*removed}:
        raise Unsupported(
            "taking a published port away: this host's pods use the VMM's user-mode network, "
            "whose ports are those of a pod's start: stop the pod first"
        )
    machine.link, machine.network = link, links.view(link)
    await _store_resources(pod)


async def find_networks(pod: Pod, container: Container) -> None:
    """Find a starting container's networks by name, where create did not or one was made anew.

    Raises NotFound, InvalidArgument.
    """
    registry = pod.services.registry
    try:
        endpoints = registry.refresh(container.spec.endpoints)
    except NotFound as err:
        raise NotFound("network to start on", err.name) from err
    if endpoints != container.spec.endpoints:
        store = pod.services.store
        spec = replace(container.spec, endpoints=endpoints)
        await store.call(store.put_spec, container.id, spec, ())
        container.row = replace(container.row, spec=spec)


def moves(pod: Pod, container: Container, action: str) -> tuple[Event, ...]:
    """Return the events of a container's joining or leaving its networks with its start or end."""
    registry = pod.services.registry
    found = (registry.known(endpoint.network_id) for endpoint in container.spec.endpoints)
    return tuple(event(action, info, container.id) for info in found if info is not None)


async def _store_resources(pod: Pod) -> None:
    """Store what changed of a running VM's resources: its networks, its ports."""
    if pod.machine is not None:
        row = pod.row = replace(pod.row, resources=boot.resources_record(pod.machine))
        store = pod.services.store
        await store.call(store.pod_table.put_state, row.id, row.state, row.vm, row.resources)


async def exited(pod: Pod, machine: Machine) -> None:
    """Close the published ports of a container that ended in a pod that goes on."""
    if not any(container.active for container in pod.containers.values()):
        return  # either the VM ends with it, or the next start has the same ports
    asked = [pod_plan.binding(port, pod.row.spec) for port in pod.row.spec.ports]
    for container in pod.containers.values():
        if container.active:
            asked += links.published(container.spec, pod.row.spec, pod.services)
    wanted = {(port.container_port, port.protocol) for port in asked}
    left = tuple(
        port for port in machine.link.ports if (port.container_port, port.protocol) in wanted
    )
    if left != machine.link.ports:
        machine.link = await pod.services.networks.publish(pod.row.id, left)
        machine.network = links.view(machine.link)
        await _store_resources(pod)


def rename(pod: Pod) -> None:
    """Make a pod's containers found under the names they have now."""
    services = pod.services
    wanted = services.registry.wanted(pod.row.spec, tuple(pod.containers.values()))
    servers = next((each.spec.dns for each in pod.containers.values() if each.spec.dns), ())
    names = {each.network_id: each.names for each in wanted}
    services.networks.rename(pod.row.id, names, servers)
