"""Published ports: what arrives at a socket of the host goes to a pod, and back.

Runs in the keeper, which was handed the listening sockets: they belong to the host's network
namespace, its own connections to the pods'. Decides nothing about who publishes what.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

_READ_BYTES = 1 << 18
_BACKLOG = 512
_DATAGRAM_BYTES = 1 << 16
_SESSIONS = 1024
_SESSION_S = 90.0
_CONNECT_S = 20.0

Address = tuple[str, int]
Allows = Callable[[str], bool]
"""Tells whether a client of this address may connect."""


def sources(networks: Sequence[str]) -> Allows:
    """Return what allows clients of `networks`, or anybody if there are none."""
    known = [ipaddress.ip_network(text) for text in networks]
    if not known:
        return lambda address: True

    def allows(address: str) -> bool:
        client = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped is not None:
            client = client.ipv4_mapped
        return any(client in network for network in known)

    return allows


class _Half(asyncio.BufferedProtocol):
    """One end of a relayed connection: what it receives, its peer sends; half-close included."""

    def __init__(self, owner: "TcpRelay") -> None:
        self._owner = owner
        self.peer: _Half | None = None
        self.transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(0))
        self._early = b""  # received before there was a peer
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_READ_BYTES)
        self._owner.connections.add(self)
        if self.peer is None:
            # Until there is somebody to give it to; before Python 3.11.4 it is read all the same.
            self.transport.pause_reading()

    def join(self, peer: "_Half") -> None:
        self.peer, peer.peer = peer, self
        for half in (self, peer):
            half._begin()

    def _begin(self) -> None:
        assert self.transport is not None and self.peer is not None
        assert self.peer.transport is not None
        if self._early:
            self.peer.transport.write(self._early)
            self._early = b""
        if self.transport.is_closing():
            self.peer.transport.close()
        elif self._ended and not self.eof_received():
            self.transport.close()
        else:
            self.transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        if not len(self._buffer):
            self._buffer = memoryview(bytearray(_READ_BYTES))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])  # a copy: the transport may keep what it cannot send
        if self.peer is None:
            self._early += data
        elif self.peer.transport is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        peer = self.peer
        if peer is not None and peer.transport is not None and peer.transport.can_write_eof():
            with contextlib.suppress(OSError):
                peer.transport.write_eof()
            if peer._ended:
                peer.transport.close()
                return False
        return True

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.connections.discard(self)
        if self.peer is not None and self.peer.transport is not None:
            if exc is not None:
                self.peer.transport.abort()
            else:
                self.peer.transport.close()


class TcpRelay:
    """A published TCP port. Owns its listening socket and its connections."""

    def __init__(
        self, listener: socket.socket, target: Address, tasks: asyncio.TaskGroup, allows: Allows
    ) -> None:
        self._listener = listener
        self._tasks = tasks
        self._allows = allows
        self.target = target
        self.connections: set[_Half] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening and end every connection."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for task in tuple(self._connecting):
            task.cancel()
        for half in tuple(self.connections):
            if half.transport is not None:
                half.transport.abort()

    def _accept(self) -> None:
        try:
            client, address = self._listener.accept()
        except OSError:
            return  # the client is gone again, or we are out of descriptors
        if not self._allows(address[0]):
            _reset(client)
            return
        client.setblocking(False)
        task = self._tasks.create_task(self._connect(client), name="relay")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, pod = await loop.create_connection(lambda: _Half(self), *self.target)
        except (OSError, TimeoutError):
            _reset(client)
            return
        except BaseException:
            client.close()
            raise
        try:
            _, ours = await loop.connect_accepted_socket(lambda: _Half(self), client)
        except OSError:
            if pod.transport is not None:
                pod.transport.abort()
            return
        ours.join(pod)


def _reset(client: socket.socket) -> None:
    """Close a connection with a reset: the pod refused it."""
    with contextlib.suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


class UdpRelay:
    """A published UDP port. Each sender has a socket of its own towards the pod, for a while."""

    def __init__(self, listener: socket.socket, target: Address, allows: Allows) -> None:
        self._listener = listener
        self._allows = allows
        self.target = target
        self._sessions: OrderedDict[Any, tuple[socket.socket, asyncio.TimerHandle]] = OrderedDict()
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener.fileno(), self._from_outside)

    def close(self) -> None:
        """Stop listening and forget every sender."""
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        for sender in tuple(self._sessions):
            self._end(sender)

    def _from_outside(self) -> None:
        try:
            data, sender = self._listener.recvfrom(_DATAGRAM_BYTES)
            if not self._allows(sender[0]):
                return
            self._session(sender).send(data)
        except OSError:
            return  # lost, as datagrams may be

    def _session(self, sender: Any) -> socket.socket:
        loop = asyncio.get_running_loop()
        if sender in self._sessions:
            towards, timer = self._sessions.pop(sender)
            timer.cancel()
        else:
            if len(self._sessions) >= _SESSIONS:
                self._end(next(iter(self._sessions)))
            family = socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET
            towards = socket.socket(family, socket.SOCK_DGRAM)
            towards.setblocking(False)
            towards.connect(self.target)
            loop.add_reader(towards.fileno(), self._from_pod, towards, sender)
        self._sessions[sender] = towards, loop.call_later(_SESSION_S, self._end, sender)
        return towards

    def _from_pod(self, towards: socket.socket, sender: Any) -> None:
        try:
            self._listener.sendto(towards.recv(_DATAGRAM_BYTES), sender)
        except OSError:
            return

    def _end(self, sender: Any) -> None:
        towards, timer = self._sessions.pop(sender)
        timer.cancel()
        asyncio.get_running_loop().remove_reader(towards.fileno())
        towards.close()


Relay = TcpRelay | UdpRelay


def make_relay(
    protocol: str,
    listener: socket.socket,
    target: Address,
    tasks: asyncio.TaskGroup,
    allows: Allows,
) -> Relay:
    """Return a running relay for clients that `allows`; it owns the listener from now on."""
    if protocol == "udp":
        return UdpRelay(listener, target, allows)
    return TcpRelay(listener, target, tasks, allows)
