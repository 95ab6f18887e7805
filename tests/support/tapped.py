"""Owns the pods' namespace of tests without VMs: pods are the test's, as the ends of their taps."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from hyper.core.spec import PortBinding
from hyper.host.memory import family, process_name
from hyper.network.choice import networks
from hyper.network.directory import Directory
from hyper.network.networks import Link, Network, Networks, Wanted
from tests.support import leaks


class Tap(Protocol):
    """A pod's end of its tap."""

    fd: int


G = TypeVar("G", bound=Tap)


@dataclass
class Host(Generic[G]):
    """The back end under test and the guests that were made, each by `make` from link and tap."""

    networks: Networks
    make: Callable[[Link, int], G]
    guests: list[G] = field(default_factory=list)

    async def guest(
        self, *members: Network, ports: Sequence[PortBinding] = (), address6: str = ""
    ) -> G:
        """Make a pod on these networks; it has one tap as any other."""
        name = f"pod{len(self.guests):09}"
        wanted = [Wanted(network.id, address6=address6) for network in members]
        link = await self.networks.connect(name, wanted, ports, None)
        made = self.make(link, os.dup(link.nic.tap_fd))
        self.networks.settle(name)
        self.guests.append(made)
        return made

    def name(self, guest: G) -> str:
        """Return the pod's id."""
        return f"pod{self.guests.index(guest):09}"


@contextlib.asynccontextmanager
async def tapped(
    run_dir: Path, defined: Sequence[Network], make: Callable[[Link, int], G]
) -> AsyncIterator[Host[G]]:
    """Give networks in a namespace of the test's own; nothing of it may be left."""
    async with networks(run_dir, "namespace", Directory()) as backend:
        for network in defined:
            await backend.define(network)
        host = Host(backend, make)
        yield host
        for guest in host.guests:
            os.close(guest.fd)
            await backend.disconnect(host.name(guest))
    left = await asyncio.to_thread(leaks.settle, lambda: leaks.processes_naming(str(run_dir)))
    assert left, "the keeper or its uplink is left"


_PATIENCE_S = 60.0


def uplinks(networks: Networks) -> list[int]:
    """Return the processes of the uplink: one, more while it makes its interface, or none."""
    found = [(pid, process_name(pid)) for pid in family(networks.process_id)]
    return [pid for pid, name in found if name.startswith(("pas", "slirp"))]


async def uplink_pid(networks: Networks) -> int:
    """Return the process of the uplink, once it has made its interface; it forks to do so."""
    routes = Path(f"/proc/{networks.process_id}/net/route")

    def missing() -> bool:
        return "up0\t00000000" not in routes.read_text() or len(uplinks(networks)) != 1

    assert await asyncio.to_thread(leaks.settle, missing, _PATIENCE_S), "there is no uplink"
    (pid,) = uplinks(networks)
    return pid
