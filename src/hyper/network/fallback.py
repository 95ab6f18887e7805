"""Answers the pods' DNS queries while no daemon does: the keeper's part in name resolution.

Keeps what the daemon tells of names as it came, JSON. All it needs is imported before the keeper
becomes a user that may not be let into the folder the program is in (1.5 MiB). Names outside are
asked from inside the namespace, so of servers that pods reach as well.
"""

import asyncio
import socket
from typing import Any

from hyper.network.directory import Directory
from hyper.network.networks import Joined, Network
from hyper.network.resolver import Resolver


class FallbackResolver:
    """Knows the names, and has the resolver's sockets, which the daemon gets copies of."""

    def __init__(self, address: str, port: int = 53) -> None:
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for each in (self._datagrams, self._streams):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((address, port))
        self._streams.listen(128)
        self._networks: dict[str, str] = {}
        self._pods: dict[str, dict[str, Any]] = {}
        self._resolver: Resolver | None = None

    def note(self, change: dict[str, Any]) -> None:
        """Take in a change: of a network's name, or of the names that lead to a pod."""
        known, key = (self._networks, "network") if "network" in change else (self._pods, "pod")
        if change["value"] is None:
            known.pop(change[key], None)
        else:
            known[change[key]] = change["value"]

    def forget(self) -> None:
        """Expect to be told everything again; whoever answers now goes on with what it knows."""
        self._networks, self._pods = {}, {}

    def take_over(self, tasks: asyncio.TaskGroup) -> None:
        """Answer, until `step_back`."""
        if self._resolver is None and self._pods:
            self._resolver = Resolver(self._directory().lookup, tasks)
            self._resolver.serve(self._datagrams.dup(), self._streams.dup())

    def step_back(self) -> list[int]:
        """Leave answering to a daemon; return descriptors of the sockets for it."""
        self.close()
        return [self._datagrams.dup().detach(), self._streams.dup().detach()]

    def close(self) -> None:
        """Stop answering."""
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None

    def dispose(self) -> None:
        """Close the sockets."""
        self.close()
        self._datagrams.close()
        self._streams.close()

    def _directory(self) -> Directory:
        made = Directory()
        for network_id, name in self._networks.items():
            made.define(Network(network_id, name=name))
        for pod_id, pod in self._pods.items():
            joined = [
                Joined(
                    net,
                    0,
                    "",
                    address,
                    0,
                    "",
                    tuple(names),
                    address6=six,
                    internal=internal,
                    calls=calls,
                )
                for net, address, six, names, internal, calls in pod["joined"]
            ]
            made.put(pod_id, joined, pod["servers"], owner=pod.get("owner", True))
        return made
