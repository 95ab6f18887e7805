"""IPv6 in the pods' namespace without VMs: the test writes and reads the frames a guest would.

A guest is believed its own addresses and nothing else, and is told of its gateway alone.
"""

import os
import select
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest
import pytest_asyncio

from hyper.core.errors import Conflict
from hyper.network import ipam
from hyper.network.directory import Directory
from hyper.network.networks import Link, Network, Wanted
from hyper.network.routed import RoutedNetworks
from tests.support.tapped import Host, tapped

pytestmark = pytest.mark.root

BACK = Network("back", "172.30.0.0/24", "172.30.0.1", "", "fd00:b::/64", "fd00:b::1", name="back")
LONELY = Network(
    "lonely", "172.29.0.0/24", "172.29.0.1", "", "fd00:1::/64", "fd00:1::1", isolated=True
)
FRONT = Network("front", "172.31.0.0/24", "172.31.0.1", "", "fd00:f::/64", "fd00:f::1")
_VNET_HEADER = bytes(10)  # linux/virtio_net.h: no offload
_SILENCE_S = 0.5
_PATIENCE_S = 60.0  # for what should come: the machine may be busy
_RETRANSMIT_S = 1.0  # RFC 4861, 10: RetransTimer
_IPV6, _UDP, _ICMPV6 = b"\x86\xdd", 17, 58
_SOLICIT, _ADVERT, _ROUTER_ADVERT, _REDIRECT = 135, 136, 134, 137  # RFC 4861
_ALL_NODES = "ff02::1"


@dataclass
class Guest:
    """A pod's end of its tap."""

    link: Link
    fd: int

    @property
    def mac(self) -> bytes:
        return bytes.fromhex(self.link.nic.mac.replace(":", ""))

    @property
    def address(self) -> str:
        return self.link.joined[0].address6

    @property
    def own(self) -> str:
        """Its link-local address."""
        return ipam.link_local(self.link.nic.mac)

    def ask(self, target: str, source: str = "", wait_s: float = _PATIENCE_S) -> bytes:
        """Ask who has an address; return the MAC that answers, b"" for silence.

        It asks again as any host does: the kernel takes the gateway's address at once and joins
        its group of solicited nodes in a task some milliseconds later.
        """
        you = ip_address(target).packed
        group = str(IPv6Address(ip_address("ff02::1:ff00:0").packed[:13] + you[13:]))
        body = bytes(4) + you + b"\1\1" + self.mac
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            self.icmp(_SOLICIT, group, body, source=source)
            while frame := self._receive(you, min(left, _RETRANSMIT_S)):
                if frame[6] == _ICMPV6 and frame[40] == _ADVERT:
                    return frame[-6:]
        return b""

    def icmp(self, kind: int, target: str, body: bytes, *, source: str = "") -> None:
        """Send an ICMPv6 message."""
        message = struct.pack("!BBH", kind, 0, 0) + body
        self._send_packet(_ICMPV6, target, message, 2, source, b"")

    def send(self, target: str, text: bytes, *, mac: bytes = b"", source: str = "") -> None:
        """Send a datagram to port 9, maybe with another's MAC or address."""
        message = struct.pack("!HHHH", 9, 9, 8 + len(text), 0) + text
        self._send_packet(_UDP, target, message, 6, source, mac)

    def is_ignored(self, target: str, source: str = "") -> bool:
        """Return whether nobody answers when it asks who has an address, as nobody should."""
        return not self.ask(target, source, _SILENCE_S)

    def hears(self, text: bytes) -> bool:
        """Return whether a packet with this text arrives, as it should."""
        return bool(self._receive(text))

    def misses(self, text: bytes) -> bool:
        """Return whether no packet with this text arrives, as none should."""
        return not self._receive(text, _SILENCE_S)

    def heard_until(self, last: bytes) -> list[bytes]:
        """Return the texts of all datagrams up to one, which must come."""
        texts: list[bytes] = []
        while texts[-1:] != [last]:
            packet = self._receive(b"")
            assert packet, f"{last!r} was not heard"
            texts += [packet[48:]] if packet[6] == _UDP else []
        return texts

    def _send_packet(
        self, protocol: int, target: str, message: bytes, at: int, source: str, mac: bytes
    ) -> None:
        """`at` is where the checksum is in the message."""
        us, you = ip_address(source or self.address).packed, ip_address(target).packed
        pseudo = us + you + struct.pack("!II", len(message), protocol)
        checksum = struct.pack("!H", _checksum(pseudo + message))
        message = message[:at] + checksum + message[at + 2 :]
        header = struct.pack("!IHBB", 6 << 28, len(message), protocol, 255) + us + you
        multicast = b"\x33\x33" + you[12:]
        to = multicast if you[0] == 0xFF else self.ask(self.link.joined[0].gateway6)
        os.write(self.fd, _VNET_HEADER + to + (mac or self.mac) + _IPV6 + header + message)

    def _receive(self, part: bytes, wait_s: float = _PATIENCE_S) -> bytes:
        """Return the next packet that has this part, b"" when none comes."""
        while select.select([self.fd], [], [], wait_s)[0]:
            frame = os.read(self.fd, 4096)[len(_VNET_HEADER) :]
            if frame[12:14] == _IPV6 and part in frame[14:]:
                return frame[14:]
        return b""


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


@pytest_asyncio.fixture
async def host(run_dir: Path) -> AsyncIterator[Host[Guest]]:
    """Give networks with guests that are this test's."""
    if not Path("/proc/sys/net/ipv6").exists():
        pytest.skip("this host's kernel has no IPv6")
    async with tapped(run_dir, (BACK, FRONT, LONELY), Guest) as made:
        yield made


async def test_the_host_answers_for_the_gateway_alone(host: Host[Guest]) -> None:
    one, two = await host.guest(BACK), await host.guest(BACK)
    assert one.address == "fd00:b::2" and two.address == "fd00:b::3"
    mac = one.ask(BACK.gateway6)
    assert mac and one.ask(BACK.gateway6, source=one.own) == mac
    for target in (two.address, one.address, FRONT.gateway6, two.own):
        assert one.is_ignored(target)


async def test_members_hear_each_other_and_nobody_else(host: Host[Guest]) -> None:
    one, two, other = await host.guest(BACK), await host.guest(BACK), await host.guest(FRONT)
    one.send(two.address, b"to a member")
    assert two.hears(b"to a member")
    one.send(other.address, b"to a stranger")
    one.send(other.own, b"to a stranger's link")
    assert other.misses(b"to a stranger")


async def test_members_of_an_isolated_network_do_not_hear_each_other(host: Host[Guest]) -> None:
    one, two = await host.guest(LONELY), await host.guest(LONELY)
    assert one.ask(LONELY.gateway6)
    one.send(two.address, b"hello")
    assert two.misses(b"hello")


async def test_what_is_forged_is_heard_by_nobody(host: Host[Guest]) -> None:
    victim, evil, target = await host.guest(BACK), await host.guest(BACK), await host.guest(BACK)
    evil.send(target.address, b"honest")
    assert target.hears(b"honest")
    evil.send(target.address, b"address", source=victim.address)
    evil.send(target.address, b"mac", mac=victim.mac)
    evil.send(target.address, b"both", source=victim.address, mac=victim.mac)
    for source in (BACK.gateway6, evil.own, victim.own, "fd00:b::99", "fd00:f::2", "::", "::1"):
        evil.send(target.address, source.encode(), source=source)
    evil.send(target.address, b"honest again")
    assert target.heard_until(b"honest again") == [b"honest again"]


async def test_a_guest_is_no_router_and_nobody_elses_neighbour(host: Host[Guest]) -> None:
    victim, evil, sender = await host.guest(BACK), await host.guest(BACK), await host.guest(BACK)
    option = b"\2\1" + evil.mac
    taken = ip_address(victim.address).packed
    for source in (evil.own, evil.address):
        for kind, body in (
            (_ROUTER_ADVERT, struct.pack("!BBHII", 64, 0, 1800, 0, 0) + b"\1\1" + evil.mac),
            (_ADVERT, struct.pack("!I", 0xE0000000) + taken + option),
            (_REDIRECT, bytes(4) + ip_address(evil.own).packed + taken + option),
        ):
            for target in (_ALL_NODES, BACK.gateway6, sender.address):
                evil.icmp(kind, target, body, source=source)
    while packet := sender._receive(b"", _SILENCE_S):
        told = packet[6] == _ICMPV6 and packet[40] in (_ROUTER_ADVERT, _REDIRECT, _ADVERT)
        assert not told, packet
    sender.send(victim.address, b"for the victim")
    assert victim.heard_until(b"for the victim") == [b"for the victim"]
    assert evil.misses(b"for the victim")


async def test_a_guest_cannot_fill_the_hosts_table_of_neighbours(host: Host[Guest]) -> None:
    evil = await host.guest(BACK)
    assert evil.ask(BACK.gateway6, source=evil.own)
    for number in range(3):
        assert evil.is_ignored(BACK.gateway6, source=f"fe80::{number + 1}")
        assert evil.is_ignored(BACK.gateway6, source=f"fd00:b::{number + 1000:x}")


async def test_who_leaves_is_cut_off_at_once(host: Host[Guest]) -> None:
    one, two = await host.guest(BACK), await host.guest(BACK, FRONT)
    one.send(two.address, b"before")
    assert two.hears(b"before")
    await host.networks.leave(host.name(two), BACK.id)
    one.send(two.address, b"after")
    assert two.misses(b"after")
    assert two.is_ignored(BACK.gateway6)
    await host.networks.join(host.name(two), Wanted(BACK.id, address6=two.address))
    one.send(two.address, b"again")
    assert two.hears(b"again")


async def test_a_restarted_daemon_finds_the_addresses_taken(host: Host[Guest]) -> None:
    one, two = await host.guest(BACK, address6="fd00:b::77"), await host.guest(BACK)
    assert isinstance(host.networks, RoutedNetworks)

    async def answer() -> None:
        """Answer no questions about names."""

    again = RoutedNetworks(host.networks._namespace, Directory(), answer)
    for network in (BACK, FRONT):
        await again.define(network)
    for guest in (one, two):
        link = await again.restore(host.name(guest), guest.link.record)
        assert link.joined == guest.link.joined
    await again.restored()
    two.send(one.address, b"still there")
    assert one.hears(b"still there")
    assert one.ask(BACK.gateway6, source=one.own)
    with pytest.raises(Conflict, match="Address already in use"):
        await again.connect("third", [Wanted(BACK.id, address6="fd00:b::77")], (), None)


def test_an_address_of_a_links_own_is_made_of_its_mac() -> None:
    assert ipam.link_local("02:42:c2:a6:9c:c4") == "fe80::42:c2ff:fea6:9cc4"


def test_a_network_that_asks_for_no_subnet_gets_a_unique_local_one() -> None:
    subnet = ipam.unique_local_subnet("68156f7e56ade67c" * 4)
    assert subnet == "fd68:156f:7e56:ade6::/64"
