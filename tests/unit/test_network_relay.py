"""Published ports: what arrives at a socket of the host goes to a pod, from whom it may."""

import asyncio
import socket
from typing import cast

import pytest

from hyper.network.relay import TcpRelay, _Half, make_relay, sources


def _bound(kind: socket.SocketKind) -> socket.socket:
    bound = socket.socket(socket.AF_INET, kind)
    bound.bind(("127.0.0.1", 0))
    return bound


async def _answer(client: socket.socket, limit_s: float = 60.0) -> bytes:
    async with asyncio.timeout(limit_s):
        return await asyncio.get_running_loop().sock_recv(client, 100)


def _client(kind: socket.SocketKind, source: str) -> socket.socket:
    client = socket.socket(socket.AF_INET, kind)
    client.setblocking(False)
    client.bind((source, 0))
    return client


async def test_tcp_clients_of_other_networks_are_turned_away() -> None:
    loop = asyncio.get_running_loop()

    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"pod")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()
    listener = _bound(socket.SOCK_STREAM)
    published = listener.getsockname()
    async with server, asyncio.TaskGroup() as tasks:
        relay = make_relay("tcp", listener, target, tasks, sources(["127.0.0.2/32"]))
        with _client(socket.SOCK_STREAM, "127.0.0.1") as other:
            with pytest.raises(ConnectionResetError):
                await loop.sock_connect(other, published)
                await _answer(other)
        with _client(socket.SOCK_STREAM, "127.0.0.2") as allowed:
            await loop.sock_connect(allowed, published)
            assert await _answer(allowed) == b"pod"
        relay.close()


async def test_datagrams_of_other_networks_do_not_arrive() -> None:
    loop = asyncio.get_running_loop()
    listener = _bound(socket.SOCK_DGRAM)
    published = listener.getsockname()
    with _bound(socket.SOCK_DGRAM) as pod:
        pod.setblocking(False)
        async with asyncio.TaskGroup() as tasks:
            allows = sources(["127.0.0.2/32"])
            relay = make_relay("udp", listener, pod.getsockname(), tasks, allows)
            with (
                _client(socket.SOCK_DGRAM, "127.0.0.1") as other,
                _client(socket.SOCK_DGRAM, "127.0.0.2") as allowed,
            ):
                await loop.sock_sendto(other, b"other", published)
                await loop.sock_sendto(allowed, b"allowed", published)
                async with asyncio.timeout(60):
                    data, sender = await loop.sock_recvfrom(pod, 100)
                assert data == b"allowed"  # the one before was dropped, not late
                await loop.sock_sendto(pod, b"pod", sender)
                assert await _answer(allowed) == b"pod"
            relay.close()


def test_who_may_connect() -> None:
    assert sources([])("192.0.2.1")
    some = sources(["192.0.2.0/24", "2001:db8::/32"])
    allowed = ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::1", "2001:db8::1%eth0")
    assert [some(address) for address in allowed] == [True] * 4
    assert not some("192.0.3.1") and not some("::1")


async def test_what_comes_before_both_ends_are_there_is_kept() -> None:
    class Transport(asyncio.Transport):
        """Takes what is written; reads on although it was told to pause, as Python 3.11.2's."""

        def __init__(self) -> None:
            super().__init__()
            self.got: list[bytes] = []

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.got.append(bytes(data))

        def write_eof(self) -> None:
            self.got.append(b"<eof>")

        def can_write_eof(self) -> bool:
            return True

        def is_closing(self) -> bool:
            return False

        def pause_reading(self) -> None: ...

        def resume_reading(self) -> None: ...

        def set_write_buffer_limits(
            self, high: int | None = None, low: int | None = None
        ) -> None: ...

    class Owner:
        connections: set[_Half] = set()  # noqa: RUF012

    ends = [(_Half(cast(TcpRelay, Owner())), Transport()) for _ in range(2)]
    (pod, from_pod), (ours, to_client) = ends
    pod.connection_made(from_pod)
    pod.get_buffer(-1)[:5] = b"hello"
    pod.buffer_updated(5)
    assert pod.eof_received()
    ours.connection_made(to_client)
    ours.join(pod)
    assert to_client.got == [b"hello", b"<eof>"] and not from_pod.got
