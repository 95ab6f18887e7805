"""Published ports on the host's side: sockets that hold them, and Docker's words when taken."""

import errno
import socket
from dataclasses import replace

from hyper.core.errors import Conflict
from hyper.core.spec import PortBinding


def bind(port: PortBinding) -> tuple[PortBinding, socket.socket]:
    """Return the binding with the host port chosen, and a socket bound to it.

    A port of every address is one of IPv6 as well, where the host has that.

    Raises Conflict with Docker's text when every port asked for is taken or cannot be had.
    """
    kind = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
    both = not port.host_ip and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in port.host_ip else socket.AF_INET
    host = port.host_ip or "0.0.0.0"
    place = "::" if both else host
    error: OSError | None = None
    for number in range(port.host_port, max(port.host_port, port.host_port_end) + 1):
        listener = socket.socket(family, kind)
        try:
            if kind == socket.SOCK_STREAM and number:
                # With it two daemons could be given the same free port before either listens.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
            listener.bind((place, number))
            if kind == socket.SOCK_STREAM:
                listener.listen(1)  # two may bind a port, but only one may listen
        except OSError as err:
            listener.close()
            error = err
            continue
        chosen = listener.getsockname()[1]
        return replace(port, host_port=chosen, host_port_end=0, ipv6=both), listener
    assert error is not None
    if error.errno != errno.EADDRINUSE:
        raise Conflict(
            f"failed to set up container networking: Bind for {host}:{port.host_port} failed: "
            f"{(error.strerror or '').lower()}"
        )
    raise Conflict(
        f"failed to set up container networking: Bind for {host}:{port.host_port} failed: "
        f"port is already allocated ({error.strerror})"
    )


def relay_key(pod_id: str, port: PortBinding) -> str:
    """Return what the keeper calls a published port."""
    return f"{pod_id[:12]} {port.protocol} {port.host_ip}:{port.host_port}-{port.container_port}"
