"""The SDK: both clients and both sandboxes against a daemon of ours."""

import asyncio
import io
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, Request, fake_daemon

import hyper
from hyper.sdk.exchange import OutputTooLong
from hyper.sdk.frames import encode_frame
from hyper.sdk.tars import pack_bytes

SOURCE = str(Path(__file__).parents[2] / "src")
IDENTIFIER = "ab" * 32


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with fake_daemon(tmp_path) as fake:
        path = f"/containers/{IDENTIFIER}"
        fake.on("POST", "/containers/create", (201, {"Id": IDENTIFIER, "Warnings": []}))
        fake.on("POST", f"{path}/(start|restart)", (204, b""))
        fake.on("DELETE", path, (204, b""))
        fake.on("POST", f"{path}/exec", (201, {"Id": "e1"}))
        fake.on("GET", "/exec/e1/json", {"ExitCode": 3})
        fake.on("PUT", f"{path}/archive", (200, b""))
        fake.on("GET", f"{path}/archive", b"".join(pack_bytes("f", b"contents")))
        fake.on("GET", "/containers/none/json", (404, {"message": "No such container: none"}))
        yield fake


def cat(request: Request) -> None:
    """Be a process that prints its stdin to stdout, and a word to stderr."""
    request.upgrade()
    received = b""
    while data := request.read():
        received += data
    request.send(encode_frame(1, received) + encode_frame(2, b"err"))


def hang(request: Request) -> None:
    """Be a process that does not end."""
    request.upgrade()
    while request.read():
        pass
    threading.Event().wait(5)


def scream(request: Request) -> None:
    """Be a process that prints without an end."""
    request.upgrade()
    while True:
        request.send(encode_frame(1, bytes(65536)))


def test_a_sandbox_runs_commands_and_is_removed(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/exec/e1/start", cat)
    data = bytes(range(256)) * 8192
    with hyper.Sandbox("python:3.12", host=daemon.url) as box:
        result = box.run(["cat"], stdin=data, env={"A": "b"}, timeout=30)
        assert result == hyper.Result(data, b"err", 3)
        assert box.run(["cat"], stdin="text").text == "text"
        assert box.run(["true"]).stdout == b""
        box.put("/work/f", "contents")
        assert box.get("/work/f") == b"contents"
    created = daemon.asked("POST", "/create")[0].json
    assert isinstance(created, dict)
    assert created["Cmd"] == ["sleep", "infinity"]
    assert created["Entrypoint"] == []
    upload = daemon.asked("PUT")[0]
    assert upload.query == {"path": "/work"}
    with tarfile.open(fileobj=io.BytesIO(upload.body)) as archive:
        assert archive.getnames() == ["f"]
    assert daemon.asked("DELETE")[0].query == {"force": "1", "v": "1"}


async def test_an_async_sandbox_runs_commands_and_is_removed(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/exec/e1/start", cat)
    data = bytes(range(256)) * 8192
    async with hyper.AsyncSandbox("python:3.12", host=daemon.url) as box:
        result = await box.run(["cat"], stdin=data, timeout=30)
        assert result == hyper.Result(data, b"err", 3)
        await box.put("/work/f", "contents")
        assert await box.get("/work/f") == b"contents"
    assert len(daemon.asked("DELETE")) == 1


def test_a_timeout_ends_the_sandboxs_processes(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/exec/e1/start", hang)
    with hyper.Sandbox("x", host=daemon.url) as box:
        with pytest.raises(hyper.Timeout):
            box.run(["sleep", "9"], timeout=0.1)
        assert daemon.asked("POST", "/restart")[0].query == {"t": "0"}


async def test_an_async_timeout_ends_the_sandboxs_processes(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/exec/e1/start", hang)
    async with hyper.AsyncSandbox("x", host=daemon.url) as box:
        with pytest.raises(hyper.Timeout):
            await box.run(["sleep", "9"], timeout=0.1)
        assert len(daemon.asked("POST", "/restart")) == 1


def test_output_without_an_end_is_cut_off(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/exec/e1/start", scream)
    with hyper.Sandbox("x", host=daemon.url) as box:
        with pytest.raises(OutputTooLong):
            box.run(["yes"], output_limit_bytes=1 << 20)


async def test_async_output_without_an_end_is_cut_off(daemon: FakeDaemon) -> None:
    daemon.on("POST", "/exec/e1/start", scream)
    client = hyper.AsyncClient(daemon.url)
    with pytest.raises(OutputTooLong):
        await client.containers.execute(IDENTIFIER, ["yes"], output_limit_bytes=1 << 20)


def missing_until_pulled(daemon: FakeDaemon) -> None:
    pulled = threading.Event()

    def create(request: Request) -> object:
        if pulled.is_set():
            return 201, {"Id": IDENTIFIER}
        return 404, {"message": "No such image: x:latest"}

    def pull(request: Request) -> object:
        pulled.set()
        return b'{"status":"Pulling"}\n'

    daemon.on("POST", "/containers/create", create)
    daemon.on("POST", "/images/create", pull)
    daemon.on("GET", "/images/x/json", lambda r: {"Id": "i"} if pulled.is_set() else (404, {}))


def test_a_missing_image_is_pulled(daemon: FakeDaemon) -> None:
    missing_until_pulled(daemon)
    with hyper.Sandbox("x", host=daemon.url):
        pass
    assert daemon.asked("POST", "/images/create")[0].query == {"fromImage": "x", "tag": "latest"}


async def test_a_missing_image_is_pulled_by_the_async_one(daemon: FakeDaemon) -> None:
    missing_until_pulled(daemon)
    async with hyper.AsyncSandbox("x", host=daemon.url):
        pass
    assert len(daemon.asked("POST", "/images/create")) == 1


def test_errors_are_typed_and_keep_the_daemons_words(daemon: FakeDaemon) -> None:
    with hyper.Client(daemon.url) as client:
        with pytest.raises(hyper.NotFoundError, match="No such container: none") as caught:
            client.containers.inspect("none")
        assert caught.value.status == 404
        daemon.on("POST", "/images/create", b'{"errorDetail":{"message":"denied"}}')
        with pytest.raises(hyper.ApiError, match="denied"):
            client.images.pull("x")
    with pytest.raises(hyper.DaemonUnavailable):
        hyper.Client(f"unix://{daemon.path}.none").version()


async def test_async_errors_are_typed(daemon: FakeDaemon) -> None:
    client = hyper.AsyncClient(daemon.url)
    with pytest.raises(hyper.NotFoundError, match="No such container: none"):
        await client.containers.inspect("none")
    with pytest.raises(hyper.DaemonUnavailable):
        await hyper.AsyncClient(f"unix://{daemon.path}.none").version()


def test_options_become_dockers_fields(daemon: FakeDaemon) -> None:
    options = hyper.ContainerOptions(
        name="web", memory="256m", cpus=1.5, ports=("8080:80",), env={"A": "b"}, kernel="mine"
    )
    with hyper.Client(daemon.url) as client:
        assert client.containers.create("x", ["run"], options) == IDENTIFIER
    request = daemon.asked("POST", "/create")[0]
    body = request.json
    assert isinstance(body, dict)
    assert request.query == {"name": "web"}
    assert body["HostConfig"]["Memory"] == 256 * 2**20
    assert body["HostConfig"]["NanoCpus"] == 1_500_000_000
    assert body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    assert (body["Env"], body["Kernel"]) == (["A=b"], "mine")


def test_logs_come_in_streams(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/containers/web/logs", encode_frame(1, b"out") + encode_frame(2, b"err"))
    with hyper.Client(daemon.url) as client:
        assert list(client.containers.logs("web")) == [(1, b"out"), (2, b"err")]


async def test_async_logs_come_in_streams(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/containers/web/logs", encode_frame(1, b"out") + encode_frame(2, b"err"))
    client = hyper.AsyncClient(daemon.url)
    assert [item async for item in client.containers.logs("web")] == [(1, b"out"), (2, b"err")]


def test_a_kept_connection_that_died_is_replaced(daemon: FakeDaemon) -> None:
    import socket

    daemon.on("GET", "/version", {"Version": "1"})
    with hyper.Client(daemon.url) as client:
        assert client.version() == {"Version": "1"}
        daemon.requests[-1].connection.shutdown(socket.SHUT_RDWR)
        assert client.version() == {"Version": "1"}


async def test_many_requests_at_once(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/version", {"Version": "1"})
    client = hyper.AsyncClient(daemon.url)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.version()) for _ in range(20)]
    assert all(task.result() == {"Version": "1"} for task in tasks)


def test_the_package_imports_nothing_until_asked() -> None:
    script = (
        f"import sys; sys.path.insert(0, {SOURCE!r})\nimport hyper, json\n"
        "before = [name for name in sys.modules if name.startswith('hyper')]\n"
        "found = [getattr(hyper, name).__name__ for name in hyper.__all__]\n"
        "print(json.dumps([before, found, hyper.__all__]))\n"
    )
    output = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, check=True, timeout=60
    ).stdout
    before, found, names = json.loads(output)
    assert before == ["hyper"]
    assert found == names
    with pytest.raises(AttributeError):
        getattr(hyper, "Nothing")  # noqa: B009 (a type checker sees it otherwise)
