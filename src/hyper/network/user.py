"""The network that needs no privilege at all: QEMU's own user-mode stack (libslirp), one per VM.

Every pod sees itself as 10.0.2.15 (QEMU documentation, "Network emulation"); pods do not see each
other; published ports are forwarded by the VMM.
"""

import json
import socket
from collections.abc import Sequence
from dataclasses import replace

from hyper.core.errors import Conflict, Unsupported
from hyper.core.serialize import dump, load
from hyper.core.spec import Forward, Nic, NicKind, PortBinding
from hyper.network.networks import Link

ADDRESS, PREFIX_LENGTH, GATEWAY, NAMESERVER = "10.0.2.15", 24, "10.0.2.2", "10.0.2.3"
MODES = ("default", "bridge", "none")


class UserNetworks:
    """Links through the VMM's own user-mode network."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    async def connect(self, pod_id: str, mode: str, mac: str, ports: Sequence[PortBinding]) -> Link:
        """Give a pod its link; see Networks."""
        if mode not in MODES:
            raise Unsupported(
                f"network mode {mode}: this host's pods use the VMM's user-mode network, which has "
                f"only {', '.join(MODES)}"
            )
        if mode == "none":
            link = Link(Nic(NicKind.NONE, mac), "", 0, "", (), (), "")
        else:
            bound = tuple(_host_port(port) for port in ports)
            link = _link(mac, bound)
        self._links[pod_id] = link
        return link

    async def restore(self, pod_id: str, record: str) -> Link:
        """Take over a link; see Networks."""
        if not record:
            link = Link(Nic(NicKind.NONE, ""), "", 0, "", (), (), "")
        else:
            content = json.loads(record)
            ports = tuple(load(PortBinding, json.dumps(port)) for port in content["ports"])
            link = _link(content["mac"], ports)
        self._links[pod_id] = link
        return link

    async def disconnect(self, pod_id: str) -> None:
        """Give back a pod's link: the VMM's end already freed everything it held."""
        self._links.pop(pod_id, None)


def _link(mac: str, ports: tuple[PortBinding, ...]) -> Link:
    forwards = tuple(
        Forward(port.protocol, port.host_ip, port.host_port, port.container_port) for port in ports
    )
    record = json.dumps({"mac": mac, "ports": [json.loads(dump(port)) for port in ports]})
    nic = Nic(NicKind.USER, mac, forwards=forwards)
    return Link(nic, ADDRESS, PREFIX_LENGTH, GATEWAY, (NAMESERVER,), ports, record)


def _host_port(port: PortBinding) -> PortBinding:
    """Return the binding with a host port that was free a moment ago.

    Raises Conflict with Docker's text when every port asked for is taken.
    """
    kind = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
    family = socket.AF_INET6 if ":" in port.host_ip else socket.AF_INET
    host = port.host_ip or "0.0.0.0"
    for number in range(port.host_port, max(port.host_port, port.host_port_end) + 1):
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, number))
            except OSError as err:
                error = err
                continue
            return replace(port, host_port=probe.getsockname()[1], host_port_end=0)
    raise Conflict(
        f"failed to set up container networking: Bind for {host}:{port.host_port} failed: "
        f"port is already allocated ({error.strerror})"
    )
