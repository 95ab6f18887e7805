"""What the engine asks of a network back end, and the data both sides exchange.

A back end gives each pod one network device and an address, and gives both back when the pod ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hyper.core.spec import Nic, PortBinding


@dataclass(frozen=True, slots=True)
class Link:
    """A pod's connection: what the driver plugs in and what the guest is told.

    `ports` are the published ports with the host ports chosen. `record` is stored and brings the
    link back after a restart of the daemon.
    """

    nic: Nic
    address: str
    prefix_length: int
    gateway: str
    nameservers: tuple[str, ...]
    ports: tuple[PortBinding, ...]
    record: str


class Networks(Protocol):
    """A network back end."""

    async def connect(self, pod_id: str, mode: str, mac: str, ports: Sequence[PortBinding]) -> Link:
        """Give a pod its link. Raises Conflict when a host port is taken, Unsupported for
        `mode`.
        """
        ...

    async def restore(self, pod_id: str, record: str) -> Link:
        """Take over the link of a pod that ran when the daemon ended."""
        ...

    async def disconnect(self, pod_id: str) -> None:
        """Give back all that the pod's link holds; nothing happens when it has none."""
        ...
