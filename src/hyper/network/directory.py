"""Which names lead where, seen from each pod: what the resolver is told. No I/O.

A pod finds the members of its own networks and nobody else; the default network has no names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hyper.network import dns
from hyper.network.networks import Joined, Network


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a name: its addresses or its name, or who else may be asked.

    `servers` are the pod's own name servers, () for the host's; not `outside`: nobody is asked.
    """

    known: bool = False
    addresses: tuple[str, ...] = ()
    name: str = ""
    servers: tuple[str, ...] = ()
    outside: bool = True


@dataclass(frozen=True, slots=True)
class _Pod:
    joined: tuple[Joined, ...]
    servers: tuple[str, ...]
    owner: bool


Change = dict[str, Any]
"""A network or a pod by its id, and as "value" what is known of it or None; JSON."""


class Directory:
    """All names, by network. What changes is told to who follows."""

    def __init__(self) -> None:
        self._tell: Callable[[Change], None] = lambda change: None
        self._pods: dict[str, _Pod] = {}
        self._owners: dict[str, str] = {}
        self._networks: dict[str, Network] = {}
        self._names: dict[str, dict[str, list[str]]] = {}

    def follow(self, tell: Callable[[Change], None]) -> None:
        """Tell of every change from now on."""
        self._tell = tell

    def define(self, network: Network) -> None:
        """Make a network known."""
        self._tell({"network": network.id, "value": network.name})
        self._networks[network.id] = network
        self._names[network.id] = {}

    def forget(self, network_id: str) -> None:
        """Forget a network."""
        self._tell({"network": network_id, "value": None})
        del self._networks[network_id]
        del self._names[network_id]

    def put(
        self,
        pod_id: str,
        joined: Sequence[Joined],
        servers: Sequence[str],
        *,
        owner: bool = True,
    ) -> None:
        """Take in where a pod is, its names there and its name servers; or, of what is no `owner`
        of these addresses, names alone.
        """
        self._drop(pod_id)
        places = [
            [j.network_id, j.address, j.address6, j.names, j.internal, j.calls] for j in joined
        ]
        value = {"joined": places, "servers": list(servers)} | ({} if owner else {"owner": False})
        self._tell({"pod": pod_id, "value": value})
        self._pods[pod_id] = _Pod(tuple(joined), tuple(servers), owner)
        for each in joined:
            known = self._names.get(each.network_id, {})
            for address in _addresses(each):
                if owner:
                    self._owners[address] = pod_id
                for name in each.names:
                    known.setdefault(name.lower(), []).append(address)

    def drop(self, pod_id: str) -> None:
        """Forget a pod."""
        if pod_id in self._pods:
            self._tell({"pod": pod_id, "value": None})
            self._drop(pod_id)

    def _drop(self, pod_id: str) -> None:
        pod = self._pods.pop(pod_id, None)
        for each in pod.joined if pod else ():
            known = self._names.get(each.network_id, {})
            for address in _addresses(each):
                if pod and pod.owner:
                    self._owners.pop(address, None)
                for name in each.names:
                    _take_out(known, name.lower(), address)

    def lookup(self, who: str, question: dns.Question) -> Answer | None:
        """Return what the pod at address `who` is told; None when there is none."""
        pod = self._pods.get(self._owners.get(who, ""))
        if pod is None:
            return None
        outside = any(not each.internal for each in pod.joined)
        if question.kind == dns.PTR:
            found = self._pointer(pod, dns.reversed_address(question.name))
        else:
            found = self._addresses(pod, question.name)
        return found or Answer(servers=pod.servers, outside=outside)

    def find(self, pod_id: str, name: str) -> tuple[str, ...] | None:
        """Return the addresses of a name as a pod sees it; None when others may be asked."""
        pod = self._pods.get(pod_id)
        if pod is None:
            return None
        found = self._addresses(pod, name.lower().removesuffix("."))
        if found is not None:
            return found.addresses
        return None if any(not each.internal for each in pod.joined) else ()

    def _addresses(self, pod: _Pod, name: str) -> Answer | None:
        for each in pod.joined:  # what only this pod calls so comes first (libnetwork ResolveName)
            called = {alias.lower(): known.lower() for alias, known in each.calls}
            known = self._names.get(each.network_id, {}).get(called.get(name, ""))
            if known:
                return Answer(known=True, addresses=tuple(dict.fromkeys(known)))
        for each in pod.joined:
            network, names = self._networks.get(each.network_id), self._names.get(each.network_id)
            if network is None or names is None:
                continue
            short = name.removesuffix(f".{network.name.lower()}")
            for key in (name, short):
                if key in names:
                    return Answer(known=True, addresses=tuple(dict.fromkeys(names[key])))
        return None

    def _pointer(self, pod: _Pod, address: str) -> Answer | None:
        owner = self._pods.get(self._owners.get(address, ""))
        mine = {each.network_id for each in pod.joined}
        for each in owner.joined if owner else ():
            if address in _addresses(each) and each.network_id in mine and each.names:
                network = self._networks[each.network_id].name
                return Answer(known=True, name=f"{each.names[0]}.{network}")
        return None


def _addresses(joined: Joined) -> tuple[str, ...]:
    return tuple(filter(None, (joined.address, joined.address6)))


def _take_out(names: dict[str, list[str]], name: str, address: str) -> None:
    """Take one entry of an address away: a pod and a service may have the same one."""
    found = names.get(name, [])
    if address in found:
        found.remove(address)
    if not found:
        names.pop(name, None)
