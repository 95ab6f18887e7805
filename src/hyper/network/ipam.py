"""Which addresses of a network are given to whom: data, and a look at the host's routes.

Like Docker's, addresses are given out in turn: one that was just freed is not the next one given.
"""

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

from hyper.core.errors import Conflict, InvalidArgument, Unavailable

AnyNetwork = IPv4Network | IPv6Network

_SCAN = 1 << 17


def default_pools() -> Iterator[IPv4Network]:
    """Give Docker's default address pools, in its order (moby daemon/libnetwork/ipamutils)."""
    for second in range(17, 32):
        yield IPv4Network(f"172.{second}.0.0/16")
    yield from IPv4Network("192.168.0.0/16").subnets(new_prefix=20)


def free_subnet(used: Iterable[str]) -> str:
    """Return the first default pool that overlaps none of `used` and nothing of the host's.

    Raises Unavailable.
    """
    taken = [
        ip_network(subnet) for subnet in (*used, *host_subnets()) if subnet and ":" not in subnet
    ]
    for pool in default_pools():
        if not any(pool.overlaps(each) for each in taken if isinstance(each, IPv4Network)):
            return str(pool)
    raise Unavailable(
        "all predefined address pools have been fully subnetted: give the network a --subnet"
    )


def unique_local_subnet(network_id: str) -> str:
    """Return an IPv6 subnet of a network's own (RFC 4193, with digits of its id for chance)."""
    digits = "fd" + network_id[:14]
    return str(IPv6Network(int(digits + "0" * 16, 16)).supernet(new_prefix=64))


def host_subnets() -> list[str]:
    """Return the subnets the host itself has routes to (proc(5), /proc/net/route)."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        target, mask = (bytes.fromhex(fields[at])[::-1] for at in (1, 7))
        if any(mask):
            prefix = bin(int.from_bytes(mask)).count("1")
            found.append(f"{'.'.join(map(str, target))}/{prefix}")
    return found


class Pool:
    """The addresses of one subnet."""

    def __init__(
        self, subnet: str, gateway: str, ip_range: str = "", reserved: Iterable[str] = ()
    ) -> None:
        self.subnet: AnyNetwork = ip_network(subnet)
        self._range: AnyNetwork = ip_network(ip_range) if ip_range else self.subnet
        addresses = (ip_address(text) for text in (gateway, *reserved) if text)
        self._taken = {int(each) for each in addresses if each.version == self.subnet.version}
        self._last = int(self._range.network_address)
        if self._range == self.subnet or int(self._range.network_address) == int(
            self.subnet.network_address
        ):
            self._taken.add(int(self.subnet.network_address))
        if isinstance(self.subnet, IPv4Network) and self.subnet.prefixlen < 31:
            self._taken.add(int(self.subnet.broadcast_address))

    def take(self, asked: str = "") -> str:
        """Return an address and mark it taken; `asked` for a certain one.

        Raises Conflict when it is taken, InvalidArgument when it is not of this subnet, Unavailable
        when none is left.
        """
        if asked:
            return self._take_exactly(asked)
        first, size = int(self._range.network_address), self._range.num_addresses
        for step in range(1, min(size, _SCAN) + 1):
            number = first + (self._last - first + step) % size
            if number not in self._taken:
                self._taken.add(number)
                self._last = number
                return self._text(number)
        version = f"IPv{self.subnet.version}"
        raise Unavailable(
            f"no available {version} addresses on this network's pools: {self._range}"
        )

    def _take_exactly(self, asked: str) -> str:
        address = ip_address(asked)
        if address not in self.subnet:
            raise InvalidArgument(
                "invalid config for network: invalid endpoint settings:\n"
                f"no configured subnet contains IP address {asked}"
            )
        if int(address) in self._taken:
            raise Conflict("Address already in use")
        self._taken.add(int(address))
        return str(address)

    def _text(self, number: int) -> str:
        return str(self.subnet[number - int(self.subnet.network_address)])

    def free(self, address: str) -> None:
        """Give an address back."""
        self._taken.discard(int(ip_address(address)))


def link_local(mac: str) -> str:
    """Return the link-local address a guest's kernel makes of a MAC (RFC 4291, modified EUI-64)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + identifier))


def mac(pod_id: str, network_id: str, asked: str) -> str:
    """Return a locally administered MAC, Docker's range 02:42, that stays with pod and network."""
    if asked:
        return asked.lower()
    digest = hashlib.sha256(f"{pod_id} {network_id}".encode()).digest()
    return "02:42:" + ":".join(f"{byte:02x}" for byte in digest[:4])
