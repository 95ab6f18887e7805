"""Requests that are wrong below the API: refused on their own connection, others do not notice."""

import asyncio

import pytest

from tests.support.api_client import Client

CREATE = b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def _answer(client: Client, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(client.path))
    writer.write(data)
    try:
        async with asyncio.timeout(60):
            return await reader.read(4096)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000 + b"\r\n\r\n", 400),
        (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", 400),
        (CREATE + b"Content-Length: -5\r\n\r\n", 400),
        (CREATE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (CREATE + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (b"GET /containers/%ff%00/json HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET //version HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /v1.24/../version HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"TRACE /info HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v1.50.1/info HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v99999999999999999999.1/info HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
    ids=range(16),
)
async def test_malformed_requests_are_refused(client: Client, data: bytes, status: int) -> None:
    answer = await _answer(client, data)
    assert answer.startswith((b"HTTP/1.0 %d " % status, b"HTTP/1.1 %d " % status)), answer[:200]
    assert b"Traceback" not in answer
    assert (await client("GET", "/_ping")).status == 200


async def test_who_waits_for_leave_to_send_a_body_gets_it(client: Client) -> None:
    """As curl does, which otherwise sends after a second."""
    await client.create("true", name="x1")
    reader, writer = await asyncio.open_unix_connection(str(client.path))
    head = b"PUT /containers/x1/archive?path=/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n"
    writer.write(head + b"Expect: 100-continue\r\n\r\n")
    async with asyncio.timeout(60):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(bytes(1024))
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_clients_that_never_finish_a_request_do_not_hinder_others(client: Client) -> None:
    writers = []
    for number in range(200):
        _, writer = await asyncio.open_unix_connection(str(client.path))
        half = CREATE + b"Content-Length: 1000\r\n\r\n{" if number % 2 else b"GET /info HT"
        writer.write(half)
        writers.append(writer)
    async with asyncio.timeout(60):
        assert (await client("GET", "/_ping")).status == 200
        await client.finish("true")
    for writer in writers:
        writer.close()


async def test_a_client_that_reads_nothing_does_not_hinder_others(client: Client) -> None:
    container = await client.run("flood", "100")
    stalled = []
    for _ in range(5):
        _, writer = await asyncio.open_unix_connection(str(client.path))
        writer.write(
            f"GET /containers/{container}/logs?stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        stalled.append(writer)
    async with asyncio.timeout(60):
        assert (await client("GET", f"/containers/{container}/json")).status == 200
    for writer in stalled:
        writer.close()


@pytest.mark.parametrize(
    ("version", "virtual_size", "container_config"),
    [("v1.24", True, True), ("v1.43", True, True), ("v1.44", False, True), ("v1.50", False, False)],
)
async def test_older_clients_get_the_fields_they_know(
    client: Client, version: str, virtual_size: bool, container_config: bool
) -> None:
    shown = (await client("GET", f"/{version}/images/busybox/json")).body
    assert ("VirtualSize" in shown) is virtual_size
    assert ("ContainerConfig" in shown) is container_config
    assert ("Container" in shown) is container_config
    (listed,) = (await client("GET", f"/{version}/images/json")).body
    assert ("VirtualSize" in listed) is virtual_size
    if virtual_size:
        assert listed["VirtualSize"] == listed["Size"] == shown["VirtualSize"]
    usage = (await client("GET", f"/{version}/system/df")).body
    assert ("VirtualSize" in usage["Images"][0]) is virtual_size
    assert ("BuilderSize" in usage) is (version == "v1.24")
