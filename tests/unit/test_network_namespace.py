"""The pods' namespace without VMs: the test writes and reads the frames a guest would.

What a guest sends that is not its own to send reaches nobody; what it asks of the host is answered.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_asyncio

from hyper.core.errors import Conflict
from hyper.core.spec import PortBinding
from hyper.host.memory import family, process_name
from hyper.network import uplink
from hyper.network.choice import networks
from hyper.network.directory import Directory
from hyper.network.networks import Balanced, BalancedPort, Link, Network, Wanted
from tests.support import leaks
from tests.support.tapped import Host, tapped, uplink_pid, uplinks

pytestmark = pytest.mark.root

BACK = Network("back", "172.30.0.0/24", "172.30.0.1", name="back")
FRONT = Network("front", "172.31.0.0/24", "172.31.0.1", name="front")
SMALL = Network("small", "172.28.0.0/29", "172.28.0.1", name="small")
LONELY = Network("lonely", "172.29.0.0/24", "172.29.0.1", name="lonely", isolated=True)
_VNET_HEADER = bytes(10)  # linux/virtio_net.h: no offload
_SILENCE_S = 0.5
_PATIENCE_S = 60.0  # for what should come: the machine may be busy
_ELSEWHERE = "203.0.113.9"  # RFC 5737: nobody's, so nobody answers
_BROADCAST = b"\xff" * 6


@dataclass
class Guest:
    """A pod's end of its tap."""

    link: Link
    fd: int
    gateway_mac: bytes = b""

    @property
    def mac(self) -> bytes:
        return bytes.fromhex(self.link.nic.mac.replace(":", ""))

    @property
    def address(self) -> str:
        return self.link.joined[0].address

    def ask_arp(self, target: str, wait_s: float = _PATIENCE_S) -> bytes:
        """Ask who has an address; return the MAC that answers, b"" for silence."""
        me, you = ip_address(self.address).packed, ip_address(target).packed
        head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
        self._send(_BROADCAST + self.mac + b"\x08\x06" + head + self.mac + me + bytes(6) + you)
        answer = self._receive(b"\x08\x06", you, wait_s)
        return answer[8:14] if answer else b""

    def send(
        self, target: str, text: bytes, *, mac: bytes = b"", address: str = "", port: int = 9
    ) -> None:
        """Send a datagram from a port to port 9, maybe with another's MAC or address."""
        udp = struct.pack("!HHHH", port, 9, 8 + len(text), 0) + text
        source = ip_address(address or self.address).packed
        fixed = (0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
        header = struct.pack("!BBHHHBBH", *fixed) + source + ip_address(target).packed
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        ethernet = self._gateway_mac() + (mac or self.mac) + b"\x08\x00"
        self._send(ethernet + header + udp)

    def send_segments(self, target: str, size: int, *, segment: int, address: str = "") -> None:
        """Send TCP of `size` zeros in one frame that the kernel is to cut into segments."""
        source = ip_address(address or self.address).packed
        fixed = (0x45, 0, 40 + size, 1, 0, 64, 6, 0)
        header = struct.pack("!BBHHHBBH", *fixed) + source + ip_address(target).packed
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        tcp = struct.pack("!HHIIBBHHH", 1000, 9, 1, 1, 0x50, 0x10, 1000, 0, 0)
        # linux/virtio_net.h: NEEDS_CSUM, GSO_TCPV4, hdr_len, gso_size, csum_start, csum_offset
        vnet = struct.pack("=BBHHHH", 1, 1, 54, segment, 34, 16)
        ethernet = self._gateway_mac() + self.mac + b"\x08\x00"
        os.write(self.fd, vnet + ethernet + header + tcp + bytes(size))

    def connects(self, target: str, count: int) -> list[int]:
        """Begin connections from as many ports; return those that were refused."""
        for number in range(count):
            header = struct.pack("!HHIIBBHHH", 1000 + number, 9, 1, 0, 0x50, 2, 1000, 0, 0)
            source, you = ip_address(self.address).packed, ip_address(target).packed
            pseudo = source + you + struct.pack("!HH", 6, len(header))
            header = header[:16] + struct.pack("!H", _checksum(pseudo + header)) + header[18:]
            fixed = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(header), 1, 0, 64, 6, 0)
            packet = fixed + source + you
            packet = packet[:10] + struct.pack("!H", _checksum(packet)) + packet[12:]
            self._send(self._gateway_mac() + self.mac + b"\x08\x00" + packet + header)
        refused = []
        while frame := self._receive(b"\x08\x00", b"", _SILENCE_S):
            if frame[9] == 6 and frame[33] & 4:  # TCP with RST
                refused.append(struct.unpack_from("!H", frame, 22)[0])
        return refused

    def hears(self, text: bytes) -> bool:
        """Return whether a datagram with this text arrives, as it should."""
        return bool(self._receive(b"\x08\x00", text))

    def misses(self, text: bytes) -> bool:
        """Return whether no datagram with this text arrives, as none should."""
        return not self._receive(b"\x08\x00", text, _SILENCE_S)

    def heard_until(self, last: bytes) -> list[bytes]:
        """Return the texts of all datagrams up to one, which must come."""
        texts: list[bytes] = []
        while texts[-1:] != [last]:
            frame = self._receive(b"\x08\x00", b"")
            assert frame, f"{last!r} was not heard"
            texts.append(frame[28:])
        return texts

    def _gateway_mac(self) -> bytes:
        self.gateway_mac = self.gateway_mac or self.ask_arp(self.link.joined[0].gateway)
        return self.gateway_mac

    def _send(self, frame: bytes) -> None:
        os.write(self.fd, _VNET_HEADER + frame)

    def _receive(self, kind: bytes, part: bytes, wait_s: float = _PATIENCE_S) -> bytes:
        while select.select([self.fd], [], [], wait_s)[0]:
            frame = os.read(self.fd, 4096)[len(_VNET_HEADER) :]
            if frame[12:14] == kind and part in frame[14:]:
                return frame[14:]
        return b""


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


@pytest_asyncio.fixture
async def host(run_dir: Path) -> AsyncIterator[Host[Guest]]:
    """Give networks with guests that are this test's."""
    async with tapped(run_dir, (BACK, FRONT, SMALL, LONELY), Guest) as made:
        yield made


async def test_the_host_answers_for_gateway_and_neighbours(host: Host[Guest]) -> None:
    one, two = await host.guest(BACK), await host.guest(BACK)
    other = await host.guest(FRONT)
    mine = one.ask_arp(BACK.gateway)
    assert mine and one.ask_arp(two.address) == mine
    assert one.ask_arp("172.30.0.77", _SILENCE_S) == b""
    assert one.ask_arp(one.address, _SILENCE_S) == b""
    assert other.ask_arp(FRONT.gateway)


async def test_members_hear_each_other_and_nobody_else(host: Host[Guest]) -> None:
    one, two, other = await host.guest(BACK), await host.guest(BACK), await host.guest(FRONT)
    one.send(two.address, b"to a member")
    assert two.hears(b"to a member")
    one.send(other.address, b"to a stranger")
    assert other.misses(b"to a stranger")


async def test_what_is_forged_is_heard_by_nobody(host: Host[Guest]) -> None:
    victim, evil, target = await host.guest(BACK), await host.guest(BACK), await host.guest(BACK)
    evil.send(target.address, b"honest")
    assert target.hears(b"honest")
    evil.send(target.address, b"address", address=victim.address)
    evil.send(target.address, b"mac", mac=victim.mac)
    evil.send(target.address, b"both", address=victim.address, mac=victim.mac)
    evil.send(target.address, b"gateway", address=BACK.gateway)
    evil.send(target.address, b"honest again")
    assert target.heard_until(b"honest again") == [b"honest again"]


async def test_a_claim_to_anothers_address_changes_nothing(host: Host[Guest]) -> None:
    victim, evil, sender = await host.guest(BACK), await host.guest(BACK), await host.guest(BACK)
    claim = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    who = evil.mac + ip_address(victim.address).packed
    evil._send(_BROADCAST + evil.mac + b"\x08\x06" + claim + who + who)
    sender.send(victim.address, b"for the victim")
    assert victim.hears(b"for the victim")
    assert evil.misses(b"for the victim")


async def test_who_leaves_is_cut_off_at_once(host: Host[Guest]) -> None:
    one, two = await host.guest(BACK), await host.guest(BACK)
    one.send(two.address, b"before")
    assert two.hears(b"before")
    two.send(one.address, b"from inside")
    assert one.hears(b"from inside")
    await host.networks.leave(host.name(two), BACK.id)
    one.send(two.address, b"after")
    assert two.misses(b"after")
    two.send(one.address, b"from outside")
    assert one.misses(b"from outside")
    await host.networks.join(host.name(two), Wanted(BACK.id, two.address))
    one.send(two.address, b"again")
    assert two.hears(b"again")


async def test_a_frame_of_many_segments_is_filtered_as_one_packet_is(host: Host[Guest]) -> None:
    one, two, other = await host.guest(BACK), await host.guest(BACK), await host.guest(FRONT)
    segment = bytes(1000)
    one.send_segments(two.address, 4000, segment=1000)
    assert two.hears(segment)
    one.send(two.address, b"all of them came")
    assert len(two.heard_until(b"all of them came")) == 4  # three more, and the last word
    one.send_segments(two.address, 4000, segment=1000, address="172.30.0.99")
    one.send_segments(other.address, 4000, segment=1000)
    assert two.misses(segment) and other.misses(segment)
    with pytest.raises(OSError, match="Invalid argument"):
        one.send_segments(two.address, 4000, segment=0)


async def test_no_pod_takes_all_connections_to_the_world(host: Host[Guest]) -> None:
    most = uplink.connections(uplink.find("slirp4netns")) // 2
    if not host.networks.diagnosis[1].endswith("slirp4netns"):
        pytest.skip("this uplink has enough for all")
    one, two = await host.guest(BACK), await host.guest(BACK)
    stopped = await uplink_pid(host.networks)
    os.kill(stopped, signal.SIGSTOP)  # so that nobody else refuses them
    try:
        refused = await asyncio.to_thread(one.connects, _ELSEWHERE, most + 10)
        assert refused == [1000 + most + number for number in range(10)]
        assert await asyncio.to_thread(two.connects, _ELSEWHERE, 10) == []
    finally:
        os.kill(stopped, signal.SIGCONT)


async def test_the_uplink_comes_back_and_a_shell_waits_for_it(host: Host[Guest]) -> None:
    ended = await uplink_pid(host.networks)
    names = [process_name(pid) for pid in family(host.networks.process_id)]
    assert len(names) == 3 and names[1] == "sh"  # and no second interpreter
    os.kill(ended, signal.SIGKILL)
    again = await asyncio.to_thread(
        leaks.settle, lambda: set(uplinks(host.networks)) in (set(), {ended}), _PATIENCE_S
    )
    assert again, "the uplink did not come back"


async def test_a_network_is_forgotten_while_a_pod_is_just_leaving_it(host: Host[Guest]) -> None:
    one, two = await host.guest(BACK), await host.guest(BACK)
    one.send(two.address, b"before")
    assert two.hears(b"before")
    await host.networks.forget(BACK.id)
    one.send(two.address, b"after")
    assert two.misses(b"after")
    await host.networks.disconnect(host.name(one))
    await host.networks.disconnect(host.name(two))
    await host.networks.define(BACK)
    again, other = await host.guest(BACK), await host.guest(BACK)
    assert (again.address, other.address) == (one.address, two.address)
    again.send(other.address, b"anew")
    assert other.hears(b"anew")


async def test_members_of_an_isolated_network_do_not_hear_each_other(host: Host[Guest]) -> None:
    one, two = await host.guest(LONELY), await host.guest(LONELY)
    one.send(two.address, b"hello")
    assert two.misses(b"hello")


async def test_a_taken_port_is_refused_and_gives_everything_back(host: Host[Guest]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = PortBinding(80, "tcp", "127.0.0.1", taken.getsockname()[1])
        for _ in range(8):  # more than the network has addresses
            with pytest.raises(Conflict, match="port is already allocated"):
                await host.networks.connect("refused", [Wanted(SMALL.id)], [port], None)
    assert (await host.guest(SMALL)).address


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_port_of_every_address_is_one_of_ipv6_too(host: Host[Guest], protocol: str) -> None:
    guest = await host.guest(BACK, ports=[PortBinding(80, protocol)])
    (published,) = guest.link.ports
    port = published.host_port
    addresses = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]
    for address in addresses:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, kind) as client:
            client.settimeout(60)
            client.connect((address, port))
            if protocol == "udp":
                client.send(b"hello")
            assert guest.hears(struct.pack("!H", 80)), f"nothing comes from {address}"
    with pytest.raises(Conflict, match=r"Bind for 0\.0\.0\.0:\d+ failed"):
        await host.guest(BACK, ports=[PortBinding(80, protocol, "", port)])


async def test_ports_come_and_go_while_a_pod_runs(host: Host[Guest]) -> None:
    guest = await host.guest(BACK, ports=[PortBinding(80, "tcp", "127.0.0.1")])
    (kept,) = guest.link.ports
    added = PortBinding(81, "tcp", "127.0.0.1")
    link = await host.networks.publish(host.name(guest), (kept, added))
    assert link.ports[0] == kept and link.ports[1].host_port
    connection = socket.create_connection(("127.0.0.1", link.ports[1].host_port), timeout=60)
    assert guest.hears(struct.pack("!H", 81)), "no connection is tried to the pod's port"
    connection.close()
    await host.networks.publish(host.name(guest), (kept,))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", link.ports[1].host_port), timeout=60)
    socket.create_connection(("127.0.0.1", kept.host_port), timeout=60).close()


def _balanced(*backends: Guest, sticky: bool = False) -> Balanced:
    behind = tuple((guest.address, 9) for guest in backends)
    return Balanced("service", BACK.id, ports=(BalancedPort(9, "udp", behind, sticky),))


def _heard(client: Guest, backend: Guest) -> list[bytes]:
    """Return what a backend heard until what the client sends it now, which comes last."""
    client.send(backend.address, b"last")
    return backend.heard_until(b"last")[:-1]


async def test_a_virtual_address_leads_to_its_backends_in_turn(host: Host[Guest]) -> None:
    client, one, two = [await host.guest(BACK) for _ in range(3)]
    stranger = await host.guest(FRONT)
    balancer = host.networks.balancer
    made = await balancer.put(_balanced(one, two))
    assert client.ask_arp(made.address)
    for port in range(100, 104):
        client.send(made.address, b"%d" % port, port=port)
    stranger.send(made.address, b"stranger")
    heard = _heard(client, one), _heard(client, two)
    assert sorted(heard[0] + heard[1]) == [b"100", b"101", b"102", b"103"]
    assert len(heard[0]) == len(heard[1]) == 2
    # A client of a sticky one stays; the address does not change.
    assert (await balancer.put(_balanced(one, two, sticky=True))).address == made.address
    for port in range(105, 109):
        client.send(made.address, b"sticky", port=port)
    assert sorted(len(_heard(client, backend)) for backend in (one, two)) == [0, 4]
    # Without backends, and without the service, nobody is reached.
    await balancer.put(_balanced())
    client.send(made.address, b"nobody", port=109)
    await balancer.drop("service")
    client.send(made.address, b"gone", port=110)
    assert (_heard(client, one), _heard(client, two)) == ([], [])
    assert not client.ask_arp(made.address, _SILENCE_S)


async def test_a_backend_reaches_itself_by_its_service(host: Host[Guest]) -> None:
    (one,) = [await host.guest(BACK)]
    made = await host.networks.balancer.put(_balanced(one))
    one.send(made.address, b"to myself", port=200)
    assert one.hears(b"to myself")
    await host.networks.balancer.drop("service")


async def test_a_published_service_s_port_is_given_back_with_it(host: Host[Guest]) -> None:
    port = PortBinding(9, "tcp", "127.0.0.1", 30000, host_port_end=32767)
    (bound,) = (await host.networks.balancer.put(replace(_balanced(), published=(port,)))).published
    with contextlib.suppress(ConnectionResetError):  # nobody is behind it
        socket.create_connection(("127.0.0.1", bound.host_port), timeout=60).close()
    await host.networks.balancer.drop("service")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", bound.host_port), timeout=60)


async def test_a_later_daemon_finds_the_namespace_as_it_was(run_dir: Path) -> None:
    async with networks(run_dir, "namespace", Directory()) as backend:
        await backend.define(BACK)
        link = await backend.connect("pod", [Wanted(BACK.id)], [PortBinding(80)], None)
        fd = os.dup(link.nic.tap_fd)
        backend.settle("pod")
    async with networks(run_dir, "namespace", Directory()) as backend:
        await backend.define(BACK)
        restored = await backend.restore("pod", link.record)
        await backend.restored()
        assert restored.joined == link.joined and restored.ports == link.ports
        other = await backend.connect("other", [Wanted(BACK.id)], (), None)
        one, two = Guest(restored, fd), Guest(other, os.dup(other.nic.tap_fd))
        two.send(one.address, b"still here")
        assert one.hears(b"still here")
        os.close(two.fd)
        await backend.disconnect("other")
        await backend.disconnect("pod")
        os.close(fd)
    assert await asyncio.to_thread(leaks.settle, lambda: leaks.processes_naming(str(run_dir)))


async def test_a_keeper_that_is_just_ending_is_replaced(run_dir: Path) -> None:
    """As after kill -9 of a daemon without pods: the next may still get a connection."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ending:
        ending.bind(str(run_dir / "network.sock"))
        ending.listen()
        ending.setblocking(False)

        def end() -> None:
            loop.remove_reader(ending.fileno())
            ending.accept()[0].close()

        loop.add_reader(ending.fileno(), end)
        async with networks(run_dir, "namespace", Directory()) as backend:
            await backend.define(BACK)
    assert await asyncio.to_thread(leaks.settle, lambda: leaks.processes_naming(str(run_dir)))
