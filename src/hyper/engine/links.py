"""What a pod's connection is asked to be, and what the guest is told of it; no state of its own."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_interface

from hyper.agent import messages as guest
from hyper.core.pod_spec import PodSpec
from hyper.core.spec import HOST_BINDING_OPTION, ContainerSpec, Nic, NicKind, PortBinding
from hyper.engine import pod_plan
from hyper.engine.container import Container
from hyper.engine.services import Services
from hyper.engine.store import PodRow
from hyper.engine.views import NetworkInfo, NetworkView
from hyper.network.networks import Joined, Link

DEVICE = "eth0"


async def connect(
    pod: PodRow, containers: Sequence[Container], services: Services, nic: Nic | None
) -> Link:
    """Give a pod its link, on the device of a waiting VM if there is one."""
    wanted = services.registry.wanted(pod.spec, containers)
    ports = [pod_plan.binding(port, pod.spec) for port in pod.spec.ports]
    for container in containers:
        ports += published(container.spec, pod.spec, services)
    return await services.networks.connect(pod.id, wanted, ports, nic)


def published(spec: ContainerSpec, pod: PodSpec, services: Services) -> tuple[PortBinding, ...]:
    """Return the ports a container publishes; with --publish-all every exposed one has some."""
    named = {(port.container_port, port.protocol) for port in spec.ports}
    found = list(spec.ports)
    for exposed in spec.exposed_ports if spec.publish_all else ():
        number, _, protocol = exposed.partition("/")
        if (int(number), protocol or "tcp") not in named:
            found.append(PortBinding(int(number), protocol or "tcp"))
    address = host_address(spec, services.registry.list())
    found = [replace(port, host_ip=port.host_ip or address) for port in found]
    if pod.port_sources:
        return tuple(replace(port, sources=pod.port_sources) for port in found)
    return tuple(found)


def host_address(spec: ContainerSpec, networks: Iterable[NetworkInfo]) -> str:
    """Return the host's address of the ports a container publishes without one, "" for all.

    It is that of the network with the container's way out.
    """
    known = {info.id: info.spec for info in networks}
    places = sorted(spec.endpoints, key=lambda endpoint: -endpoint.priority)
    found = [known[place.network_id] for place in places if place.network_id in known]
    way_out = next((network for network in found if not network.internal), None)
    address = dict(way_out.options).get(HOST_BINDING_OPTION, "") if way_out else ""
    return "" if address == "0.0.0.0" else address


def view(link: Link) -> NetworkView:
    """Return what users see of a link."""
    return NetworkView(link.joined, link.ports)


def interfaces(link: Link) -> tuple[guest.Interface, ...]:
    """Return what the guest is told: its one device, and a macvlan over it for each more network.

    The network of the highest priority that is not internal, the first of equals, has the default
    route; where none has, the name servers are reached through the first. Without a network the pod
    has the loopback alone: the guest puts its device away.
    """
    if link.nic.kind is NicKind.NONE or not link.nic.mac or not link.joined:
        return ()
    by_priority = sorted(link.joined, key=lambda joined: -joined.priority)
    way_out = next((joined for joined in by_priority if not joined.internal), None)
    way_out6 = next((joined for joined in by_priority if joined.outside6), None)
    device = next((joined.device for joined in link.joined if joined.number == 0), DEVICE)
    found = []
    for joined in link.joined:
        servers = link.nameservers if way_out is None and joined is link.first else ()
        routes = _routes(joined, joined is way_out, joined is way_out6, servers)
        found.append(_interface(joined, device, routes))
    if not any(joined.number == 0 for joined in link.joined):
        found.insert(0, guest.Interface(DEVICE, "", _mac(link.nic.mac), 0, (), ()))
    # The device first: a macvlan is made over it.
    return tuple(sorted(found, key=lambda interface: interface.parent != ""))


def _interface(joined: Joined, parent: str, routes: tuple[guest.Route, ...]) -> guest.Interface:
    addresses = [guest.Address(ip_address(joined.address).packed, joined.prefix_length)]
    if joined.address6:
        addresses.append(guest.Address(ip_address(joined.address6).packed, joined.prefix_length6))
    over = "" if joined.number == 0 else parent
    mac = _mac(joined.mac)
    return guest.Interface(joined.device, over, mac, joined.mtu, tuple(addresses), routes)


def _routes(
    joined: Joined, default: bool, default6: bool, servers: Sequence[str]
) -> tuple[guest.Route, ...]:
    gateway = ip_address(joined.gateway).packed
    found = [guest.Route(ip_address(server).packed, 32, gateway) for server in servers]
    if default:
        found.append(guest.Route(bytes(4), 0, gateway))
    if joined.address6:
        # Through the gateway even to neighbours: then only that one has to be asked for.
        gateway6 = ip_address(joined.gateway6).packed
        here = ip_interface(f"{joined.address6}/{joined.prefix_length6}").network
        found.append(guest.Route(here.network_address.packed, here.prefixlen, gateway6))
        if default6:
            found.append(guest.Route(bytes(16), 0, gateway6))
    return tuple(found)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
