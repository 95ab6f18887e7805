"""The HTTP server: versions, headers, errors, sockets."""

import asyncio
import socket
import stat
from pathlib import Path
from unittest import mock

import pytest
from aiohttp import web

from hyper.api.connection import ConnectionServer
from hyper.api.server import unix_listener
from hyper.core.errors import Conflict
from hyper.schema.routes import DOCKER_ROUTES, ROUTES
from tests.support import specification
from tests.support.api_client import Client, serving


def test_the_route_table_has_every_operation_of_the_specification() -> None:
    ours = {route.operation: (route.method, route.path) for route in DOCKER_ROUTES}
    theirs = {
        name: (method, path) for name, (method, path, _) in specification.operations().items()
    }
    assert ours == theirs


def test_operations_are_unique() -> None:
    assert len({route.operation for route in ROUTES}) == len(ROUTES)


async def test_ping_answers_with_docker_headers(client: Client) -> None:
    reply = await client("GET", "/_ping")
    assert (reply.status, reply.data) == (200, b"OK")
    assert reply.headers["Api-Version"] == "1.50"
    assert reply.headers["Ostype"] == "linux"
    assert reply.headers["Docker-Experimental"] == "false"
    assert reply.headers["Server"].startswith("Hyper/")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    head = await client("HEAD", "/_ping")
    assert (head.status, head.data) == (200, b"")


@pytest.mark.parametrize("version", ["v1.24", "v1.41", "v1.50"])
async def test_versions_in_range_are_served(client: Client, version: str) -> None:
    assert (await client("GET", f"/{version}/version")).status == 200


async def test_too_new_a_version_is_refused_in_dockers_words(client: Client) -> None:
    reply = await client("GET", "/v1.99/version")
    assert reply.status == 400
    text = "client version 1.99 is too new. Maximum supported API version is 1.50"
    assert reply.body == {"message": text}


async def test_too_old_a_version_is_refused_in_dockers_words(client: Client) -> None:
    reply = await client("GET", "/v1.12/_ping")
    assert reply.status == 400
    assert reply.body["message"] == (
        "client version 1.12 is too old. Minimum supported API version is 1.24, "
        "please upgrade your client to a newer version"
    )
    assert reply.headers["Api-Version"] == "1.50"


async def test_unknown_pages_are_not_found(client: Client) -> None:
    for method, path in (("GET", "/nowhere"), ("PUT", "/version"), ("GET", "/v1.50/")):
        reply = await client(method, path)
        assert (reply.status, reply.body) == (404, {"message": "page not found"})


async def test_what_is_refused_names_the_operation(client: Client) -> None:
    reply = await client("POST", "/build")
    assert reply.status == 501
    assert reply.body["message"].startswith("ImageBuild is not supported: ")


@pytest.mark.parametrize(
    "path", ["/nodes", "/swarm", "/services", "/tasks", "/secrets", "/configs", "/nodes/x"]
)
async def test_swarm_answers_like_an_engine_outside_of_one(client: Client, path: str) -> None:
    reply = await client("GET", path)
    assert reply.status == 503
    assert reply.body["message"] == (
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to '
        "connect this node to swarm and try again."
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/swarm/leave", 503, "This node is not part of a swarm"),
        ("POST", "/nodes/x/update", 400, "invalid node version '': "),
        ("POST", "/services/x/update?version=a", 400, "invalid service version 'a': "),
        ("POST", "/secrets/x/update", 400, "invalid secret version '': "),
        ("POST", "/configs/x/update", 400, "invalid config version '': "),
        ("POST", "/swarm/update?version=-1", 400, "invalid swarm version '-1': "),
        ("POST", "/swarm/update?version=99999999999999999999", 400, "value out of range"),
        ("POST", "/nodes/x/update?version=1", 503, "This node is not a swarm manager."),
        ("GET", "/services/x/logs", 400, "you must choose at least one stream"),
        ("GET", "/tasks/x/logs?stdout=1", 503, "This node is not a swarm manager."),
        ("POST", "/swarm/init", 501, "SwarmInit is not supported: Hyper does not form swarms"),
        ("POST", "/swarm/join", 501, "SwarmJoin is not supported: Hyper does not form swarms"),
    ],
)
async def test_swarm_verbs_answer_as_dockerd_does(
    client: Client, method: str, path: str, status: int, text: str
) -> None:
    reply = await client(method, path)
    assert reply.status == status
    assert text in reply.body["message"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "invalid JSON: got EOF while reading request body"),
        (b"{", "invalid JSON: "),
        (b"[]", "invalid JSON: request body: an object is needed, not an array"),
        (b"{}", "config cannot be empty in order to create a container"),
        (b"[" * 100_000, "invalid JSON: "),
    ],
)
async def test_bad_bodies_are_refused(client: Client, data: bytes, text: str) -> None:
    reader, writer = await asyncio.open_unix_connection(str(client.path))
    head = f"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
    writer.write(
        head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + data
    )
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 400 ")
    assert text in answer


async def test_a_huge_body_is_refused_before_it_is_read(client: Client) -> None:
    reply = await client("POST", "/containers/create", {"Image": "x" * 9_000_000})
    assert reply.status == 400
    assert "longer than" in reply.body["message"]


async def test_the_socket_is_private(client: Client) -> None:
    assert stat.S_IMODE(client.path.stat().st_mode) == 0o600


async def test_a_stale_socket_is_replaced_and_a_live_one_is_not(run_dir: Path) -> None:
    path = run_dir / "x.sock"
    first = unix_listener(path)
    first.listen()
    with pytest.raises(Conflict, match="another daemon answers there"):
        unix_listener(path)
    first.close()
    second = unix_listener(path)
    second.close()
    path.unlink()
    path.write_text("precious")
    with pytest.raises(Conflict, match="is not a socket"):
        unix_listener(path)


async def test_the_socket_goes_when_the_server_stops(run_dir: Path) -> None:
    async with serving(run_dir) as (_, client):
        assert client.path.exists()
    assert not client.path.exists()
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.connect(str(client.path))


async def test_a_body_goes_on_after_a_pause_at_the_end_of_a_chunk() -> None:
    """A whole body arrives whose reading was paused where a chunk and what was received ended."""
    read = asyncio.get_running_loop().create_future()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        pieces = [len(piece) async for piece in request.content.iter_any()]
        read.set_result(sum(pieces))
        return web.Response()

    connection = ConnectionServer(handler)()
    transport = mock.create_autospec(asyncio.Transport, instance=True)
    transport.is_closing.return_value = False
    connection.connection_made(transport)
    connection.data_received(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    await asyncio.sleep(0.01)
    connection.data_received(b"%x\r\n%b\r\n" % (3_000_000, bytes(3_000_000)))
    await asyncio.sleep(0.01)
    connection.data_received(b"5\r\nabcde\r\n0\r\n\r\n")
    async with asyncio.timeout(60):
        assert await read == 3_000_005
    connection.connection_lost(None)
