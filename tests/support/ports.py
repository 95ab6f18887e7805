"""Owns the ports of the tests: a port is one test process's until that ends, on the whole machine.

They are not those Linux gives out by itself (net.ipv4.ip_local_port_range), so that between the
choice of a port and its use no connection of another program gets it.
"""

import contextlib
import errno
import random
import socket
from collections.abc import Iterable

_FIRST, _LAST = 20000, 29999
# Abstract names, one a port: the kernel frees them with the process. See unix(7).
_CLAIM = "\0hyper-tests-port-{}"


def free_port() -> int:
    """Return a port of this process's on which nobody listens."""
    return free_ports(1)


def free_ports(number: int) -> int:
    """Return the first of `number` such ports in a row."""
    for _ in range(10 * (_LAST - _FIRST)):
        first = random.randint(_FIRST, _LAST + 1 - number)
        if _claim(range(first, first + number)):
            return first
    raise AssertionError(f"no port between {_FIRST} and {_LAST} is free")


def _claim(ports: Iterable[int]) -> bool:
    with contextlib.ExitStack() as undo:
        claims = [undo.enter_context(socket.socket(socket.AF_UNIX)) for _ in ports]
        try:
            for port, claim in zip(ports, claims, strict=True):
                claim.bind(_CLAIM.format(port))
                _probe(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        for claim in claims:
            claim.detach()  # open from now on
    return True


def _probe(port: int) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("", port))
