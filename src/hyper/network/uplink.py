"""How the pods' namespace reaches the world: pasta, or slirp4netns where there is no pasta.

Both are user-space network stacks that need no privilege and change nothing on the host; the pods'
traffic leaves it as the connections of an ordinary program. Measured from the namespace to a
listener on the host, 2 cores: pasta 1130 MB/s, slirp4netns 350 MB/s.
"""

import shutil
from pathlib import Path

from hyper.network.nft import UPLINK

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8"}
ADDRESS, GATEWAY, SUBNET = "169.254.77.2", "169.254.77.1", "169.254.77.0/30"
RESOLVER = "169.254.53.53"  # of every network: a pod that leaves one goes on asking it
SLIRP_SUBNET = "169.254.77.0/24"
ADDRESS6, GATEWAY6, SUBNET6 = "fd68:7970:6572::2", "fd68:7970:6572::1", "fd68:7970:6572::/64"
_DEFAULT6 = "0" * 32 + " 00 "
_UNREACHABLE = "lo"


def find() -> str:
    """Return the program to use, "" if there is none."""
    for name in ("pasta", "slirp4netns"):
        if found := shutil.which(name, path=SEARCH_PATH):
            return found
    return ""


def subnets(program: str) -> tuple[str, ...]:
    """Return where the uplink's own end lives."""
    return (SUBNET, SUBNET6) if program.endswith("pasta") else (SLIRP_SUBNET,)


def leads_out6(program: str, routes: Path = Path("/proc/net/ipv6_route")) -> bool:
    """Tell whether IPv6 leads to the world: with pasta, where the host has a default route."""
    try:
        lines = routes.read_text().splitlines()
    except OSError:
        return False
    found = any(line.startswith(_DEFAULT6) and line.split()[-1] != _UNREACHABLE for line in lines)
    return found and program.endswith("pasta")


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
        *("--disable-host-loopback", "--disable-dns", "--netns-type=path", netns, UPLINK),
    ]
