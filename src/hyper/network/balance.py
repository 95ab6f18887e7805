"""Owns virtual addresses on networks: what connects to one is led to a pod, by nftables.

Which pods are behind an address is the engine's to say. An address is a free one of its network and
the namespace's own, so it is answered for; without a pod behind a port the connection is refused.
Who is reached is still checked by the filter: a member of the network only.
"""

import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

from hyper.core.errors import Conflict, HyperError, NotFound, Unsupported
from hyper.core.spec import PortBinding
from hyper.network import ipam, nft, ports
from hyper.network.directory import Directory
from hyper.network.namespace import Batch, Namespace
from hyper.network.networks import Balanced, Joined

_LOOPBACK = "lo"

_log = logging.getLogger("network")


@dataclass(frozen=True, slots=True)
class Ground:
    """What a network is to a virtual address on it."""

    pool: ipam.Pool
    gateway: str


class Balancer:
    """Implements networks.Balancer over a namespace that is open."""

    def __init__(
        self, namespace: Namespace, directory: Directory, ground: Callable[[str], Ground]
    ) -> None:
        self._namespace = namespace
        self._directory = directory
        self._ground = ground
        self._services: dict[str, Balanced] = {}

    def relay_keys(self) -> set[str]:
        """Return what the keeper calls the published ports of services."""
        return {
            _key(service, port) for service in self._services.values() for port in service.published
        }

    def adopt(self, service: Balanced) -> None:
        """Take over a service an earlier daemon made. Raises Conflict, NotFound."""
        if not service.headless:
            self._ground(service.network_id).pool.take(service.address)
        self._services[service.id] = service
        self._name(service)

    async def put(self, service: Balanced) -> Balanced:
        """Make a service, or make one so; return it with its address and host ports.

        Raises Conflict when an address or a host port is taken, NotFound.
        """
        if service.headless:
            self.adopt(service)
            return service
        before = self._services.get(service.id)
        ground = self._ground(service.network_id)
        address = before.address if before else ground.pool.take(service.address)
        bound: list[tuple[PortBinding, socket.socket]] = []
        kept = before.published if before else ()
        try:
            for port in service.published:
                if port not in kept:
                    bound.append(ports.bind(port))
            published = (
                *(port for port in service.published if port in kept),
                *(port for port, _ in bound),
            )
            made = replace(service, address=address, published=published)
            await self._namespace.change(_difference(before, made, ground.gateway, bound))
        except BaseException:
            for _, listener in bound:
                listener.close()
            if before is None:
                ground.pool.free(address)
            raise
        self._services[made.id] = made
        self._name(made)
        return made

    async def drop(self, service_id: str) -> None:
        """Take a service away; nothing happens when there is none."""
        service = self._services.pop(service_id, None)
        if service is None:
            return
        self._directory.drop(service_id)
        if service.headless:
            return
        batch = Batch(nft=_removed(service))
        batch.close += [_key(service, port) for port in service.published]
        batch.links.append(["no address", _LOOPBACK, service.address, 32])
        try:
            await self._namespace.change(batch)
        finally:
            self._give_back(service)

    async def restored(self) -> None:
        """Make the namespace hold what it should of every service; it was emptied before."""
        there = set((await self._namespace.ask("hello"))["relays"])
        for service in self._services.values():
            if service.headless:
                continue
            # After a restart of the host nobody holds their ports any more.
            closed = [port for port in service.published if _key(service, port) not in there]
            try:
                bound = [ports.bind(port) for port in closed]
            except Conflict as err:
                _log.warning("a service's ports are not published: %s", err)
                bound = []
            gateway = self._ground(service.network_id).gateway
            await self._namespace.change(_difference(None, service, gateway, bound))

    def _give_back(self, service: Balanced) -> None:
        with contextlib.suppress(NotFound):  # its network may be gone
            self._ground(service.network_id).pool.free(service.address)

    def _name(self, service: Balanced) -> None:
        hosts = service.hosts if service.headless else ((service.address, service.names),)
        joined = [
            Joined(service.network_id, 0, "", address, 32, "", names) for address, names in hosts
        ]
        self._directory.put(service.id, joined, (), owner=not service.headless)


class NoBalancer:
    """Implements networks.Balancer where pods do not see each other."""

    def relay_keys(self) -> set[str]:
        """Return nothing."""
        return set()

    def adopt(self, service: Balanced) -> None:
        """Raise Unsupported."""
        raise self._refused()

    async def put(self, service: Balanced) -> Balanced:
        """Raise Unsupported."""
        raise self._refused()

    async def drop(self, service_id: str) -> None:
        """Do nothing: there is none."""

    async def restored(self) -> None:
        """Do nothing."""

    def _refused(self) -> HyperError:
        return Unsupported("services: this host's pods do not see each other; see hyper doctor")


def _key(service: Balanced, port: PortBinding) -> str:
    return ports.relay_key(service.id, port)


def _difference(
    before: Balanced | None,
    made: Balanced,
    gateway: str,
    bound: list[tuple[PortBinding, socket.socket]],
) -> Batch:
    """Return what turns one state of a service into another."""
    batch = Batch()
    if before is None:
        batch.links.append(["address", _LOOPBACK, made.address, 32])
    else:
        gone = {(port.protocol, port.port) for port in before.ports}
        gone -= {(port.protocol, port.port) for port in made.ports}
        batch.nft += nft.unbalance(before.id, before.address, gone)
        batch.close += [
            _key(before, port) for port in before.published if port not in made.published
        ]
    for port in made.ports:
        batch.nft += nft.balance(made.id, made.address, port, gateway)
    for binding, listener in bound:
        batch.sockets.append(listener)
        relay: dict[str, object] = {"protocol": binding.protocol, "host": made.address}
        relay |= {"key": _key(made, binding), "port": binding.container_port, "sources": []}
        batch.relays.append(relay)
    return batch


def _removed(service: Balanced) -> list[str]:
    every = {(port.protocol, port.port) for port in service.ports}
    return nft.unbalance(service.id, service.address, every)
