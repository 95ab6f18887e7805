"""Owns the networks users make and the predefined ones: their records, who is on them.

What a network is on the host is the back end's (`network`). Names, rules and messages are Docker's.
"""

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from time import time_ns

from hyper.core.errors import (
    Conflict,
    Forbidden,
    HyperError,
    InvalidArgument,
    NotFound,
    Unsupported,
)
from hyper.core.ids import new_id
from hyper.core.pod_spec import PodEndpoint, PodSpec
from hyper.core.spec import (
    ICC_OPTION,
    MTU_OPTION,
    ContainerSpec,
    EndpointSpec,
    NetworkSpec,
    SubnetSpec,
)
from hyper.engine.container import Container
from hyper.engine.events import Event, EventFeed
from hyper.engine.store import Store
from hyper.engine.views import NetworkInfo
from hyper.network import ipam
from hyper.network.networks import Network, Networks, Wanted

BRIDGE, HOST, NONE = "bridge", "host", "none"
_DRIVERS = {BRIDGE: "bridge", HOST: "host", NONE: "null"}

SHARES = (
    "container sharing network namespace with another container or host cannot be connected to any "
    "other network"
)
_NAME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_.-]*")  # one character will do, unlike elsewhere

_log = logging.getLogger("engine.networks")


def predefined_id(name: str) -> str:
    """Return the id of a predefined network: the same on every daemon."""
    return hashlib.sha256(f"hyper network {name}".encode()).hexdigest()


class NetworkRegistry:
    """All networks, by id and by name."""

    def __init__(self, store: Store, feed: EventFeed, backend: Networks) -> None:
        self._store = store
        self._feed = feed
        self._backend = backend
        self._networks: dict[str, NetworkInfo] = {}
        self._making = asyncio.Lock()  # two at once would choose the same subnet

    async def load(self) -> None:
        """Make the stored networks known to the back end, and the default one if it is new."""
        stored = {info.id: info for info in await self._store.call(self._store.networks.all)}
        for name, driver in _DRIVERS.items():
            spec = NetworkSpec(name=name, driver=driver)
            info = NetworkInfo(predefined_id(name), time_ns(), spec, predefined=True)
            self._networks[info.id] = info
        await self._load_default(stored.pop(predefined_id(BRIDGE), None))
        for info in stored.values():
            self._networks[info.id] = info
            try:
                await self._backend.define(_defined(info))
            except HyperError as err:
                _log.warning("network %s cannot be used: %s", info.spec.name, err)

    async def _load_default(self, info: NetworkInfo | None) -> None:
        if info is None or self._backend.fixed_subnet:
            plan = _with_gateway(SubnetSpec(self._free_subnet()))
            spec = NetworkSpec(name=BRIDGE, subnets=(plan,), chosen=True)
            info = NetworkInfo(predefined_id(BRIDGE), time_ns(), spec, predefined=True)
            if not self._backend.fixed_subnet:
                await self._store.call(self._store.networks.put, info, ())
        self._networks[info.id] = info
        await self._backend.define(_defined(info))

    def list(self) -> list[NetworkInfo]:
        """Return every network."""
        return list(self._networks.values())

    def find(self, reference: str) -> NetworkInfo:
        """Return a network by id, name or unique prefix of the id.

        Raises NotFound, InvalidArgument when a prefix is ambiguous.
        """
        if reference == "default":
            reference = BRIDGE
        for info in self._networks.values():
            if reference in (info.id, info.spec.name):
                return info
        matches = [
            info for key, info in self._networks.items() if reference and key.startswith(reference)
        ]
        if len(matches) > 1:
            raise InvalidArgument(
                f"network {reference} is ambiguous ({len(matches)} matches found on ID)"
            )
        if not matches:
            raise NotFound("network", reference)
        return matches[0]

    # --- making and removing ------------------------------------------------------------------

    async def create(self, spec: NetworkSpec) -> NetworkInfo:
        """Make a network. Raises Conflict (name), Forbidden, InvalidArgument, Unsupported."""
        async with self._making:
            return await self._create(spec)

    async def _create(self, spec: NetworkSpec) -> NetworkInfo:
        if spec.name in (*_DRIVERS, "default"):
            raise Forbidden(f"operation is not permitted on predefined {spec.name} network")
        if not _NAME.fullmatch(spec.name):
            raise InvalidArgument(
                f"Invalid network name ({spec.name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )
        if spec.driver != "bridge":
            raise _no_driver(spec.driver)
        if any(info.spec.name == spec.name for info in self._networks.values()):
            raise Conflict(f"network with name {spec.name} already exists")
        network_id = new_id()
        spec = self._planned(network_id, spec)
        if not self._backend.fixed_subnet:
            for plan in spec.subnets:
                self._check_overlap(plan.subnet)
        info = NetworkInfo(network_id, time_ns(), spec)
        await self._backend.define(_defined(info))
        created = event("create", info)
        try:
            await self._store.call(self._store.networks.put, info, (created,))
        except BaseException:
            await self._backend.forget(info.id)
            raise
        self._networks[info.id] = info
        self._feed.publish(created)
        return info

    def _planned(self, network_id: str, spec: NetworkSpec) -> NetworkSpec:
        """Return a network with the subnets and gateways it did not ask for."""
        fours = [plan for plan in spec.subnets if ":" not in plan.subnet]
        sixes = [plan for plan in spec.subnets if ":" in plan.subnet]
        chosen, chosen6 = not fours, spec.ipv6 and not sixes
        plans = fours or [SubnetSpec(self._free_subnet())]
        plans += sixes or ([SubnetSpec(ipam.unique_local_subnet(network_id))] if chosen6 else [])
        subnets = tuple(_with_gateway(plan) for plan in plans)
        return replace(spec, subnets=subnets, chosen=chosen, chosen6=chosen6)

    def _free_subnet(self) -> str:
        used = [plan.subnet for info in self._networks.values() for plan in info.spec.subnets]
        return self._backend.fixed_subnet or ipam.free_subnet(used)

    def _check_overlap(self, subnet: str) -> None:
        wanted = ip_network(subnet)
        for info in self._networks.values():
            for plan in info.spec.subnets:
                if ip_network(plan.subnet).overlaps(wanted):
                    raise Forbidden(
                        "invalid pool request: Pool overlaps with other one on this address space"
                    )

    async def remove(self, info: NetworkInfo) -> None:
        """Remove a network that has no members. Raises Forbidden when it is predefined."""
        if info.predefined:
            raise Forbidden(f"{info.spec.name} is a pre-defined network and cannot be removed")
        destroyed = event("destroy", info)
        del self._networks[info.id]
        await self._store.call(self._store.networks.remove, info.id, (destroyed,))
        with contextlib.suppress(KeyError):  # one that could not be used on this host
            await self._backend.forget(info.id)
        self._feed.publish(destroyed)

    # --- what containers ask for --------------------------------------------------------------

    def resolve(self, spec: ContainerSpec, pod: PodSpec | None) -> tuple[EndpointSpec, ...]:
        """Return a container's places on networks, that of its network mode first.

        In a pod that is not its own it is on the pod's networks, and on others if it asks for them.

        Raises InvalidArgument.
        """
        if pod is not None and not pod.lone and spec.network_mode == "default":
            spec = replace(spec, network_mode=pod.network_mode)
        if spec.network_disabled or spec.network_mode == NONE:
            if any(endpoint.network != NONE for endpoint in spec.endpoints):
                raise InvalidArgument(
                    "container cannot be connected to multiple networks with one of the networks "
                    "in private (none) mode"
                )
            return ()
        if spec.shares_network_of:
            if spec.endpoints:
                raise InvalidArgument(SHARES)
            return ()
        first = self._named(EndpointSpec(spec.network_mode))
        found: dict[str, EndpointSpec] = {first.network: first}
        for place in pod.endpoints if pod is not None else ():
            endpoint = self._named(EndpointSpec(place.network))
            found[endpoint.network] = endpoint
        for asked in spec.endpoints:
            endpoint = self._named(asked)
            found[endpoint.network] = endpoint
        if spec.links and first.network != BRIDGE:  # on the default network they are linking.py's
            asked = found[first.network]
            found[first.network] = replace(
                asked, links=tuple(dict.fromkeys((*asked.links, *spec.links)))
            )
        if spec.mac_address and not found[first.network].mac:
            found[first.network] = replace(found[first.network], mac=spec.mac_address)
        for endpoint in found.values():
            if endpoint.network_id:
                self.check_endpoint(endpoint)
        return tuple(found.values())

    def _named(self, endpoint: EndpointSpec) -> EndpointSpec:
        """Return an endpoint with name and id of its network; without id if there is none yet.

        As with dockerd a container can be created before its network; then its start fails.
        """
        try:
            info = self.find(endpoint.network)
        except NotFound:
            return replace(endpoint, network_id="")
        return replace(endpoint, network=info.spec.name, network_id=info.id)

    def check_places(self, pod: PodSpec) -> None:
        """Check the places a pod asks for on its networks. Raises InvalidArgument, NotFound."""
        taken: set[str] = set()
        for place in pod.endpoints:
            info = self.find(place.network)
            if info.id in taken:
                raise InvalidArgument(f"interfaces: the pod is on network {info.spec.name} twice")
            taken.add(info.id)
            self.check_endpoint(EndpointSpec(info.spec.name, info.id, address=place.address))

    def refresh(self, endpoints: Sequence[EndpointSpec]) -> tuple[EndpointSpec, ...]:
        """Return endpoints whose networks exist, found by name where the id is not known.

        Raises NotFound, InvalidArgument.
        """
        fresh = []
        for endpoint in endpoints:
            if endpoint.network_id not in self._networks:
                info = self.find(endpoint.network)
                endpoint = replace(endpoint, network_id=info.id)
                self.check_endpoint(endpoint)
            fresh.append(endpoint)
        return tuple(fresh)

    def known(self, network_id: str) -> NetworkInfo | None:
        """Return the network of an id, None if it is gone."""
        return self._networks.get(network_id)

    def check_endpoint(self, endpoint: EndpointSpec) -> None:
        """Raise InvalidArgument when a container cannot have this place on a network."""
        info = self._networks[endpoint.network_id]
        refusal = f"invalid config for network {info.spec.name}: invalid endpoint settings:\n"
        if info.spec.name == HOST:
            raise InvalidArgument(
                "container cannot be disconnected from host network or connected to host network"
            )
        if info.spec.name == NONE:
            raise InvalidArgument(f"{refusal}containers cannot join the network {info.spec.name}")
        spec = info.spec
        for address, chosen in (
            (endpoint.address, spec.chosen),
            (endpoint.address6, spec.chosen6 or not spec.ipv6),
        ):
            if address and chosen:
                raise InvalidArgument(
                    f"{refusal}user specified IP address is supported only when connecting to "
                    "networks with user configured subnets"
                )
            if address and not any(_holds(plan.subnet, address) for plan in spec.subnets):
                raise InvalidArgument(
                    f"{refusal}no configured subnet contains IP address {address}"
                )

    def wanted(self, pod: PodSpec, containers: Sequence[Container]) -> tuple[Wanted, ...]:
        """Return the networks a pod of these containers joins. Raises NotFound (its own)."""
        found: dict[str, Wanted] = {}
        if not pod.lone and pod.network_mode != NONE:
            asked = pod.endpoints or (PodEndpoint(pod.network_mode),)
            for place in asked:
                own = self.find(place.network)
                found[own.id] = Wanted(
                    own.id,
                    place.address,
                    mac=place.mac,
                    names=() if own.spec.name == BRIDGE else (pod.name,),
                    mtu=place.mtu,
                    interface=place.interface,
                )
        for container in containers:
            for endpoint in container.spec.endpoints:
                if endpoint.network_id not in self._networks:
                    continue  # that container cannot start: see refresh
                before = found.get(endpoint.network_id, Wanted(endpoint.network_id))
                more = self.place(container, endpoint)
                found[endpoint.network_id] = replace(
                    before,
                    address=before.address or more.address,
                    address6=before.address6 or more.address6,
                    mac=before.mac or more.mac,
                    names=(*before.names, *more.names),
                    calls=(*before.calls, *more.calls),
                    priority=more.priority or before.priority,
                )
        return tuple(found.values())

    def place(self, container: Container, endpoint: EndpointSpec) -> Wanted:
        """Return the place on a network that a container asks for its pod."""
        return Wanted(
            endpoint.network_id,
            endpoint.address,
            endpoint.address6,
            endpoint.mac,
            names=self._names(container, endpoint),
            calls=tuple((link.alias, link.container) for link in endpoint.links),
            priority=endpoint.priority,
        )

    def _names(self, container: Container, endpoint: EndpointSpec) -> tuple[str, ...]:
        """Return what leads to a container on a network: nothing on the default one."""
        if endpoint.network_id == predefined_id(BRIDGE):
            return ()
        own = (container.row.name, container.id[:12])
        hostname = (container.spec.hostname,) if container.spec.hostname else ()
        return tuple(dict.fromkeys((*own, *endpoint.aliases, *hostname)))


def _no_driver(driver: str) -> HyperError:
    if driver in ("host", "null", "none"):
        return Forbidden(f'only one instance of "{driver}" network is allowed')
    if driver in ("overlay", "macvlan", "ipvlan"):
        return Unsupported(
            f"network driver {driver} is not supported: Hyper routes its networks, use bridge"
        )
    return NotFound("plugin", driver, "only the network driver bridge exists")


def _holds(subnet: str, address: str) -> bool:
    return ip_address(address) in ip_network(subnet)


def _with_gateway(plan: SubnetSpec) -> SubnetSpec:
    """Return a plan with its gateway: as Docker, the first address of the range or the subnet."""
    if plan.gateway:
        return plan
    taken = {address for _, address in plan.auxiliary}
    hosts = (str(address) for address in ip_network(plan.ip_range or plan.subnet).hosts())
    return replace(plan, gateway=next(address for address in hosts if address not in taken))


def _defined(info: NetworkInfo) -> Network:
    """Return what the back end needs to know of a network."""
    plan, options = info.spec.subnets[0], dict(info.spec.options)
    six = next((each for each in info.spec.subnets if ":" in each.subnet), SubnetSpec())
    return Network(
        id=info.id,
        subnet=plan.subnet,
        gateway=plan.gateway,
        ip_range=plan.ip_range,
        subnet6=six.subnet,
        gateway6=six.gateway,
        ip_range6=six.ip_range,
        reserved=tuple(address for _, address in (*plan.auxiliary, *six.auxiliary)),
        internal=info.spec.internal,
        isolated=options.get(ICC_OPTION, "true").lower() in ("false", "0"),
        named=info.spec.name != BRIDGE,
        mtu=int(options.get(MTU_OPTION, 0)),
        name=info.spec.name,
    )


def event(action: str, info: NetworkInfo, container: str = "") -> Event:
    """Return an event of a network, of a container's joining or leaving it where one is given."""
    who = (("container", container),) if container else ()
    attributes = (*who, ("name", info.spec.name), ("type", info.spec.driver))
    return Event("network", action, info.id, attributes)
