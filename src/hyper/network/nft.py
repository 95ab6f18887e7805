"""The only speaker of nftables: one table, of which the elements of its sets change.

Knows no pods: `Ruleset` runs text, the functions below write it. libnftables is called in this
process (libnftables(3)): a change takes 0.1 ms, where running `nft` takes 5.

    senders      interface, MAC and address that may send; all else from a tap is dropped
    network_of   address -> number of its network
    members      network and address: who may be reached from that network
    internal     networks with no way out
    isolated     networks whose members do not see each other
    services     virtual address, protocol and port -> a chain that chooses a backend: the only
                 chains that come and go
    hairpins     a backend that reaches itself by its service -> who it believes to talk to
    talkers_*    who has how many connections to the world (`share_uplink`)
"""

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the keeper imports this module, and nothing it does not need
    from hyper.network.networks import BalancedPort

TABLE = "inet hyper"
TAPS = "hy*"
UPLINK = "up0"
_NFT_CTX_DEFAULT = 0


@dataclass(frozen=True, slots=True)
class Member:
    """An address of a pod as the filter knows it."""

    tap: str
    mac: str
    address: str
    network: int


def base(uplink_subnets: Iterable[str]) -> str:
    """Return the table. Pods reach nothing in `uplink_subnets`: there the uplink's own end lives.

    Membership is checked for each packet and not once per connection, so that who leaves a network
    is cut off at once.
    """
    hidden = ", ".join(subnet for subnet in uplink_subnets if ":" not in subnet)
    hidden6 = ", ".join(subnet for subnet in uplink_subnets if ":" in subnet)
    return f"""
table {TABLE} {{
    set senders {{ type ifname . ether_addr . ipv4_addr; }}
    set senders6 {{ type ifname . ether_addr . ipv6_addr; }}
    map network_of {{ type ipv4_addr : mark; }}
    map network_of6 {{ type ipv6_addr : mark; }}
    set members {{ type mark . ipv4_addr; }}
    set members6 {{ type mark . ipv6_addr; }}
    set internal {{ type mark; }}
    set isolated {{ type mark; }}
    map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
    map hairpins {{ type ipv4_addr . ipv4_addr : ipv4_addr; }}

    chain arrive {{
        type filter hook prerouting priority raw; policy accept;
        iifname != "{TAPS}" accept
        icmpv6 type {{ nd-router-advert, nd-redirect }} drop
        meta protocol ip iifname . ether saddr . ip saddr @senders accept
        meta protocol ip6 iifname . ether saddr . ip6 saddr @senders6 accept
        drop
    }}
    chain for_us {{
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        ct state established,related accept
        icmp type echo-request accept
        icmpv6 type {{ echo-request, nd-neighbor-solicit, nd-neighbor-advert }} accept
        iifname "{TAPS}" meta l4proto {{ tcp, udp }} th dport 53 accept
        iifname "{TAPS}" meta l4proto {{ tcp, udp }} reject with icmpx port-unreachable
    }}
    chain pass {{
        type filter hook forward priority filter; policy drop;
        iifname "{UPLINK}" ct state established,related accept
        iifname != "{TAPS}" drop
        icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} drop
        meta protocol ip meta mark set ip saddr map @network_of
        meta protocol ip6 meta mark set ip6 saddr map @network_of6
        meta mark @isolated oifname "{TAPS}" drop
        meta mark . ip daddr @members accept
        meta mark . ip6 daddr @members6 accept
        {f"ip daddr {{ {hidden} }} drop" if hidden else ""}
        {f"ip6 daddr {{ {hidden6} }} drop" if hidden6 else ""}
        oifname "{UPLINK}" meta mark != 0 meta mark != @internal accept
        meta mark @internal reject with icmpx no-route
    }}
    chain balance {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname "{TAPS}" ip daddr . meta l4proto . th dport vmap @services
    }}
    chain balance_own {{
        type nat hook output priority -100; policy accept;
        ip daddr . meta l4proto . th dport vmap @services
    }}
    chain leave {{
        type nat hook postrouting priority srcnat; policy accept;
        iifname "{TAPS}" oifname "{UPLINK}" masquerade
        snat ip to ip saddr . ip daddr map @hairpins
    }}
}}
"""


def share_uplink(connections: int) -> str:
    """Return lines that let no address have more TCP connections to the world than so many.

    The kernel must have nft_connlimit: not every one has.
    """
    lines = []
    for family, kind in (("ip", "ipv4_addr"), ("ip6", "ipv6_addr")):
        talkers = f"talkers_{family}"
        count = f"add @{talkers} {{ {family} saddr ct count over {connections} }}"
        which = f'oifname "{UPLINK}" meta l4proto tcp ct state new'
        lines += [
            f"add set {TABLE} {talkers} {{ type {kind}; flags dynamic; size 65535; }}",
            f"insert rule {TABLE} pass {which} {count} reject with tcp reset",
        ]
    return "\n".join(lines)


def _elements(verb: str, member: Member) -> list[str]:
    six = "6" if ":" in member.address else ""
    value = f" : {member.network}" if verb == "add" else ""
    return [
        f"{verb} element {TABLE} senders{six} {{"
        f' "{member.tap}" . {member.mac} . {member.address} }}',
        f"{verb} element {TABLE} network_of{six} {{ {member.address}{value} }}",
        f"{verb} element {TABLE} members{six} {{ {member.network} . {member.address} }}",
    ]


def add_member(member: Member) -> list[str]:
    """Return the lines that let an address into a network."""
    return _elements("add", member)


def delete_member(member: Member) -> list[str]:
    """Return the lines that put an address out of a network."""
    return _elements("delete", member)


def add_sender(tap: str, mac: str, address: str) -> list[str]:
    """Return the line that lets an address of a link itself ask its neighbours, and no more."""
    return [f'add element {TABLE} senders6 {{ "{tap}" . {mac} . {address} }}']


def delete_sender(tap: str, mac: str, address: str) -> list[str]:
    """Return the line that forgets such an address."""
    return [f'delete element {TABLE} senders6 {{ "{tap}" . {mac} . {address} }}']


def flag_network(number: int, *, internal: bool, isolated: bool) -> list[str]:
    """Return the lines that say what is special about a network."""
    flags = (("internal", internal), ("isolated", isolated))
    return [f"add element {TABLE} {name} {{ {number} }}" for name, wanted in flags if wanted]


def unflag_network(number: int, *, internal: bool, isolated: bool) -> list[str]:
    """Return the lines that forget what was special about a network."""
    flags = (("internal", internal), ("isolated", isolated))
    return [f"delete element {TABLE} {name} {{ {number} }}" for name, wanted in flags if wanted]


def forget_everything() -> list[str]:
    """Return the lines that empty every set; with what follows in the same run, one transaction."""
    sets = [f"flush set {TABLE} {name}" for name in ("senders", "senders6", "members", "members6")]
    sets += [f"flush set {TABLE} {name}" for name in ("internal", "isolated")]
    maps = ("network_of", "network_of6", "services", "hairpins")
    return [*sets, *(f"flush map {TABLE} {name}" for name in maps)]


def balance(service: str, address: str, port: "BalancedPort", gateway: str) -> list[str]:
    """Return the lines that lead a service's port to its backends, whatever it did before.

    A backend that reaches itself that way talks to `gateway`, as far as it sees.
    """
    chain = _chain(service, port.protocol, port.port)
    key = f"{address} . {port.protocol} . {port.port}"
    lines = [f"add chain {TABLE} {chain}", f"flush chain {TABLE} {chain}"]
    if port.backends:
        how = "jhash ip saddr" if port.sticky else "numgen inc"
        listed = ", ".join(
            f"{at} : {host} . {number}" for at, (host, number) in enumerate(port.backends)
        )
        choice = f"{how} mod {len(port.backends)} map {{ {listed} }}"
        lines.append(f"add rule {TABLE} {chain} meta l4proto {port.protocol} dnat ip to {choice}")
    for host in sorted({host for host, _ in port.backends}):
        lines.append(f"add element {TABLE} hairpins {{ {host} . {host} : {gateway} }}")
    return [*lines, f"add element {TABLE} services {{ {key} : goto {chain} }}"]


def unbalance(service: str, address: str, ports: Iterable[tuple[str, int]]) -> list[str]:
    """Return the lines that forget ports of a service."""
    lines = []
    for protocol, port in sorted(ports):
        chain = _chain(service, protocol, port)
        lines.append(f"delete element {TABLE} services {{ {address} . {protocol} . {port} }}")
        lines += [f"flush chain {TABLE} {chain}", f"delete chain {TABLE} {chain}"]
    return lines


def _chain(service: str, protocol: str, port: int) -> str:
    return f"service_{service[:12]}_{protocol}_{port}"


class Ruleset:
    """The nftables of the namespace it was made in. Raises OSError without libnftables."""

    def __init__(self) -> None:
        self._library = library = ctypes.CDLL("libnftables.so.1")
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        self._context = ctypes.c_void_p(library.nft_ctx_new(_NFT_CTX_DEFAULT))
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_buffer_output(self._context)

    def run(self, text: str) -> None:
        """Run lines of nft(8) in one transaction. Raises OSError with what nftables says."""
        if not text:
            return
        status = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        if status:
            said = self._library.nft_ctx_get_error_buffer(self._context) or b""
            first = said.decode(errors="replace").strip().splitlines()[:1]
            raise OSError(0, first[0] if first else "failed", "nftables")
