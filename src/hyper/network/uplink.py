"""How the pods' namespace reaches the world: pasta, or slirp4netns where there is no good pasta.

Both are user-space network stacks that need no privilege and change nothing on the host; the pods'
traffic leaves it as the connections of an ordinary program. Measured from the namespace to a
listener on the host, 2 cores: pasta up to 1800 MB/s, slirp4netns 150 to 480 MB/s.

A pasta of before June 2023, as Debian 12 has it, waits forever for an acknowledgement it had
(ACK_FROM_TAP_DUE of its tcp.c) and so resets a connection after 24 s if the far side said nothing
until then, be it an upload or a slow answer. Whoever reads slower than the pod sends makes it drop
what it cannot pass on, and nothing but the pod's timeout of 200 ms has it sent again.
"""

import re
import shutil
from pathlib import Path

from hyper.network.nft import UPLINK

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {
    "PATH": SEARCH_PATH,
    "LANG": "C.UTF-8",
    # mallopt(3): the buffers of a connection go back to the kernel with it. As the threshold would
    # grow by itself, slirp4netns has 240 MB after two times 1000 connections, with this it has 4.
    "MALLOC_MMAP_THRESHOLD_": "65536",
}
ADDRESS, GATEWAY, SUBNET = "169.254.77.2", "169.254.77.1", "169.254.77.0/30"
RESOLVER = "169.254.53.53"  # of every network: a pod that leaves one goes on asking it
SLIRP_SUBNET = "169.254.77.0/24"
ADDRESS6, GATEWAY6, SUBNET6 = "fd68:7970:6572::2", "fd68:7970:6572::1", "fd68:7970:6572::/64"
SLIRP_GATEWAY6 = "fe80::2"
SLIRP_SUBNET6 = "fd00::/64"  # its own, fixed: whoever has such an address is not reached through it
SLIRP_FILES = 4096  # open files it may have: it keeps up to 256 KiB for a connection
FLAW = "resets connections whose far side is silent for 24 s"
_DEFAULT6 = "0" * 32 + " 00 "
_UNREACHABLE = "lo"
_GOOD_PASTA = 20230603
_DATE = re.compile(r"(20\d\d)[_-]?(\d\d)[_-]?(\d\d)")


def find(name: str) -> str:
    """Return the path of "pasta" or "slirp4netns", "" if it is not installed."""
    return shutil.which(name, path=SEARCH_PATH) or ""


def is_flawed(version: str) -> bool:
    """Tell whether a pasta that says `version` of itself has the flaw; without a date it may."""
    found = _DATE.search(version)
    return found is None or int("".join(found.groups())) < _GOOD_PASTA


def subnets(program: str) -> tuple[str, ...]:
    """Return where the uplink's own end lives."""
    return (SUBNET if program.endswith("pasta") else SLIRP_SUBNET, SUBNET6)


def leads_out6(program: str, routes: Path = Path("/proc/net/ipv6_route")) -> bool:
    """Tell whether IPv6 leads to the world: where the host has a default route."""
    try:
        lines = routes.read_text().splitlines()
    except OSError:
        return False
    found = any(line.startswith(_DEFAULT6) and line.split()[-1] != _UNREACHABLE for line in lines)
    return found and bool(program)


def connections(program: str) -> int:
    """Return how many TCP connections there can be at once, 0 for so many as nobody makes."""
    return 0 if program.endswith("pasta") or not program else SLIRP_FILES


def changes6(program: str) -> list[list[str | int]]:
    """Return the changes of netlink that give the uplink IPv6, where it does not do so itself."""
    if program.endswith("pasta"):
        return []
    return [
        ["address", UPLINK, ADDRESS6, 64],
        ["route", "::/0", UPLINK, "", SLIRP_GATEWAY6],
    ]


def arguments(program: str, netns: str, *, six: bool) -> list[str]:
    """Return how the uplink is called for the namespace at path `netns`; `six`: with IPv6."""
    if program.endswith("pasta"):
        off = ("--ipv4-only", "--no-ndp")
        versions = ("--address", ADDRESS6, "--gateway", GATEWAY6) if six else off
        return [
            *(program, "--foreground", "--quiet", "--config-net", "--ns-ifname", UPLINK),
            *("--address", ADDRESS, "--netmask", "255.255.255.252", "--gateway", GATEWAY),
            *(*versions, "--no-map-gw", "--no-dhcp", "--no-dhcpv6", "--no-ra"),
            *("-t", "none", "-u", "none", "-T", "none", "-U", "none"),
            *("--netns-only", "--no-netns-quit", "--netns", netns),
        ]
    return [
        *(program, "--configure", "--mtu=65520", f"--cidr={SLIRP_SUBNET}"),
        *("--disable-host-loopback", "--disable-dns", "--enable-sandbox", "--enable-seccomp"),
        *(("--enable-ipv6",) if six else ()),
        *("--netns-type=path", netns, UPLINK),
    ]
