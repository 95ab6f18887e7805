"""The network that needs no privilege at all: QEMU's own user-mode stack (libslirp), one per VM.

Every pod sees itself as 10.0.2.15 (QEMU documentation, "Network emulation"); pods do not see each
other; published ports are forwarded by the VMM. Used where no namespace can be had.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hyper.core.errors import Unsupported
from hyper.core.serialize import dump, load
from hyper.core.spec import Forward, Nic, NicKind, PortBinding
from hyper.network import ipam
from hyper.network.balance import NoBalancer
from hyper.network.networks import Joined, Link, Network, Wanted
from hyper.network.ports import bind

ADDRESS, PREFIX_LENGTH, GATEWAY, NAMESERVER = "10.0.2.15", 24, "10.0.2.2", "10.0.2.3"
SUBNET = "10.0.2.0/24"


@dataclass(frozen=True, slots=True)
class _Record:
    mac: str
    network_id: str
    ports: tuple[PortBinding, ...] = ()
    mtu: int = 0
    interface: str = ""


class UserNetworks:
    """Links through the VMM's own user-mode network; implements networks.Networks."""

    def __init__(self, reason: str = "") -> None:
        self._reason = reason
        self._links: dict[str, Link] = {}

    @property
    def kind(self) -> NicKind:
        """How VMs are connected."""
        return NicKind.USER

    @property
    def diagnosis(self) -> tuple[bool, str, str]:
        """What the doctor says."""
        detail = f"pods do not see each other: {self._reason}"
        advice = "allow user namespaces and /dev/net/tun; install nftables and slirp4netns"
        return False, detail, advice

    @property
    def process_id(self) -> int:
        """None: each VMM is its own network."""
        return 0

    @property
    def fixed_subnet(self) -> str:
        """The one subnet is the VMM's."""
        return SUBNET

    @property
    def balancer(self) -> NoBalancer:
        """Its virtual addresses: none."""
        return NoBalancer()

    async def define(self, network: Network) -> None:
        """Accept the predefined network; there can be no other. Raises Unsupported."""
        if network.named:
            raise self._unsupported("user-defined networks")

    async def forget(self, network_id: str) -> None:
        """Nothing is known of networks here."""

    async def make_device(self) -> Nic:
        """Return the shape of a device: each VMM makes its own."""
        return Nic(NicKind.USER, "")

    async def connect(
        self,
        pod_id: str,
        wanted: Sequence[Wanted],
        published: Sequence[PortBinding],
        nic: Nic | None,
    ) -> Link:
        """Give a pod its link; see Networks."""
        if len(wanted) > 1:
            raise self._unsupported("pods on several networks")
        if not wanted:
            link = Link(Nic(NicKind.NONE, ""), (), (), (), "")
        else:
            # The guest has no device without a MAC; nobody else sees this one.
            mac = ipam.mac(pod_id, "", wanted[0].mac)
            if any(port.sources for port in published):
                raise self._unsupported("limiting who may connect to published ports")
            place = wanted[0]
            record = _Record(mac, place.network_id, _chosen(published), place.mtu, place.interface)
            link = _link(record)
        self._links[pod_id] = link
        return link

    def settle(self, pod_id: str) -> None:
        """Do nothing: the device has no descriptor of ours."""

    async def restore(self, pod_id: str, record: str) -> Link:
        """Take over a link; see Networks."""
        if not record:
            link = Link(Nic(NicKind.NONE, ""), (), (), (), "")
        else:
            link = _link(load(_Record, record))
        self._links[pod_id] = link
        return link

    async def restored(self) -> None:
        """Do nothing: links hold nothing of the host's."""

    async def disconnect(self, pod_id: str) -> None:
        """Give back a pod's link: the VMM's end already freed everything it held."""
        self._links.pop(pod_id, None)

    async def join(self, pod_id: str, wanted: Wanted) -> Link:
        """Raise Unsupported."""
        raise self._unsupported("joining a network")

    async def leave(self, pod_id: str, network_id: str) -> Link:
        """Raise Unsupported."""
        raise self._unsupported("leaving a network")

    async def publish(self, pod_id: str, ports: Sequence[PortBinding]) -> Link:
        """Raise Unsupported unless nothing changes."""
        link = self._links[pod_id]
        if {*ports} - {*link.ports}:
            raise self._unsupported("publishing ports of a running pod")
        return link

    def rename(
        self, pod_id: str, names: Mapping[str, tuple[str, ...]], servers: Sequence[str]
    ) -> None:
        """Do nothing: pods do not find each other."""

    def _unsupported(self, what: str) -> Unsupported:
        why = f" ({self._reason})" if self._reason else ""
        return Unsupported(
            f"{what}: this host's pods use the VMM's user-mode network{why}; see hyper doctor"
        )


def _link(record: _Record) -> Link:
    forwards = tuple(
        Forward(port.protocol, port.host_ip, port.host_port, port.container_port)
        for port in record.ports
    )
    joined = Joined(
        network_id=record.network_id,
        number=0,
        mac=record.mac,
        address=ADDRESS,
        prefix_length=PREFIX_LENGTH,
        gateway=GATEWAY,
        mtu=record.mtu,
        interface=record.interface,
    )
    nic = Nic(NicKind.USER, record.mac, forwards=forwards)
    return Link(nic, (joined,), (NAMESERVER,), record.ports, dump(record), GATEWAY)


def _chosen(published: Sequence[PortBinding]) -> tuple[PortBinding, ...]:
    """Return the bindings with host ports that were free a moment ago."""
    chosen = []
    for port in published:
        bound, listener = bind(port)
        listener.close()
        chosen.append(replace(bound, ipv6=False))  # QEMU listens on IPv4 then
    return tuple(chosen)
