"""Answers the pods' DNS queries: names on their networks, and for the rest the host's servers.

Runs in the daemon on sockets of the pods' namespace, and while no daemon runs in the keeper. Who
asks is known by the address, which the filter has checked. A pod on internal networks alone gets no
answer from outside: DNS would be a way out.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hyper.network import dns
from hyper.network.directory import Answer

RESOLV_CONF = Path("/etc/resolv.conf")
_PORT = 53
_UPSTREAM_S = 4.0
_IN_FLIGHT = 256
_PER_POD = 64
_MESSAGE_BYTES = 65535
_CONNECTION_S = 10.0


Lookup = Callable[[str, dns.Question], Answer | None]
"""Given who asks and what, says what is known; None when nobody has that address."""


class Resolver:
    """Serves a UDP socket and a TCP listener; `tasks` carries the queries that have to wait."""

    def __init__(self, lookup: Lookup, tasks: asyncio.TaskGroup) -> None:
        self._lookup = lookup
        self._tasks = tasks
        self._waiting: dict[str, int] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._sockets: tuple[socket.socket, ...] = ()

    def serve(self, datagrams: socket.socket, streams: socket.socket) -> None:
        """Answer what arrives, until `close`."""
        self._sockets = (datagrams, streams)
        loop = asyncio.get_running_loop()
        for each, ready in ((datagrams, self._datagram), (streams, self._connection)):
            each.setblocking(False)
            loop.add_reader(each.fileno(), ready, each)

    def close(self) -> None:
        """Stop answering."""
        for task in self._running:
            task.cancel()
        for each in self._sockets:
            asyncio.get_running_loop().remove_reader(each.fileno())
            each.close()
        self._sockets = ()

    def _datagram(self, datagrams: socket.socket) -> None:
        try:
            message, sender = datagrams.recvfrom(_MESSAGE_BYTES)
        except OSError:
            return
        self._begin(sender[0], lambda: self._answer_datagram(datagrams, message, sender))

    def _connection(self, streams: socket.socket) -> None:
        try:
            connection, sender = streams.accept()
        except OSError:
            return
        if not self._begin(sender[0], lambda: self._answer_stream(connection, sender[0])):
            connection.close()

    def _begin(self, who: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Start work for a pod, unless it or all together already have too much."""
        if self._waiting.get(who, 0) >= _PER_POD or sum(self._waiting.values()) >= _IN_FLIGHT:
            return False
        self._waiting[who] = self._waiting.get(who, 0) + 1
        task = self._tasks.create_task(work(), name=f"dns {who}")
        self._running.add(task)
        task.add_done_callback(lambda task: self._end(who, task))
        return True

    def _end(self, who: str, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._waiting[who] -= 1
        if not self._waiting[who]:
            del self._waiting[who]

    async def _answer_datagram(
        self, datagrams: socket.socket, message: bytes, sender: tuple[str, int]
    ) -> None:
        reply = await self._answer(message, sender[0], stream=False)
        if reply is not None and datagrams.fileno() >= 0:
            with contextlib.suppress(OSError):
                datagrams.sendto(reply, sender)

    async def _answer_stream(self, connection: socket.socket, who: str) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_CONNECTION_S):
                    while True:
                        (length,) = struct.unpack("!H", await reader.readexactly(2))
                        message = await reader.readexactly(length)
                        reply = await self._answer(message, who, stream=True)
                        if reply is None:
                            return
                        writer.write(struct.pack("!H", len(reply)) + reply)
                        await writer.drain()
        finally:
            writer.close()

    async def _answer(self, message: bytes, who: str, *, stream: bool) -> bytes | None:
        try:
            question = dns.parse_query(message)
        except ValueError:
            return None
        found = self._lookup(who, question)
        if found is None:
            return None
        if found.known:
            if question.kind == dns.PTR:
                return dns.pointer(message, question, found.name)
            return dns.answer(message, question, found.addresses)
        if not found.outside:
            return dns.failure(message, question, dns.NXDOMAIN)
        for server in found.servers or host_servers():
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_UPSTREAM_S):
                    ask = _ask_stream if stream else _ask_datagram
                    return await ask(server, message)
        return dns.failure(message, question, dns.SERVFAIL)


def host_servers(path: Path = RESOLV_CONF) -> list[str]:
    """Return the name servers the host asks (resolv.conf(5))."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    words = (line.split() for line in lines)
    return [line[1].partition("%")[0] for line in words if line[:1] == ["nameserver"] and line[1:]]


async def _ask_datagram(server: str, message: bytes) -> bytes:
    """Ask with a number and port of our own, which a stranger would have to guess."""
    loop = asyncio.get_running_loop()
    number = os.urandom(2)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as upstream:
        upstream.setblocking(False)
        upstream.connect((server, _PORT))
        await loop.sock_sendall(upstream, number + message[2:])
        while True:
            reply = await loop.sock_recv(upstream, _MESSAGE_BYTES)
            if reply[:2] == number and len(reply) >= 12:
                return message[:2] + reply[2:]


async def _ask_stream(server: str, message: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, _PORT)
    try:
        writer.write(struct.pack("!H", len(message)) + message)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()
