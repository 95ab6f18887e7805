"""Streams: attach, exec, logs, run: frames, terminals, half-close, detaching, clients that go."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from hyper.api.frames import DetachParser, parse_detach_keys
from hyper.core.errors import Failure, InvalidArgument
from hyper.engine.logs import LogRecord
from tests.support.api_client import Client
from tests.support.fake_engine import FakeEngine

Served = tuple[FakeEngine, Client]
ALL = "stream=1&stdin=1&stdout=1&stderr=1"


async def test_attach_upgrades_and_frames_both_streams(served: Served) -> None:
    engine, client = served
    container_id = await client.create("both")
    async with client.hijack(f"/containers/{container_id}/attach?{ALL}") as raw:
        head = await raw.head()
        assert head.startswith("HTTP/1.1 101 UPGRADED\r\n")
        assert "Content-Type: application/vnd.docker.multiplexed-stream\r\n" in head
        assert "Upgrade: tcp\r\n" in head
        await engine.containers.start(container_id)
        assert await raw.frames() == [(1, b"out\n"), (2, b"err\n")]


async def test_older_clients_get_200_and_raw_stream(served: Served) -> None:
    engine, client = served
    container_id = await client.create("cat", OpenStdin=True, StdinOnce=True)
    path = f"/v1.41/containers/{container_id}/attach?{ALL}"
    async with client.hijack(path, upgrade=False) as raw:
        head = await raw.head()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert "application/vnd.docker.raw-stream" in head
        await engine.containers.start(container_id)
        raw.writer.write(b"hello")
        assert await raw.frame() == (1, b"hello")
        raw.writer.write_eof()
        assert await raw.frames() == []


async def test_half_close_ends_stdin_and_not_the_output(served: Served) -> None:
    engine, client = served
    container_id = await client.create("cat", OpenStdin=True, StdinOnce=True)
    async with client.hijack(f"/containers/{container_id}/attach?{ALL}") as raw:
        # Input and its end before the answer: the kernel may hand over both in one piece.
        raw.writer.write(b"early")
        raw.writer.write_eof()
        await raw.head()
        await engine.containers.start(container_id)
        assert await raw.frames() == [(1, b"early")]
    assert engine.containers.get(container_id).status.exit_code == 0


async def test_a_terminal_is_not_framed_and_detaches_by_keys(served: Served) -> None:
    engine, client = served
    container_id = await client.run("cat", OpenStdin=True, Tty=True)
    async with client.hijack(f"/containers/{container_id}/attach?{ALL}") as raw:
        assert "application/vnd.docker.raw-stream" in await raw.head()
        raw.writer.write(b"abc")
        assert await raw.reader.readexactly(3) == b"abc"
        raw.writer.write(b"d\x10")
        assert await raw.reader.readexactly(1) == b"d"
        raw.writer.write(b"\x11")
        assert await raw.reader.read() == b""
    assert engine.containers.get(container_id).active
    assert engine.containers.find(container_id).process.left_by_keys


async def test_detach_keys_can_be_chosen_and_are_checked(served: Served) -> None:
    engine, client = served
    container_id = await client.run("cat", OpenStdin=True, Tty=True)
    async with client.hijack(f"/containers/{container_id}/attach?{ALL}&detachKeys=x,y") as raw:
        await raw.head()
        raw.writer.write(b"ax")
        assert await raw.reader.readexactly(1) == b"a"
        raw.writer.write(b"y")
        assert await raw.reader.read() == b""
    assert engine.containers.get(container_id).active
    reply = await client("POST", f"/containers/{container_id}/attach", stream=1, detachKeys="long")
    assert reply.status == 400


def test_a_started_sequence_that_is_none_is_passed_on() -> None:
    parser = DetachParser(parse_detach_keys("ctrl-p,ctrl-q"))
    assert parser.feed(b"\x10") == (b"", False)
    assert parser.feed(b"a") == (b"\x10a", False)
    assert parser.feed(b"\x10\x10") == (b"\x10", False)
    assert parser.feed(b"\x11rest") == (b"", True)


@pytest.mark.parametrize("keys", ["", "ctrl-", "ctrl-1", "abc", "a,,b", "ä"])
def test_bad_detach_keys(keys: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_detach_keys(keys)


async def test_one_mebibyte_comes_back_byte_for_byte(client: Client) -> None:
    container_id = await client.run("cat", OpenStdin=True, StdinOnce=True)
    sent = bytes(range(256)) * 4096
    async with client.hijack(f"/containers/{container_id}/attach?{ALL}") as raw:
        await raw.head()
        async with asyncio.TaskGroup() as group:

            async def send() -> None:
                for start in range(0, len(sent), 50_000):
                    raw.writer.write(sent[start : start + 50_000])
                    await raw.writer.drain()
                raw.writer.write_eof()

            group.create_task(send())
            frames = await raw.frames()
    assert b"".join(data for _, data in frames) == sent


async def test_a_client_that_goes_away_leaves_the_container_running(served: Served) -> None:
    engine, client = served
    container_id = await client.run("cat", OpenStdin=True)
    process = engine.containers.find(container_id).process
    async with client.hijack(f"/containers/{container_id}/attach?{ALL}") as raw:
        await raw.head()
        raw.writer.transport.abort()
    async with client.hijack(f"/containers/{container_id}/attach?{ALL}") as raw:
        await raw.head()
        while len(process.hub._feeds) > 1:  # the first client's is dropped when that is noticed
            raw.writer.write(b".")
            await raw.frame()
    assert engine.containers.get(container_id).active


async def test_attach_with_logs_shows_what_was_before(served: Served) -> None:
    _, client = served
    container_id = await client.finish("both")
    path = f"/containers/{container_id}/attach?logs=1&stdout=1&stderr=1"
    async with client.hijack(path) as raw:
        await raw.head()
        assert await raw.frames() == [(1, b"out\n"), (2, b"err\n")]


async def test_websocket(served: Served) -> None:
    engine, client = served
    container_id = await client.run("cat", OpenStdin=True)
    connector = aiohttp.UnixConnector(str(client.path))
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"http://hyper/containers/{container_id}/attach/ws?{ALL}"
        async with session.ws_connect(url) as socket:
            await socket.send_bytes(b"over a web socket")
            assert (await socket.receive_bytes()) == b"over a web socket"
    assert engine.containers.get(container_id).active


async def test_a_websocket_gets_the_logs_and_no_more_unless_it_asks(client: Client) -> None:
    await client.finish("both", name="x1")
    connector = aiohttp.UnixConnector(str(client.path))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def shown(version: str, query: str) -> list[bytes | str]:
            url = f"http://hyper/{version}/containers/x1/attach/ws?{query}"
            async with session.ws_connect(url) as socket:
                return [message.data async for message in socket]

        assert await shown("v1.50", "logs=1&stdout=1") == [b"out\n"]
        assert await shown("v1.50", "logs=1") == []  # to none of the streams
        assert await shown("v1.41", "logs=1") == [b"out\n", b"err\n"]  # to all of them
        assert await shown("v1.27", "logs=1") == ["out\n", "err\n"]


async def test_an_exec_has_the_streams_and_the_terminal_it_was_made_with(served: Served) -> None:
    engine, client = served
    await client.run("sleep", name="x1")
    body = {"Cmd": ["both"], "AttachStderr": True}
    exec_id = (await client("POST", "/containers/x1/exec", body)).body["Id"]
    async with client.hijack(f"/exec/{exec_id}/start", {}) as raw:
        await raw.head()
        assert await raw.frames() == [(2, b"err\n")]
    body = {"Cmd": ["cat"], "Tty": True, "ConsoleSize": [24, 80]}
    sizes = []
    for version, more in (("v1.50", {}), ("v1.50", {"ConsoleSize": [5, 6]}), ("v1.41", {})):
        made = await client("POST", f"/{version}/containers/x1/exec", body)
        started = {"Detach": True, **more}
        await client("POST", f"/{version}/exec/{made.body['Id']}/start", started)
        sizes.append(engine.sessions.execs[made.body["Id"]][1].size)
    assert sizes == [(24, 80), (5, 6), (0, 0)]


async def test_exec_runs_and_tells_its_status(client: Client) -> None:
    container_id = await client.run("sleep", name="x1")
    body = {"Cmd": ["both"], "AttachStdout": True, "AttachStderr": True}
    exec_id = (await client("POST", "/containers/x1/exec", body)).body["Id"]
    async with client.hijack(f"/exec/{exec_id}/start", {"Detach": False}) as raw:
        assert "101 UPGRADED" in await raw.head()
        assert await raw.frames() == [(1, b"out\n"), (2, b"err\n")]
    shown = (await client("GET", f"/exec/{exec_id}/json")).body
    assert (shown["Running"], shown["ExitCode"], shown["ContainerID"]) == (False, 3, container_id)
    again = await client("POST", f"/exec/{exec_id}/start", {})
    assert again.status == 409


async def test_frames_of_an_exec_are_as_its_start_asks(client: Client) -> None:
    await client.run("sleep", name="x1")
    # docker-py: a terminal asked for at creation, frames (no Tty) at the start; keys in any case.
    body = {"Cmd": ["both"], "AttachStdout": True, "tty": True}
    exec_id = (await client("POST", "/containers/x1/exec", body)).body["Id"]
    async with client.hijack(f"/exec/{exec_id}/start", {"Tty": False}) as raw:
        await raw.head()
        assert {stream for stream, _ in await raw.frames()} <= {1, 2}
    shown = (await client("GET", f"/exec/{exec_id}/json")).body
    assert shown["ProcessConfig"]["tty"] is True
    exec_id = (await client("POST", "/containers/x1/exec", body)).body["Id"]
    async with client.hijack(f"/exec/{exec_id}/start", {"Tty": True}) as raw:
        await raw.head()
        assert (await raw.reader.read()).startswith(b"out\n")


async def test_exec_of_a_missing_program_is_output_and_status_127(client: Client) -> None:
    await client.run("sleep", name="x1")
    body = {"Cmd": ["nope"], "AttachStdout": True}
    exec_id = (await client("POST", "/containers/x1/exec", body)).body["Id"]
    async with client.hijack(f"/exec/{exec_id}/start", {}) as raw:
        await raw.head()
        ((stream, text),) = await raw.frames()
    assert (stream, text) == (1, b'exec: "nope": executable file not found in $PATH\r\n')
    assert (await client("GET", f"/exec/{exec_id}/json")).body["ExitCode"] == 127


async def test_detached_exec_and_resize(served: Served) -> None:
    engine, client = served
    await client.run("sleep", name="x1")
    body = {"Cmd": ["cat"], "Tty": True, "AttachStdin": True}
    exec_id = (await client("POST", "/containers/x1/exec", body)).body["Id"]
    reply = await client("POST", f"/exec/{exec_id}/start", {"Detach": True, "ConsoleSize": [9, 8]})
    assert (reply.status, reply.data) == (200, b"")
    assert engine.sessions.execs[exec_id][1].size == (9, 8)
    assert (await client("POST", f"/exec/{exec_id}/resize", h=40, w=100)).status == 200
    assert engine.sessions.execs[exec_id][1].size == (40, 100)
    assert (await client("POST", f"/exec/{exec_id}/resize", h=40)).status == 400
    assert (await client("POST", "/containers/x1/resize", h=4, w=5)).status == 200
    assert engine.containers.find("x1").process.size == (4, 5)


async def test_exec_without_a_command(client: Client) -> None:
    await client.run("sleep", name="x1")
    reply = await client("POST", "/containers/x1/exec", {"Cmd": []})
    assert (reply.status, reply.body["message"]) == (400, "No exec command specified")


async def test_logs_of_both_streams_framed(client: Client) -> None:
    await client.finish("both", name="x1")
    reply = await client("GET", "/containers/x1/logs", stdout=1, stderr=1)
    assert reply.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
    assert reply.data == b"\1\0\0\0\0\0\0\4out\n\2\0\0\0\0\0\0\4err\n"
    assert (await client("GET", "/containers/x1/logs", stderr=1)).data[8:] == b"err\n"
    reply = await client("GET", "/v1.41/containers/x1/logs", stdout=1)
    assert reply.headers["Content-Type"] == "application/vnd.docker.raw-stream"


async def test_logs_of_a_terminal_are_raw_and_may_have_times(client: Client) -> None:
    await client.finish("echo", "hi", name="x1", Tty=True)
    assert (await client("GET", "/containers/x1/logs", stdout=1)).data == b"hi\n"
    stamped = (await client("GET", "/containers/x1/logs", stdout=1, timestamps=1)).data.decode()
    stamp, _, text = stamped.partition(" ")
    assert text == "hi\n"
    assert len(stamp) == len("2006-01-02T15:04:05.000000000Z")
    assert (await client("GET", "/containers/x1/logs", stdout=1, tail=0)).data == b""
    assert (await client("GET", "/containers/x1/logs", stdout=1, since="2")).data == b"hi\n"
    assert (await client("GET", "/containers/x1/logs", stdout=1, until="2")).data == b""
    assert (await client("GET", "/containers/x1/logs", stdout=1, since="soon")).status == 400


async def test_followed_logs_end_with_the_container(served: Served) -> None:
    engine, client = served
    container_id = await client.run("cat", OpenStdin=True)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(
            client("GET", f"/containers/{container_id}/logs", stdout=1, follow=1)
        )
        process = engine.containers.find(container_id).process
        while not process.hub._feeds:
            await asyncio.sleep(0)
        process.feed(b"line\n")
        process.feed(b"")
    assert reading.result().data[8:] == b"line\n"


async def test_run_is_one_request_with_control_frames(client: Client) -> None:
    body = {"Image": "busybox", "Cmd": ["both"], "AttachStdout": True, "AttachStderr": True}
    async with client.hijack("/hyper/v1/run", {**body, "Name": "x1"}) as raw:
        assert "101 UPGRADED" in await raw.head()
        (kind, first), *output, (last_kind, last) = await raw.frames()
    assert (kind, last_kind) == (4, 4)
    assert len(json.loads(first)["Id"]) == 64
    assert output == [(1, b"out\n"), (2, b"err\n")]
    assert json.loads(last) == {"StatusCode": 3}


async def test_run_of_a_missing_program_tells_error_and_status(client: Client) -> None:
    body = {"Image": "busybox", "Cmd": ["nope"], "HostConfig": {"AutoRemove": True}}
    async with client.hijack("/hyper/v1/run", body) as raw:
        await raw.head()
        frames = await raw.frames()
    message = json.loads(frames[-1][1])
    assert message["StatusCode"] == 127
    assert "executable file not found" in message["Error"]
    assert (await client("GET", "/containers/json", all=1)).body == []


async def test_run_of_a_missing_image_is_an_ordinary_error(client: Client) -> None:
    reply = await client("POST", "/hyper/v1/run", {"Image": "absent", "Cmd": ["true"]})
    assert (reply.status, reply.body["message"]) == (404, "No such image: absent:latest")


async def test_run_pulls_when_asked(client: Client) -> None:
    body = {"Image": "other", "Cmd": ["true"], "Pull": "missing", "AttachStdout": True}
    async with client.hijack("/hyper/v1/run", body) as raw:
        await raw.head()
        assert json.loads((await raw.frames())[-1][1]) == {"StatusCode": 0}


async def test_a_client_that_leaves_a_run_leaves_the_container(served: Served) -> None:
    engine, client = served
    body = {"Image": "busybox", "Cmd": ["sleep"], "Name": "x1", "AttachStdout": True}
    async with client.hijack("/hyper/v1/run", body) as raw:
        await raw.head()
        await raw.frame()
    assert engine.containers.get("x1").active


async def test_logs_that_fail_in_the_middle_are_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, client = served

    async def broken(reference: str, **options: object) -> AsyncIterator[LogRecord]:
        yield LogRecord(1, 1, b"x" * 40_000)
        raise Failure("the disk is gone")

    monkeypatch.setattr(engine.sessions, "logs", broken)
    await client.finish("true", name="x1")
    with pytest.raises(aiohttp.ClientPayloadError):
        await client("GET", "/containers/x1/logs", stdout=1)


async def test_an_unexpected_error_is_one_line_with_status_500(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, client = served

    async def broken(reference: str) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(engine.containers, "start", broken)
    await client.create("true", name="x1")
    reply = await client("POST", "/containers/x1/start")
    assert reply.status == 500
    assert reply.body == {"message": "internal error: RuntimeError: a bug"}


async def test_statistics_that_fail_have_a_status(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, client = served

    async def broken(reference: str) -> None:
        raise Failure("the guest does not answer")

    monkeypatch.setattr(engine.sessions, "statistics", broken)
    await client.run("sleep", name="x1")
    reply = await client("GET", "/containers/x1/stats")
    assert (reply.status, reply.body["message"]) == (500, "the guest does not answer")


async def _starts(client: Client, exec_id: str) -> socket.socket:
    """Return the connection of a client that has asked for an exec's start, and reads nothing."""
    slow = socket.socket(socket.AF_UNIX)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, str(client.path))
    body = b'{"Detach": false}'
    head = f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n"
    head += "Connection: Upgrade\r\nContent-Type: application/json\r\n"
    await loop.sock_sendall(slow, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return slow


async def test_nothing_follows_the_head_before_the_client_has_read_it(client: Client) -> None:
    """docker-py reads the head through a buffer and loses the output that is in it as well."""
    container = await client.run("sleep")
    made = await client(
        "POST", f"/containers/{container}/exec", {"Cmd": ["echo", "x"], "AttachStdout": True}
    )
    loop = asyncio.get_running_loop()
    with await _starts(client, made.body["Id"]) as slow:
        await asyncio.sleep(0.1)  # the process has printed and ended by now
        first = await loop.sock_recv(slow, 65536)
        assert first.endswith(b"\r\n\r\n"), first
        rest = b""
        while data := await loop.sock_recv(slow, 65536):
            rest += data
        assert rest == b"\1\0\0\0\0\0\0\2x\n"


async def test_a_client_that_leaves_before_it_has_read_the_head_is_no_error(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    engine, client = served
    container = await client.run("sleep")
    made = await client(
        "POST", f"/containers/{container}/exec", {"Cmd": ["echo", "x"], "AttachStdout": True}
    )
    process = engine.sessions.execs[made.body["Id"]][1]
    slow = await _starts(client, made.body["Id"])
    async with asyncio.timeout(60):
        while not process.log:
            await asyncio.sleep(0)
        for _ in range(10):  # what was printed waits until the head is read
            await asyncio.sleep(0.001)
        slow.close()
        while process.hub._feeds:
            await asyncio.sleep(0.001)
        await client("GET", "/_ping")
    assert "unexpected error" not in caplog.text


async def test_who_still_sends_when_all_is_said_sees_the_end(client: Client) -> None:
    """As `yes | docker exec -i web true`: closed with input unread, a connection is reset."""
    container = await client.run("sleep")
    loop = asyncio.get_running_loop()
    for _ in range(5):
        asked = {"Cmd": ["echo", "x"], "AttachStdin": True, "AttachStdout": True}
        made = await client("POST", f"/containers/{container}/exec", asked)
        with await _starts(client, made.body["Id"]) as eager:

            async def send(eager: socket.socket = eager) -> None:
                with contextlib.suppress(BrokenPipeError):
                    while True:
                        await loop.sock_sendall(eager, b"y\n" * 50_000)

            received = b""
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(send())
                while data := await loop.sock_recv(eager, 65536):
                    received += data
            assert received.endswith(b"\1\0\0\0\0\0\0\2x\n")
