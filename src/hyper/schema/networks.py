"""Owns the bodies of Docker's network API: to a NetworkSpec and EndpointSpec, and back.

What depends on other networks or the host is the engine's.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hyper.core.errors import InvalidArgument, Unsupported
from hyper.core.spec import (
    HOST_BINDING_OPTION,
    ICC_OPTION,
    MTU_OPTION,
    ContainerSpec,
    EndpointSpec,
    LinkSpec,
    NetworkSpec,
    SubnetSpec,
)
from hyper.core.values import read_bool, read_int, read_object, read_string, read_strings

PREDEFINED_NETWORKS = frozenset({"default", "bridge", "none", "host"})
_MASQUERADE_OPTION = "com.docker.network.bridge.enable_ip_masquerade"
_OPTIONS = {
    MTU_OPTION: "the guests' MTU",
    ICC_OPTION: "false: members do not reach each other",
    HOST_BINDING_OPTION: "the host's address of ports published without one",
    _MASQUERADE_OPTION: "true: members have the host's address outside",
}
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def parse_network(body: Mapping[str, object]) -> NetworkSpec:
    """Return the network a create body describes.

    Raises InvalidArgument, and Unsupported for what Hyper's networks cannot do, by name.
    """
    name = read_string(body.get("Name"), "Name")
    if not name.strip():
        raise InvalidArgument("invalid network name: name is empty")
    driver = read_string(body.get("Driver") or "bridge", "Driver")
    for field in ("Ingress", "ConfigOnly"):
        if read_bool(body.get(field) or False, field):
            raise Unsupported(f"{field} is not supported: it belongs to a swarm")
    ipv6 = read_bool(body.get("EnableIPv6") or False, "EnableIPv6")
    if body.get("EnableIPv4") is False:
        raise Unsupported("EnableIPv4=false is not supported: networks have IPv4, and IPv6 beside")
    scope = read_string(body.get("Scope") or "local", "Scope")
    if scope != "local":
        raise Unsupported(f"Scope {scope} is not supported: there is no swarm")
    if read_object(body.get("ConfigFrom"), "ConfigFrom").get("Network"):
        raise Unsupported("ConfigFrom is not supported: it belongs to a swarm")
    ipam = read_object(body.get("IPAM"), "IPAM")
    ipam_driver = read_string(ipam.get("Driver") or "default", "IPAM.Driver")
    if ipam_driver != "default":
        raise Unsupported(f"IPAM driver {ipam_driver} is not supported: only default")
    return NetworkSpec(
        name=name,
        driver=driver,
        internal=read_bool(body.get("Internal") or False, "Internal"),
        attachable=read_bool(body.get("Attachable") or False, "Attachable"),
        subnets=_subnets(ipam, ipv6),
        ipv6=ipv6,
        ipam_options=_pairs(ipam.get("Options"), "IPAM.Options"),
        options=_options(body.get("Options")),
        labels=_pairs(body.get("Labels"), "Labels"),
    )


def _pairs(value: object, where: str) -> tuple[tuple[str, str], ...]:
    given = read_object(value, where)
    return tuple((key, read_string(item, f"{where}.{key}")) for key, item in given.items())


def _options(value: object) -> tuple[tuple[str, str], ...]:
    options = _pairs(value, "Options")
    for name, content in options:
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise Unsupported(f"network option {name} is not supported: there are {known}")
        if not _is_valid(name, content):
            raise InvalidArgument(f"invalid value of {name}: {content}")
        if name == _MASQUERADE_OPTION and content.lower() in _FALSE:
            raise Unsupported(f"{name}={content} is not supported: members have no other way out")
    return options


def _is_valid(name: str, content: str) -> bool:
    if name == MTU_OPTION:
        return content.isdigit() and 68 <= int(content) <= 65520
    if name == HOST_BINDING_OPTION:
        return _is_ipv4(content)
    return content.lower() in (*_TRUE, *_FALSE)


def _is_ipv4(text: str) -> bool:
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False


def _subnets(ipam: Mapping[str, object], ipv6: bool) -> tuple[SubnetSpec, ...]:
    """Return the blocks of an address plan, IPv4's first."""
    blocks = ipam.get("Config") or []
    if not isinstance(blocks, list):
        raise InvalidArgument("IPAM.Config: expected a list")
    found = [_subnet(block, f"IPAM.Config[{at}]") for at, block in enumerate(blocks)]
    found = [block for block in found if block != SubnetSpec()]
    found.sort(key=lambda block: ":" in block.subnet)
    sixes = [block.subnet for block in found if ":" in block.subnet]
    if sixes and not ipv6:
        raise InvalidArgument(f"subnet {sixes[0]} needs EnableIPv6 (--ipv6)")
    if len(sixes) > 1 or len(found) - len(sixes) > 1:
        raise Unsupported("IPAM.Config: a network has one subnet, and one of IPv6")
    return tuple(found)


def _subnet(value: object, where: str) -> SubnetSpec:
    block = read_object(value, where)
    texts = {
        key: read_string(block.get(key) or "", f"{where}.{key}")
        for key in ("Subnet", "IPRange", "Gateway")
    }
    auxiliary = _pairs(block.get("AuxiliaryAddresses"), f"{where}.AuxiliaryAddresses")
    if not texts["Subnet"]:
        if any(texts.values()) or auxiliary:
            raise InvalidArgument(f"{where}: an address plan needs a subnet")
        return SubnetSpec()
    subnet = _network(texts["Subnet"])
    if subnet.prefixlen > subnet.max_prefixlen - 2:
        raise InvalidArgument(f"invalid subnet {subnet}: it has no room for a gateway and a member")
    for key, text in (*texts.items(), *auxiliary):
        _check_inside(key, text, str(subnet))
    return SubnetSpec(str(subnet), texts["Gateway"], texts["IPRange"], auxiliary)


def _network(text: str) -> IPv4Network | IPv6Network:
    """Return a subnet. Raises InvalidArgument in moby's words (api/types/network/ipam.go)."""
    wrong = f"invalid network config:\ninvalid subnet {text}: "
    try:
        subnet = ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(f"{wrong}invalid CIDR block notation") from None
    if "/" not in text:
        raise InvalidArgument(f"{wrong}invalid CIDR block notation")
    if ip_address(text.partition("/")[0]) != subnet.network_address:
        raise InvalidArgument(f"{wrong}it should be {subnet}")
    return subnet


def _check_inside(key: str, text: str, subnet: str) -> None:
    """Raise InvalidArgument unless an address or a part of a subnet lies in it."""
    if not text:
        return
    try:
        inside = ip_network(text).subnet_of(ip_network(subnet))  # type: ignore[arg-type]
    except (ValueError, TypeError) as err:
        raise InvalidArgument(f"invalid network config:\ninvalid {key} {text}: {err}") from None
    if not inside:
        raise InvalidArgument(
            f"invalid network config:\ninvalid {key} {text}: parent subnet {subnet} doesn't "
            "contain it"
        )


def check_shared_network(spec: ContainerSpec) -> None:
    """Check what is asked of a container on the network of another (moby runconfig/errors.go).

    Raises InvalidArgument.
    """
    for given, what in (
        (spec.hostname or spec.domainname, "hostname and the network mode"),
        (spec.dns or spec.dns_search or spec.dns_options, "dns and the network mode"),
        (spec.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (spec.mac_address, "mac-address and the network mode"),
        (
            spec.ports or spec.publish_all,
            "port publishing and the container type network mode",
        ),
        (spec.exposed_ports, "port exposing and the container type network mode"),
        (
            spec.links,
            "container type network can't be used with links. This would result in undefined "
            "behavior",
        ),
    ):
        if given:
            raise InvalidArgument(f"conflicting options: {what}")


def read_endpoint(network: str, value: object, where: str) -> EndpointSpec:
    """Return what an EndpointSettings object asks for. Raises InvalidArgument, Unsupported."""
    endpoint = read_object(value, where)
    aliases = read_strings(endpoint.get("Aliases"), f"{where}.Aliases")
    ipam = read_object(endpoint.get("IPAMConfig"), f"{where}.IPAMConfig")
    address = _address(ipam.get("IPv4Address"), 4, f"{where}.IPAMConfig.IPv4Address")
    address6 = _address(ipam.get("IPv6Address"), 6, f"{where}.IPAMConfig.IPv6Address")
    if (address or address6) and network in PREDEFINED_NETWORKS:
        raise InvalidArgument(
            f"invalid config for network {network}: invalid endpoint settings:\n"
            "user specified IP address is supported on user defined networks only"
        )
    if aliases and network in PREDEFINED_NETWORKS:
        raise InvalidArgument("network-scoped aliases are only supported for user-defined networks")
    links = read_links(endpoint.get("Links"), f"{where}.Links")
    if links and network in PREDEFINED_NETWORKS:
        raise Unsupported(
            f"{where}.Links is not supported: on the network {network} a container is linked when "
            "it is created (HostConfig.Links)"
        )
    if read_strings(ipam.get("LinkLocalIPs"), f"{where}.IPAMConfig.LinkLocalIPs"):
        raise Unsupported(
            f"{where}.IPAMConfig.LinkLocalIPs is not supported: a pod has the one device"
        )
    if read_object(endpoint.get("DriverOpts"), f"{where}.DriverOpts"):
        raise Unsupported(f"{where}.DriverOpts is not supported: there is no such option")
    mac = read_string(endpoint.get("MacAddress") or "", f"{where}.MacAddress")
    if mac and not _MAC.fullmatch(mac):
        raise InvalidArgument(f"invalid MAC address: {mac}")
    return EndpointSpec(
        network=network,
        aliases=aliases,
        address=address,
        address6=address6,
        mac=mac,
        links=links,
        priority=read_int(endpoint.get("GwPriority") or 0, f"{where}.GwPriority"),
    )


def read_links(value: object, where: str) -> tuple[LinkSpec, ...]:
    """Return links from NAME, NAME:ALIAS or, as inspect shows them, /NAME:/OWN/ALIAS.

    Raises InvalidArgument (docker/cli opts.ParseLink).
    """
    links = []
    for text in read_strings(value, where):
        container, separator, alias = text.partition(":")
        if not text or ":" in alias:
            raise InvalidArgument(
                f"bad format for links: {text}" if text else "empty string specified for links"
            )
        if container.startswith("/") and separator:
            container, alias = container[1:], alias.rpartition("/")[2]
        alias = alias if separator else container
        links.append(LinkSpec(container, alias))
    return tuple(links)


def show_links(links: Sequence[LinkSpec], own: str = "") -> list[str] | None:
    """Return links as Docker writes them: those of an endpoint, or those of the container `own`."""
    if own:
        return [f"/{link.name}:/{own}/{link.alias}" for link in links] or None
    return [f"{link.container}:{link.alias}" for link in links] or None


def _address(value: object, version: int, where: str) -> str:
    text = read_string(value or "", where)
    if not text:
        return ""
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidArgument(f"invalid IPv{version} address: {text}") from None
    if address.version != version:
        raise InvalidArgument(f"invalid IPv{version} address: {text}")
    return str(address)
