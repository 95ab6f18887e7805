"""Owns the services of networks: which pods are behind each, at any time, and their records.

How a connection reaches a pod is the back end's (`network.balance`).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hyper.core.errors import HyperError, InvalidArgument, NotFound
from hyper.core.ids import new_id
from hyper.core.pod_spec import NetworkService, ServicePort
from hyper.core.spec import PortBinding
from hyper.engine.events import Event
from hyper.engine.networks import NetworkRegistry
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods
from hyper.engine.services import Services
from hyper.network.networks import Balanced, BalancedPort

NODE_PORTS = range(30000, 32768)
"""Where a host port is chosen from (kubernetes, --service-node-port-range)."""

_log = logging.getLogger("engine.services")


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service as it is: its spec with address and host ports, and who is behind each port."""

    id: str
    spec: NetworkService
    backends: tuple[tuple[ServicePort, tuple[tuple[str, int], ...]], ...]


@dataclass(slots=True)
class _Known:
    id: str
    spec: NetworkService
    made: Balanced | None = None


class ServiceRegistry:
    """All services of networks, by name. `run` must run while there are pods."""

    def __init__(self, services: Services, pods: Pods) -> None:
        self._services = services
        self._pods = pods
        self._known: dict[str, _Known] = {}
        self._turn = asyncio.Lock()

    @property
    def _networks(self) -> NetworkRegistry:
        return self._services.registry

    async def load(self) -> None:
        """Take over the stored services, before anybody else gets their addresses."""
        store = self._services.store
        for service_id, spec in await store.call(store.services.all):
            known = self._known[spec.name] = _Known(service_id, spec)
            try:
                made = self._described(known)
                self._services.networks.balancer.adopt(made)
                known.made = made
            except HyperError as err:
                _log.warning("service %s cannot be used: %s", spec.name, err)

    async def run(self) -> None:
        """Follow the pods: when one comes, goes or gets ready, its services change."""
        while True:
            await self._services.pods_changed.wait()
            self._services.pods_changed.clear()
            await self.refresh()

    def on_network(self, network_id: str) -> tuple[str, ...]:
        """Return the names of the services on a network."""
        return tuple(
            known.spec.name
            for known in self._known.values()
            if known.made is not None and known.made.network_id == network_id
        )

    async def refresh(self) -> None:
        """Make every service lead to the pods that are behind it now."""
        async with self._turn:
            for known in tuple(self._known.values()):
                try:
                    await self._make(known)
                except HyperError as err:
                    _log.warning("service %s is not up to date: %s", known.spec.name, err)

    def views(self) -> list[ServiceView]:
        """Return every service."""
        return [self._view(known) for known in self._known.values()]

    async def put(self, spec: NetworkService) -> ServiceView:
        """Make a service, or replace the one of its name.

        Raises NotFound (network), Conflict (address, host port), InvalidArgument, Unsupported.
        """
        _check(spec)
        async with self._turn:
            before = self._known.get(spec.name)
            if before and (before.spec.network, before.spec.headless) != (
                spec.network,
                spec.headless,
            ):
                await self._remove(before)
                before = None
            known = before or _Known(new_id(), spec)
            was = known.spec
            known.spec = replace(spec, address=was.address if before else spec.address)
            try:
                made = await self._make(known)
            except HyperError:
                known.spec = was
                raise
            known.spec = _settled(known.spec, made)
            self._known[spec.name] = known
            store = self._services.store
            event = _event(known, "update" if before else "create")
            await store.call(store.services.put, known.id, known.spec, (event,))
            self._services.feed.publish(event)
            return self._view(known)

    async def remove(self, name: str) -> None:
        """Take a service away. Raises NotFound."""
        async with self._turn:
            known = self._known.get(name)
            if known is None:
                raise NotFound("service", name)
            await self._remove(known)

    async def _remove(self, known: _Known) -> None:
        event = _event(known, "destroy")
        store = self._services.store
        await store.call(store.services.remove, known.spec.name, (event,))
        del self._known[known.spec.name]
        await self._services.networks.balancer.drop(known.id)
        self._services.feed.publish(event)

    async def _make(self, known: _Known) -> Balanced:
        wanted = self._described(known)
        if known.made is None or known.made != wanted:
            known.made = await self._services.networks.balancer.put(wanted)
        return known.made

    def _described(self, known: _Known) -> Balanced:
        """Return what the back end is to make of a service, with the pods of this moment."""
        spec = known.spec
        network_id = self._networks.find(spec.network).id
        members = self._members(spec, network_id)
        settled = known.made.published if known.made else ()
        return Balanced(
            id=known.id,
            network_id=network_id,
            address=known.made.address if known.made else spec.address,
            names=spec.names,
            ports=tuple(
                BalancedPort(port.port, port.protocol, _backends(port, members), spec.sticky)
                for port in spec.ports
            ),
            published=tuple(_binding(port, settled) for port in spec.ports if port.host_port),
            headless=spec.headless,
            hosts=tuple(_named(pod, address, spec.names) for address, pod in members)
            if spec.headless
            else (),
        )

    def _members(self, spec: NetworkService, network_id: str) -> list[tuple[str, Pod]]:
        """Return the pods behind a service with their addresses, oldest first."""
        wanted = set(spec.selector)
        found = []
        for pod in self._pods.all():
            if pod.machine is None or not wanted <= set(pod.row.spec.labels):
                continue
            if not spec.unready and not _is_ready(pod):
                continue
            for joined in pod.machine.link.joined:
                if joined.network_id == network_id:
                    found.append((pod.row.created_ns, joined.address, pod))
        return [(address, pod) for _, address, pod in sorted(found, key=lambda item: item[:2])]

    def _view(self, known: _Known) -> ServiceView:
        behind = {
            (port.port, port.protocol): port.backends
            for port in (known.made.ports if known.made else ())
        }
        backends = tuple(
            (port, behind.get((port.port, port.protocol), ())) for port in known.spec.ports
        )
        return ServiceView(known.id, known.spec, backends)


def _named(pod: Pod, address: str, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the address of a headless service's pod, and the names that have it."""
    host = pod.row.spec.hostname or pod.row.spec.name
    return address, (*names, *(f"{host}.{name}" for name in names))


def _is_ready(pod: Pod) -> bool:
    active = [container for container in pod.containers.values() if container.active]
    return bool(active) and all(container.readiness.ready for container in active)


def _backends(port: ServicePort, members: Sequence[tuple[str, Pod]]) -> tuple[tuple[str, int], ...]:
    found = []
    for address, pod in members:
        number = dict(pod.row.spec.port_names).get(port.target, port.target or str(port.port))
        if number.isdigit():  # a pod without a port of that name is not behind it
            found.append((address, int(number)))
    return tuple(found)


def _binding(port: ServicePort, settled: Sequence[PortBinding]) -> PortBinding:
    """Return how a service's port is published: as it is already, if it is."""
    for binding in settled:
        same = (binding.container_port, binding.protocol) == (port.port, port.protocol)
        if same and port.host_port in (-1, binding.host_port):
            return binding
    if port.host_port < 0:
        return PortBinding(
            port.port, port.protocol, "", NODE_PORTS.start, host_port_end=NODE_PORTS.stop - 1
        )
    return PortBinding(port.port, port.protocol, "", port.host_port)


def _settled(spec: NetworkService, made: Balanced) -> NetworkService:
    """Return a spec with the address and host ports that were chosen."""
    chosen = {
        (binding.container_port, binding.protocol): binding.host_port for binding in made.published
    }
    ports = tuple(
        replace(port, host_port=chosen.get((port.port, port.protocol), 0)) for port in spec.ports
    )
    return replace(spec, address=made.address, ports=ports)


def _check(spec: NetworkService) -> None:
    if not spec.ports and not spec.headless:
        raise InvalidArgument(f"service {spec.name}: it has no ports")
    seen: set[tuple[int, str]] = set()
    for port in spec.ports:
        if (port.port, port.protocol) in seen:
            raise InvalidArgument(f"service {spec.name}: port {port.port}/{port.protocol} twice")
        seen.add((port.port, port.protocol))


def _event(known: _Known, action: str) -> Event:
    attributes = (("name", known.spec.name), ("network", known.spec.network))
    return Event("service", action, known.id, attributes)
