"""The only speaker of netlink: links, addresses, routes and neighbours of one network namespace.

Knows no pods. Runs inside the keeper, on the standard library alone: importing pyroute2 takes 0.3 s
and 20 MB, and what is needed here is six messages (rtnetlink(7), linux/rtnetlink.h).
"""

import os
import socket
import struct
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

Change = Sequence[Any]
"""A verb of `_VERBS` and its arguments, as JSON carries them."""

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTMGRP_LINK = 1
IFF_UP = 1
IFLA_IFNAME, IFLA_MTU = 3, 4
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFA_F_NODAD = 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC = 1, 4, 5, 7
NDA_DST, NDA_LLADDR = 1, 2
NUD_PERMANENT = 0x80
NTF_PROXY = 8
RT_TABLE_MAIN, RTPROT_STATIC = 254, 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST, RTN_UNREACHABLE = 1, 7
_BUFFER_BYTES = 1 << 16


class Netlink:
    """A netlink socket of the namespace it was made in."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))

    def apply(self, changes: Sequence[Change]) -> None:
        """Make changes in one batch, in order. Raises OSError naming the first that failed."""
        if not changes:
            return
        packet = b""
        for number, change in enumerate(changes, 1):
            kind, flags, body = _VERBS[change[0]](*change[1:])
            header = struct.pack("=IHHII", 16 + len(body), kind, flags | 5, number, 0)
            packet += header + body
        self._socket.send(packet)
        self._collect(changes)

    def links(self) -> dict[str, int]:
        """Return the index of every interface by its name."""
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        header = struct.pack(
            "=IHHII", 16 + len(body), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0
        )
        self._socket.send(header + body)
        found: dict[str, int] = {}
        while True:
            for kind, _, content in _messages(self._socket.recv(_BUFFER_BYTES)):
                if kind == NLMSG_DONE:
                    return found
                (index,) = struct.unpack_from("=i", content, 4)
                found[_attributes(content[16:])[IFLA_IFNAME].rstrip(b"\0").decode()] = index

    def _collect(self, changes: Sequence[Change]) -> None:
        failed: OSError | None = None
        left = len(changes)
        while left:
            for kind, number, content in _messages(self._socket.recv(_BUFFER_BYTES)):
                if kind != NLMSG_ERROR:
                    continue
                left -= 1
                (code,) = struct.unpack_from("=i", content)
                if code and failed is None:
                    what = " ".join(str(word) for word in changes[number - 1])
                    failed = OSError(-code, os.strerror(-code), what)
        if failed is not None:
            raise failed


def link_events() -> socket.socket:
    """Return a socket that becomes readable when interfaces come and go."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    events.bind((0, RTMGRP_LINK))
    events.setblocking(False)
    return events


def _messages(data: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    at = 0
    while at + 16 <= len(data):
        length, kind, _, number = struct.unpack_from("=IHHI", data, at)
        found.append((kind, number, data[at + 16 : at + length]))
        at += (length + 3) & ~3
    return found


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError as err:
        raise OSError(err.errno, "no such interface", name) from err


Encoded = tuple[int, int, bytes]


def _family(packed: bytes) -> int:
    return int(socket.AF_INET if len(packed) == 4 else socket.AF_INET6)


def _set_link(name: str, up: bool, mtu: int = 0) -> Encoded:
    body = struct.pack("=BxHiII", 0, 0, _index(name), IFF_UP if up else 0, IFF_UP)
    if mtu:
        body += _attribute(IFLA_MTU, struct.pack("=I", mtu))
    return RTM_NEWLINK, 0, body


def _delete_link(name: str) -> Encoded:
    return RTM_DELLINK, 0, struct.pack("=BxHiII", 0, 0, _index(name), 0, 0)


def _address(kind: int, flags: int, name: str, address: str, prefix_length: int) -> Encoded:
    packed = ip_address(address).packed
    nodad = IFA_F_NODAD if len(packed) == 16 else 0
    body = struct.pack("=BBBBi", _family(packed), prefix_length, nodad, 0, _index(name))
    body += _attribute(IFA_LOCAL, packed) + _attribute(IFA_ADDRESS, packed)
    return kind, flags, body


def _route(
    kind: int, flags: int, target: str, name: str, source: str, gateway: str = ""
) -> Encoded:
    """A route to `target` over `name`, or nowhere when that is ""."""
    network = ip_network(target)
    packed = network.network_address.packed
    how = RTN_UNICAST if name else RTN_UNREACHABLE
    scope = RT_SCOPE_LINK if name and len(packed) == 4 else RT_SCOPE_UNIVERSE
    fixed = (_family(packed), network.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, how, 0)
    body = struct.pack("=BBBBBBBBI", *fixed) + _attribute(RTA_DST, packed)
    if name:
        body += _attribute(RTA_OIF, struct.pack("=I", _index(name)))
    if source:
        body += _attribute(RTA_PREFSRC, ip_address(source).packed)
    if gateway:
        body += _attribute(RTA_GATEWAY, ip_address(gateway).packed)
    return kind, flags, body


def _neighbour(kind: int, flags: int, name: str, address: str, mac: str) -> Encoded:
    packed = ip_address(address).packed
    body = struct.pack("=BxxxiHBB", _family(packed), _index(name), NUD_PERMANENT, 0, 0)
    body += _attribute(NDA_DST, packed)
    if mac:
        body += _attribute(NDA_LLADDR, bytes.fromhex(mac.replace(":", "")))
    return kind, flags, body


_MAKE = NLM_F_CREATE | NLM_F_REPLACE
_VERBS: dict[str, Callable[..., Encoded]] = {
    "up": lambda name, mtu=0: _set_link(name, True, mtu),
    "down": lambda name: _set_link(name, False),
    "delete": _delete_link,
    "address": lambda *args: _address(RTM_NEWADDR, _MAKE, *args),
    "no address": lambda *args: _address(RTM_DELADDR, 0, *args),
    "route": lambda *args: _route(RTM_NEWROUTE, _MAKE, *args),
    "no route": lambda target, name: _route(RTM_DELROUTE, 0, target, name, ""),
    "neighbour": lambda *args: _neighbour(RTM_NEWNEIGH, _MAKE, *args),
    "no neighbour": lambda name, address: _neighbour(RTM_DELNEIGH, 0, name, address, ""),
}
