"""What the engine asks of a network back end, and the data both sides exchange.

A back end gives each pod one network device, an address on each of its networks and its published
ports, and takes all of it back when the pod ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hyper.core.spec import Nic, NicKind, PortBinding


@dataclass(frozen=True, slots=True)
class Network:
    """A network as a back end knows it. Subnets and gateways are text, "" where there is none.

    `ip_range` is the part of `subnet` that addresses are given out from; `reserved` are never.
    `named`: members find each other by name. `isolated`: they do not reach each other at all.
    """

    id: str
    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    subnet6: str = ""
    gateway6: str = ""
    ip_range6: str = ""
    reserved: tuple[str, ...] = ()
    internal: bool = False
    isolated: bool = False
    named: bool = True
    mtu: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A network a pod is to join; empty addresses are chosen, `names` lead to the pod there.

    `mtu` 0 is the network's; `interface` is the device's name in the guest, eth<number> if empty.
    `calls` are names that the pod alone uses there, each with the name it means. The way out is by
    the network of the highest `priority` that has one, the first of equals.
    """

    network_id: str
    address: str = ""
    address6: str = ""
    mac: str = ""
    names: tuple[str, ...] = ()
    mtu: int = 0
    interface: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Joined:
    """A pod's place on one network: `interface`, or eth<number> if empty, in the guest.

    `outside6`: IPv6 leads out of it.
    """

    network_id: str
    number: int
    mac: str
    address: str
    prefix_length: int
    gateway: str
    names: tuple[str, ...] = ()
    address6: str = ""
    prefix_length6: int = 0
    gateway6: str = ""
    outside6: bool = False
    internal: bool = False
    mtu: int = 0
    interface: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    priority: int = 0

    @property
    def device(self) -> str:
        """The name of its interface in the guest."""
        return self.interface or f"eth{self.number}"


@dataclass(frozen=True, slots=True)
class Link:
    """A pod's connection: what the driver plugs in and what the guest is told.

    `ports` are the published ports with the host ports chosen. `record` is stored and brings the
    link back after a restart of the daemon. `host` is an address of the host that pods reach, ""
    if there is none. Nothing is `joined` without a network.
    """

    nic: Nic
    joined: tuple[Joined, ...]
    nameservers: tuple[str, ...]
    ports: tuple[PortBinding, ...]
    record: str
    host: str = ""

    @property
    def first(self) -> Joined | None:
        """The network that has the default route and the address users see first."""
        return next(iter(self.joined), None)


@dataclass(frozen=True, slots=True)
class BalancedPort:
    """A port of a virtual address: each connection goes to the next backend, an address and port.

    `sticky`: all connections of one client go to the same.
    """

    port: int
    protocol: str = "tcp"
    backends: tuple[tuple[str, int], ...] = ()
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class Balanced:
    """A service: a virtual address on a network, which `names` lead to.

    An empty `address` is chosen. `published` are ports of the host that lead to its ports. A
    `headless` one has no address and no ports: `hosts` are addresses and the names that have them.
    """

    id: str
    network_id: str
    address: str = ""
    names: tuple[str, ...] = ()
    ports: tuple[BalancedPort, ...] = ()
    published: tuple[PortBinding, ...] = ()
    headless: bool = False
    hosts: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Balancer(Protocol):
    """The virtual addresses of a back end."""

    def relay_keys(self) -> set[str]:
        """Return what the keeper calls the published ports of services."""
        ...

    def adopt(self, service: Balanced) -> None:
        """Take over a service an earlier daemon made. Raises Conflict, NotFound, Unsupported."""
        ...

    async def put(self, service: Balanced) -> Balanced:
        """Make a service, or make one so; return it with its address and host ports.

        Raises Conflict when an address or a host port is taken, NotFound, Unsupported.
        """
        ...

    async def drop(self, service_id: str) -> None:
        """Take a service away; nothing happens when there is none."""
        ...

    async def restored(self) -> None:
        """Make the host hold what it should of every service, after Networks.restored."""
        ...


class Networks(Protocol):
    """A network back end. What changes a live link returns the link as it is then."""

    @property
    def kind(self) -> NicKind:
        """How VMs are connected; decides which templates they are cloned from."""
        ...

    @property
    def diagnosis(self) -> tuple[bool, str, str]:
        """Whether pods have all that networks are, what they have, and what to do about it."""
        ...

    @property
    def process_id(self) -> int:
        """The process that holds the pods' network and outlives the daemon, 0 if there is none."""
        ...

    @property
    def fixed_subnet(self) -> str:
        """The subnet of the only network there can be, "" where networks can be made."""
        ...

    @property
    def balancer(self) -> Balancer:
        """Its virtual addresses."""
        ...

    async def define(self, network: Network) -> None:
        """Make a network known. Raises Unsupported when there is only the predefined one."""
        ...

    async def forget(self, network_id: str) -> None:
        """Forget a network nobody is on."""
        ...

    async def make_device(self) -> Nic:
        """Return a device that belongs to no pod yet; its descriptor is the caller's to close."""
        ...

    async def connect(
        self, pod_id: str, wanted: Sequence[Wanted], ports: Sequence[PortBinding], nic: Nic | None
    ) -> Link:
        """Give a pod its link, on `nic` if it has one already (of `make_device`).

        Raises Conflict when an address or a host port is taken, Unsupported.
        """
        ...

    def settle(self, pod_id: str) -> None:
        """Close our copy of the device's descriptor: the VMM has it now."""
        ...

    async def restore(self, pod_id: str, record: str) -> Link:
        """Take over the link of a pod that ran when the daemon ended."""
        ...

    async def restored(self) -> None:
        """Drop what belongs to no link: every one an earlier daemon left has been restored."""
        ...

    async def disconnect(self, pod_id: str) -> None:
        """Give back all that the pod's link holds; nothing happens when it has none."""
        ...

    async def join(self, pod_id: str, wanted: Wanted) -> Link:
        """Put a running pod on one more network. Raises Conflict, Unsupported."""
        ...

    async def leave(self, pod_id: str, network_id: str) -> Link:
        """Take a running pod off a network, and cut its connections there."""
        ...

    async def publish(self, pod_id: str, ports: Sequence[PortBinding]) -> Link:
        """Make these the published ports of a running pod; those it keeps are not interrupted.

        Raises Conflict when a host port is taken (nothing is changed then), Unsupported.
        """
        ...

    def rename(
        self, pod_id: str, names: Mapping[str, tuple[str, ...]], servers: Sequence[str]
    ) -> None:
        """Make these the names that lead to a pod, by network; nothing without a link.

        `servers` are the name servers it has asked for, none for the host's.
        """
        ...
