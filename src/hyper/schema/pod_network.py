"""Owns what a pod document says of networks: its interfaces, and who may reach published ports."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

from hyper.core.errors import InvalidArgument
from hyper.core.pod_spec import PodEndpoint
from hyper.schema.document import Key, ListOf, Refused, Table, Text, Values, Whole, checked

NONE = "none"
_PREFIX = "the prefix is the network's: give the address alone"


def _address(text: str) -> None:
    if "/" in text:
        raise InvalidArgument(f"{text!r}: {_PREFIX}")
    try:
        ipaddress.ip_address(text)
    except ValueError as err:
        raise InvalidArgument(f"{text!r} is not an IP address") from err


def _network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as err:
        raise InvalidArgument(f"{text!r} is not a network such as 192.0.2.0/24: {err}") from err


def _mac(text: str) -> None:
    if int(text[:2], 16) & 1 or not int(text.replace(":", ""), 16):
        raise InvalidArgument(f"{text!r} is not the address of one device")


def _name(text: str) -> None:
    if text in ("lo", ".", "..") or re.fullmatch(r"(all|default|dummy\d+)", text):
        raise InvalidArgument(f"{text!r} is a name of the kernel's own")


ADDRESS = checked(Text(), _address)


def _interface(values: Values, where: str) -> PodEndpoint:
    if "network" in values and "bridge" in values:
        raise InvalidArgument(f"{where}.bridge: it is another name of network: give one of them")
    values = dict(values)
    bridge = values.pop("bridge", "default")
    if "mac" in values:
        values["mac"] = values["mac"].lower()
    place = PodEndpoint(values.pop("network", bridge), **values)
    if place.network == NONE and values:
        raise InvalidArgument(f"{where}.{next(iter(values))}: a pod without network has none")
    return place


INTERFACE = Table(
    "A network the pod is on; the first one has the default route, unless it is internal.",
    (
        Key("network", Text(), "name of the network; none for no network"),
        Key("bridge", Text(), "another name of network"),
        Key("ip", ADDRESS, "its address there; chosen unless given", "address"),
        Key(
            "mac",
            checked(Text(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}"), _mac),
            "its MAC address there; made from its id unless given",
        ),
        Key("mtu", Whole(576, 65521), "largest packet; the network's unless given"),
        Key(
            "ifname",
            checked(Text(r"[a-zA-Z0-9_.-]{1,15}"), _name),
            "name of the interface; eth0, eth1... unless given",
            "interface",
        ),
        Key("gateway", Refused("a network has its own gateway"), "refused"),
        Key("tap", Refused("Hyper makes the tap device itself"), "refused"),
    ),
    _interface,
)

_NETWORKS = ListOf(checked(Text(), _network))

WHITELIST = Table(
    "Networks whose addresses may connect to published ports; all may unless one is named. The "
    "address is the one the host sees: that of another pod is the host's own.",
    (
        Key("internalNetworks", _NETWORKS, "networks of this host"),
        Key("externalNetworks", _NETWORKS, "networks outside"),
    ),
    lambda values, where: tuple(text for one in values.values() for text in one),
)


def places(interfaces: Sequence[Any]) -> tuple[str, tuple[PodEndpoint, ...]]:
    """Return a pod's network mode and its places on networks. Raises InvalidArgument."""
    if not interfaces:
        return "default", ()
    if any(place.network == NONE for place in interfaces):
        if len(interfaces) > 1:
            raise InvalidArgument("interfaces[1]: a pod without network has no other interface")
        return NONE, ()
    named: dict[str, int] = {}
    for at, place in enumerate(interfaces):
        name = place.interface or f"eth{at}"
        if name in named:
            raise InvalidArgument(f"interfaces[{at}].ifname: interfaces[{named[name]}] is {name}")
        named[name] = at
    return interfaces[0].network, tuple(interfaces)
