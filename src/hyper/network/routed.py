"""Each pod a point-to-point tap in the pods' namespace: routed, filtered, no bridge.

Owns which pod has which addresses and ports; the namespace does what it is told. DESIGN 4.6.

A pod's addresses are routed to its tap, whose neighbours are fixed: the host never asks a guest who
it is. The guest's questions about its neighbours and its gateway are answered by the host (proxy
ARP). Which addresses may talk is in the sets of `nft`. A tap lives as long as its VMM.
"""

import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from itertools import count

from hyper.core.errors import Conflict, Failure, HyperError, NotFound, Unavailable, Unsupported
from hyper.core.serialize import dump, load
from hyper.core.spec import Nic, NicKind, PortBinding
from hyper.network import ipam, nft, ports, uplink
from hyper.network.balance import Balancer, Ground
from hyper.network.directory import Directory
from hyper.network.namespace import Batch, Namespace
from hyper.network.networks import Joined, Link, Network, Wanted

_LOOPBACK = "lo"
_MTU = 1500

_log = logging.getLogger("network")


@dataclass(slots=True)
class _Known:
    """A network that is defined. `number` is its mark in the rules."""

    network: Network
    number: int
    pools: list[ipam.Pool]

    @property
    def plans(self) -> list[tuple[str, str]]:
        """The subnets and their gateways."""
        both = (
            (self.network.subnet, self.network.gateway),
            (self.network.subnet6, self.network.gateway6),
        )
        return [plan for plan in both if plan[0]]

    def take(self, wanted: Wanted) -> tuple[str, str]:
        """Return the addresses of a new member; both or none."""
        taken: list[tuple[ipam.Pool, str]] = []
        try:
            for pool, asked in zip(self.pools, (wanted.address, wanted.address6), strict=False):
                taken.append((pool, pool.take(asked)))
        except HyperError:
            for pool, address in taken:
                pool.free(address)
            raise
        address, *rest = (address for _, address in taken)
        return address, rest[0] if rest else ""

    def free(self, joined: Joined) -> None:
        """Take a member's addresses back."""
        for pool, address in zip(self.pools, (joined.address, joined.address6), strict=False):
            if address:
                pool.free(address)


@dataclass(slots=True)
class _Live:
    """A pod's link as it is."""

    tap: str
    mac: str
    fd: int
    joined: list[Joined] = field(default_factory=list)
    servers: tuple[str, ...] = ()
    ports: list[PortBinding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Record:
    """What is stored of a link."""

    tap: str
    mac: str
    joined: tuple[Joined, ...] = ()
    ports: tuple[PortBinding, ...] = ()


class RoutedNetworks:
    """Implements networks.Networks over a namespace that is open.

    `answer` begins to answer the pods' DNS queries: when what is known of them is complete.
    """

    def __init__(
        self, namespace: Namespace, directory: Directory, answer: Callable[[], Awaitable[None]]
    ) -> None:
        self._answer = answer
        self._namespace = namespace
        self._directory = directory
        self._networks: dict[str, _Known] = {}
        self._links: dict[str, _Live] = {}
        self._numbers = count(1)
        self._balancer = Balancer(namespace, directory, self._ground)

    @property
    def kind(self) -> NicKind:
        """How VMs are connected."""
        return NicKind.TAP

    @property
    def diagnosis(self) -> tuple[bool, str, str]:
        """What the doctor says."""
        if not self._namespace.alive:
            return False, "the process that holds the pods' network has ended", "restart hyperd"
        if not self._namespace.uplink:
            advice = "install the package slirp4netns"
            return False, "pods reach each other, but not the world", advice
        if self._namespace.flaw:
            advice = "install the package slirp4netns, or a newer passt, and restart without pods"
            return False, f"{self._namespace.uplink} {self._namespace.flaw}", advice
        return True, f"a namespace of the daemon's own, through {self._namespace.uplink}", ""

    @property
    def process_id(self) -> int:
        """The keeper."""
        return self._namespace.keeper_pid

    @property
    def fixed_subnet(self) -> str:
        """None: networks can be made."""
        return ""

    @property
    def balancer(self) -> Balancer:
        """Its virtual addresses."""
        return self._balancer

    # --- networks -----------------------------------------------------------------------------

    async def define(self, network: Network) -> None:
        """Make a network known, with its gateway in the namespace."""
        pools = [ipam.Pool(network.subnet, network.gateway, network.ip_range, network.reserved)]
        if network.subnet6:
            if not self._namespace.ipv6:
                raise Unsupported("EnableIPv6 is not supported here: the host's kernel has no IPv6")
            plan6 = (network.subnet6, network.gateway6, network.ip_range6, network.reserved)
            pools.append(ipam.Pool(*plan6))
        known = _Known(network, next(self._numbers), pools)
        batch = Batch()
        for subnet, gateway in known.plans:
            # Who is not there is unreachable, instead of being looked for beyond the uplink.
            batch.links.append(["route", subnet, "", ""])
            batch.links.append(["address", _LOOPBACK, gateway, _bits(gateway)])
        flags = {"internal": network.internal, "isolated": network.isolated}
        batch.nft += nft.flag_network(known.number, **flags)
        await self._namespace.change(batch)
        self._networks[network.id] = known
        self._directory.define(network)

    async def forget(self, network_id: str) -> None:
        """Forget a network; a pod that is still on it, as its VM is just ending, leaves it."""
        batch = Batch()
        for pod_id, live in self._links.items():
            for joined in [each for each in live.joined if each.network_id == network_id]:
                batch.nft += self._rules(live, joined, nft.delete_member, nft.delete_sender)
                live.joined.remove(joined)
                self._directory.put(pod_id, live.joined, live.servers)
        known = self._networks.pop(network_id)
        self._directory.forget(network_id)
        network = known.network
        for subnet, gateway in known.plans:
            batch.links.append(["no route", subnet, ""])
            batch.links.append(["no address", _LOOPBACK, gateway, _bits(gateway)])
        flags = {"internal": network.internal, "isolated": network.isolated}
        batch.nft += nft.unflag_network(known.number, **flags)
        await self._namespace.change(batch)

    # --- links --------------------------------------------------------------------------------

    async def make_device(self) -> Nic:
        """Return a tap that belongs to no pod yet; its descriptor is the caller's to close."""
        name = f"hy{secrets.token_hex(5)}"
        return Nic(NicKind.TAP, "", tap_fd=await self._namespace.tap(name), tap=name)

    async def connect(
        self,
        pod_id: str,
        wanted: Sequence[Wanted],
        published: Sequence[PortBinding],
        nic: Nic | None,
    ) -> Link:
        """Give a pod its link; see Networks."""
        device = nic or await self.make_device()
        # The descriptor of a device that came with a waiting VM is closed already.
        fd = device.tap_fd if nic is None else -1
        live = _Live(device.tap, ipam.mac(pod_id, "", wanted[0].mac if wanted else ""), fd)
        self._links[pod_id] = live
        batch = Batch()
        try:
            for each in wanted:
                self._admit(pod_id, live, each, batch)
            self._open_ports(pod_id, live, published, batch)
            await self._namespace.change(batch)
        except BaseException:
            _drop(batch)
            await self.disconnect(pod_id)
            raise
        return self._link(pod_id)

    def settle(self, pod_id: str) -> None:
        """Close our copy of the device's descriptor: the VMM has it now."""
        live = self._links.get(pod_id)
        if live is not None and live.fd >= 0:
            os.close(live.fd)
            live.fd = -1

    async def restore(self, pod_id: str, record: str) -> Link:
        """Take over the link of a pod that ran when the daemon ended."""
        try:
            stored = load(_Record, record)
        except (ValueError, TypeError) as err:
            raise Failure(f"the network of pod {pod_id[:12]} was of another kind: {err}") from err
        live = _Live(stored.tap, stored.mac, -1, list(stored.joined), ports=list(stored.ports))
        for joined in stored.joined:
            known = self._networks.get(joined.network_id)
            if known is None:
                continue
            for pool, address in zip(known.pools, (joined.address, joined.address6), strict=False):
                if address:
                    pool.take(address)
        self._links[pod_id] = live
        return self._link(pod_id)

    async def restored(self) -> None:
        """Make the namespace hold exactly what the links say, in one transaction."""
        state = await self._namespace.ask("hello")
        batch = Batch(nft=nft.forget_everything())
        for known in self._networks.values():
            network = known.network
            flags = {"internal": network.internal, "isolated": network.isolated}
            batch.nft += nft.flag_network(known.number, **flags)
        wanted_relays: set[str] = set()
        for pod_id, live in self._links.items():
            if live.tap not in state["taps"]:
                _log.error("pod %s lost its network: restart it", pod_id[:12])
                continue
            for joined in live.joined:
                batch.nft += self._rules(live, joined, nft.add_member, nft.add_sender)
            wanted_relays.update(ports.relay_key(pod_id, port) for port in live.ports)
        wanted_relays |= self._balancer.relay_keys()
        batch.close += [key for key in state["relays"] if key not in wanted_relays]
        await self._namespace.change(batch)
        await self._answer()

    async def disconnect(self, pod_id: str) -> None:
        """Give back all that the pod's link holds; routes went with the tap."""
        live = self._links.get(pod_id)
        if live is None:
            return
        self.settle(pod_id)
        del self._links[pod_id]
        self._directory.drop(pod_id)
        batch = Batch()
        for joined in live.joined:
            batch.nft += self._rules(live, joined, nft.delete_member, nft.delete_sender)
            self._networks[joined.network_id].free(joined)
        batch.close += [ports.relay_key(pod_id, port) for port in live.ports]
        if not batch.nft and not batch.close:
            return
        try:
            await self._namespace.change(batch)
        except (Failure, Unavailable) as err:
            _log.warning("taking back the network of pod %s: %s", pod_id[:12], err)

    async def join(self, pod_id: str, wanted: Wanted) -> Link:
        """Put a running pod on one more network."""
        live = self._live(pod_id)
        batch = Batch()
        self._admit(pod_id, live, wanted, batch)
        joined = live.joined[-1]
        if len(live.joined) == 1:
            batch.retarget += [
                (ports.relay_key(pod_id, port), joined.address) for port in live.ports
            ]
        try:
            await self._namespace.change(batch)
        except BaseException:
            live.joined.remove(joined)
            self._networks[joined.network_id].free(joined)
            raise
        return self._link(pod_id)

    async def leave(self, pod_id: str, network_id: str) -> Link:
        """Take a running pod off a network, and cut its connections there."""
        live = self._live(pod_id)
        joined = next((each for each in live.joined if each.network_id == network_id), None)
        if joined is None:
            raise NotFound("network", network_id)
        batch = Batch()
        batch.nft += self._rules(live, joined, nft.delete_member, nft.delete_sender)
        for member in self._members(live, joined):
            batch.links.append(["no route", _host_route(member.address), live.tap])
            batch.links.append(["no neighbour", live.tap, member.address])
        if joined.address6:
            batch.links.append(["no address", live.tap, joined.gateway6, 128])
            own = ipam.link_local(joined.mac)
            batch.links.append(["no route", _host_route(own), live.tap])
            batch.links.append(["no neighbour", live.tap, own])
        first = live.joined[0]
        left = [each for each in live.joined if each is not joined]
        if joined is first and left:
            keys = [ports.relay_key(pod_id, port) for port in live.ports]
            batch.retarget += [(key, left[0].address) for key in keys]
        await self._namespace.change(batch)
        live.joined = left
        self._networks[network_id].free(joined)
        return self._link(pod_id)

    async def publish(self, pod_id: str, published: Sequence[PortBinding]) -> Link:
        """Make these the published ports of a running pod; see Networks."""
        live = self._live(pod_id)
        before = list(live.ports)
        kept = [port for port in before if port in published]
        added = [port for port in published if port not in kept]
        batch = Batch()
        batch.close += [ports.relay_key(pod_id, port) for port in before if port not in kept]
        live.ports = kept
        try:
            self._open_ports(pod_id, live, added, batch)
            await self._namespace.change(batch)
        except BaseException:
            _drop(batch)
            live.ports = before
            raise
        return self._link(pod_id)

    def rename(
        self, pod_id: str, names: Mapping[str, tuple[str, ...]], servers: Sequence[str]
    ) -> None:
        """Make these the names that lead to a pod, by network, and its name servers."""
        live = self._links.get(pod_id)
        if live is None:
            return
        live.servers = tuple(servers)
        live.joined = [replace(each, names=names.get(each.network_id, ())) for each in live.joined]
        self._directory.put(pod_id, live.joined, live.servers)

    # --- the parts of a link ------------------------------------------------------------------

    def _live(self, pod_id: str) -> _Live:
        live = self._links.get(pod_id)
        if live is None:
            raise Conflict(f"pod {pod_id[:12]} does not run")
        return live

    def _ground(self, network_id: str) -> Ground:
        known = self._known(network_id)
        return Ground(known.pools[0], known.network.gateway)

    def _known(self, network_id: str) -> _Known:
        known = self._networks.get(network_id)
        if known is None:
            raise NotFound("network", network_id)
        return known

    def _admit(self, pod_id: str, live: _Live, wanted: Wanted, batch: Batch) -> None:
        """Give a pod its place on a network, and note what has to be changed for it."""
        known = self._known(wanted.network_id)
        network = known.network
        taken = {each.number for each in live.joined}
        number = next(number for number in count() if number not in taken)
        address, address6 = known.take(wanted)
        joined = Joined(
            network_id=network.id,
            number=number,
            mac=live.mac if number == 0 else ipam.mac(pod_id, network.id, wanted.mac),
            address=address,
            prefix_length=ip_network(network.subnet).prefixlen,
            gateway=network.gateway,
            names=wanted.names,
            address6=address6,
            prefix_length6=ip_network(network.subnet6).prefixlen if address6 else 0,
            gateway6=network.gateway6,
            outside6=bool(address6) and not network.internal and self._namespace.uplink6,
            internal=network.internal,
            mtu=wanted.mtu or network.mtu,
            interface=wanted.interface,
            calls=wanted.calls,
            priority=wanted.priority,
        )
        live.joined.append(joined)
        batch.links.append(["up", live.tap, max([_MTU, *(each.mtu for each in live.joined)])])
        if address6:
            # The link's own address of the gateway: there the guest's questions are answered.
            batch.sysctl.append((f"net/ipv6/conf/{live.tap}/disable_ipv6", "0"))
            batch.links.append(["address", live.tap, network.gateway6, 128])
            own = ipam.link_local(joined.mac)  # it asks from that as well
            batch.links.append(["route", _host_route(own), live.tap, ""])
            batch.links.append(["neighbour", live.tap, own, joined.mac])
        for member in self._members(live, joined):
            gateway = network.gateway6 if ":" in member.address else network.gateway
            batch.links.append(["route", _host_route(member.address), live.tap, gateway])
            batch.links.append(["neighbour", live.tap, member.address, joined.mac])
        batch.nft += self._rules(live, joined, nft.add_member, nft.add_sender)

    def _members(self, live: _Live, joined: Joined) -> list[nft.Member]:
        known = self._networks.get(joined.network_id)
        if known is None:
            return []
        return [
            nft.Member(live.tap, joined.mac, address, known.number)
            for address in (joined.address, joined.address6)
            if address
        ]

    def _rules(
        self,
        live: _Live,
        joined: Joined,
        member_lines: Callable[[nft.Member], list[str]],
        sender_lines: Callable[[str, str, str], list[str]],
    ) -> list[str]:
        """Return the lines about a pod's place on a network."""
        lines = [line for member in self._members(live, joined) for line in member_lines(member)]
        if lines and joined.address6:
            lines += sender_lines(live.tap, joined.mac, ipam.link_local(joined.mac))
        return lines

    def _open_ports(
        self, pod_id: str, live: _Live, published: Sequence[PortBinding], batch: Batch
    ) -> None:
        if published and not live.joined:
            return  # as Docker: --publish without a network publishes nothing
        for port in published:
            if port.protocol not in ("tcp", "udp"):
                raise Unsupported(f"cannot publish {port.protocol} ports, only tcp and udp")
            bound, listener = ports.bind(port)
            live.ports.append(bound)
            batch.sockets.append(listener)
            relay: dict[str, object] = {"protocol": bound.protocol, "host": live.joined[0].address}
            relay["sources"] = list(bound.sources)
            key = ports.relay_key(pod_id, bound)
            batch.relays.append({"key": key, "port": bound.container_port, **relay})

    def _link(self, pod_id: str) -> Link:
        live = self._links[pod_id]
        self._directory.put(pod_id, live.joined, live.servers)
        joined, published = tuple(live.joined), tuple(live.ports)
        return Link(
            nic=Nic(NicKind.TAP, live.mac, tap_fd=live.fd, tap=live.tap),
            joined=joined,
            nameservers=(uplink.RESOLVER,) if joined else (),
            ports=published,
            record=dump(_Record(live.tap, live.mac, joined, published)),
            host=host_address(),
        )


def _drop(batch: Batch) -> None:
    for each in batch.sockets:
        each.close()


def _bits(address: str) -> int:
    return 128 if ":" in address else 32


def _host_route(address: str) -> str:
    return f"{address}/{_bits(address)}"


def host_address() -> str:
    """Return the address the host is known by outside, "" if it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: nobody's; only the route is looked up
        except OSError:
            return ""
        return str(probe.getsockname()[0])
