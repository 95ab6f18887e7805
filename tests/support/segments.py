"""Owns the count of what passes taps: whether TCP between pods goes in segments beyond a packet."""

import ipaddress
from collections.abc import Callable
from pathlib import Path

from tests.support import leaks
from tests.support.daemon import Result

_PACKET_BYTES = 1514  # with an MTU of 1500
_SERVE = (
    "mkdir -p /srv/www; dd if=/dev/zero of=/srv/www/file bs=1M count=4 2> /dev/null; "
    "httpd -p 8000 -h /srv/www"
)


def assert_offloads_work(hyper: Callable[..., Result], run_dir: Path, names: list[str]) -> None:
    """Fail if a file that goes from the first container to the second goes packet by packet.

    Both have an address on one network. What the host gets from one tap tells what that guest may
    leave to it (csum, host_tso4), what it gives to the other what that guest takes.
    """
    running = leaks.processes_naming(str(run_dir)).items()
    (keeper,) = [pid for pid, line in running if "network.birth" in line]
    format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    addresses = [hyper("inspect", "--format", format, name).stdout.strip() for name in names]
    sender, receiver = (_tap(keeper, address) for address in addresses)
    hyper("exec", names[0], "sh", "-c", _SERVE)
    before = _counts(keeper)
    got = f"wget -q -O - http://{addresses[0]}:8000/file | wc -c"
    assert hyper("exec", names[1], "sh", "-c", got).stdout.strip() == str(4 << 20)
    after = _counts(keeper)
    for tap, at in ((sender, 0), (receiver, 8)):  # received, sent
        size, packets = (after[tap][at + each] - before[tap][at + each] for each in (0, 1))
        assert size > 4 << 20 and size / packets > 2 * _PACKET_BYTES, (tap, at, size, packets)


def _tap(keeper: int, address: str) -> str:
    target = ipaddress.IPv4Address(address).packed[::-1].hex().upper()
    for line in Path(f"/proc/{keeper}/net/route").read_text().splitlines():
        if line.split()[1] == target:
            return line.split()[0]
    raise AssertionError(f"no route to {address}")


def _counts(keeper: int) -> dict[str, list[int]]:
    lines = Path(f"/proc/{keeper}/net/dev").read_text().splitlines()[2:]
    split = [line.partition(":") for line in lines]
    return {name.strip(): [int(each) for each in rest.split()] for name, _, rest in split}
