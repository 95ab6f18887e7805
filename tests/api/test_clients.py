"""Libraries people use, against a real daemon: docker-py, aiodocker, Testcontainers."""

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import aiodocker
import docker
import docker.errors
import docker.types
import pytest
import requests

from tests.support import specification
from tests.support.daemon import Daemon

pytestmark = pytest.mark.vm


def _check(reply: requests.Response, *_: Any, **__: Any) -> None:
    """Compare a JSON reply that docker-py has read whole with the specification."""
    assert reply.status_code != 500, reply.text
    operation = specification.operation_of(reply.request.method or "", reply.request.path_url)
    assert operation, reply.request.path_url
    if reply.headers.get("Content-Type") == "application/json" and reply.headers.get(
        "Content-Length"
    ):
        specification.check_reply(operation, reply.status_code, reply.json())


@pytest.fixture
def docker_py(daemon: Daemon) -> Iterator[docker.DockerClient]:
    """Return docker-py, whose every reply is compared with the specification."""
    with closing(docker.DockerClient(base_url=f"unix://{daemon.socket}", version="1.50")) as made:
        made.api.hooks["response"].append(_check)
        yield made


def test_the_engine_describes_itself(docker_py: docker.DockerClient) -> None:
    assert docker_py.ping() is True
    assert docker_py.version()["ApiVersion"] == "1.50"
    assert docker_py.info()["OSType"] == "linux"
    assert {"Images", "Containers", "Volumes"} <= set(docker_py.df())
    assert docker_py.plugins.list() == []
    for verb in (
        docker_py.swarm.reload,
        docker_py.services.list,
        docker_py.secrets.list,
        docker_py.nodes.list,
    ):
        with pytest.raises(docker.errors.APIError, match="This node is not a swarm manager"):
            verb()
    with pytest.raises(docker.errors.APIError, match="SwarmInit is not supported"):
        docker_py.swarm.init()


def test_the_life_of_a_container(docker_py: docker.DockerClient) -> None:
    seen: list[str] = []
    events = docker_py.events(decode=True, filters={"type": "container"})

    def listen() -> None:
        seen.extend(event["Action"] for event in events)

    listener = threading.Thread(target=listen)
    listener.start()
    made = docker_py.containers.create(
        "busybox", ["sleep", "1000"], name="py", labels={"a": "b"}, stop_signal="SIGKILL"
    )
    assert made.status == "created"
    made.start()
    made.reload()
    assert made.status == "running"
    assert [c.id for c in docker_py.containers.list(filters={"label": "a=b"})] == [made.id]
    assert docker_py.containers.list(filters={"status": "exited"}) == []
    assert made.top()["Titles"][:2] == ["UID", "PID"]
    assert made.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True) == (
        4,
        (b"out\n", b"err\n"),
    )
    made.pause()
    made.reload()
    assert made.status == "paused"
    made.unpause()
    made.rename("py2")
    assert docker_py.containers.get("py2").id == made.id
    made.update(mem_limit="100m", memswap_limit="100m")
    made.reload()
    assert made.attrs["HostConfig"]["Memory"] == 100 << 20
    assert made.exec_run("cat /sys/fs/cgroup/memory.max").output == b"%d\n" % (100 << 20)
    with pytest.raises(docker.errors.APIError, match="stop it, update it, start it"):
        made.update(mem_limit="64g", memswap_limit=-1)
    made.restart(timeout=0)
    made.kill()
    assert made.wait()["StatusCode"] == 137
    with pytest.raises(docker.errors.APIError, match="is not running"):
        made.kill()
    made.remove()
    with pytest.raises(docker.errors.NotFound, match="network missing not found"):
        docker_py.containers.run("busybox", "true", network="missing", remove=True)
    with pytest.raises(docker.errors.NotFound, match="No such container: py2"):
        docker_py.containers.get("py2")
    events.close()
    listener.join(20)
    wanted = ["create", "start", "pause", "unpause", "rename", "update", "restart", "kill"]
    assert [action for action in wanted if action not in seen] == []


def test_output_in_all_the_ways_to_get_it(docker_py: docker.DockerClient) -> None:
    assert docker_py.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        docker_py.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"bad\n")
    made = docker_py.containers.run(
        "busybox", ["sh", "-c", "for i in 1 2 3; do echo $i; done"], detach=True
    )
    made.wait()
    assert made.logs(tail=2) == b"2\n3\n"
    assert b"".join(made.logs(stream=True)) == b"1\n2\n3\n"
    assert made.logs(timestamps=True).startswith(b"20")
    made.remove()


def test_stdin_through_an_attached_socket(docker_py: docker.DockerClient) -> None:
    made = docker_py.containers.create("busybox", ["cat"], stdin_open=True, tty=False)
    attached = made.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    made.start()
    attached._sock.sendall(b"typed\n")
    assert attached.read(14) == b"\1\0\0\0\0\0\0\6typed\n"
    attached.close()
    made.remove(force=True)


def test_who_leaves_with_the_detach_keys_is_told_of(docker_py: docker.DockerClient) -> None:
    events = docker_py.events(decode=True, filters={"type": "container"})
    made = docker_py.containers.create("busybox", ["cat"], stdin_open=True, tty=True)
    attached = made.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    made.start()
    attached._sock.sendall(b"\x10\x11")
    assert attached.read() == b""
    asked = docker_py.api.exec_create(made.id, ["cat"], stdin=True, tty=True)["Id"]
    inside = docker_py.api.exec_start(asked, tty=True, socket=True)
    inside._sock.sendall(b"\x10\x11")
    assert inside.read() == b""
    assert docker_py.api.exec_inspect(asked)["Running"]
    seen = [next(events) for _ in range(7)]
    events.close()
    made.remove(force=True)
    actions = [event["Action"] for event in seen]
    begun = ["create", "attach", "start", "detach"]
    assert actions == [*begun, "exec_create: cat", "exec_start: cat", "exec_detach"]
    assert seen[-1]["Actor"]["Attributes"]["execID"] == asked


def test_statistics_once_and_as_a_stream(docker_py: docker.DockerClient) -> None:
    made = docker_py.containers.run("busybox", ["sleep", "1000"], detach=True)
    once = made.stats(stream=False)
    specification.check_reply("ContainerStats", 200, once)
    assert once["memory_stats"]["usage"] > 0
    assert once["cpu_stats"]["system_cpu_usage"] > once["precpu_stats"]["system_cpu_usage"]
    stream = made.stats(decode=True)
    first, second = next(stream), next(stream)
    assert second["preread"] == first["read"]
    stream.close()
    one_shot = docker_py.api.get(
        f"{docker_py.api.base_url}/v1.50/containers/{made.id}/stats",
        params={"stream": "false", "one-shot": "true"},
    ).json()
    assert one_shot["preread"] == "0001-01-01T00:00:00Z"
    made.remove(force=True)


def test_waiting_for_each_condition(docker_py: docker.DockerClient) -> None:
    made = docker_py.containers.create("busybox", ["sh", "-c", "exit 5"])
    assert made.wait(condition="not-running")["StatusCode"] == 0  # it never ran
    results: dict[str, int] = {}
    heads = threading.Semaphore(0)  # the head of an answer comes when the daemon waits
    docker_py.api.hooks["response"].append(lambda *_, **__: heads.release())
    waiters = [
        threading.Thread(
            target=lambda c=condition: results.update({c: made.wait(condition=c)["StatusCode"]})
        )
        for condition in ("next-exit", "removed")
    ]
    for waiter in waiters:
        waiter.start()
    assert all(heads.acquire(timeout=60) for _ in waiters)
    made.start()
    waiters[0].join(60)
    made.remove()
    waiters[1].join(60)
    assert results == {"next-exit": 5, "removed": 5}


def test_images_volumes_and_networks(docker_py: docker.DockerClient) -> None:
    image = docker_py.images.get("busybox")
    assert image.history()
    assert image.tag("copy", "1") and image.tag("copy", "2")
    saved = docker_py.api.get(
        f"{docker_py.api.base_url}/v1.50/images/get", params={"names": ["copy:1", "copy:2"]}
    ).content
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        names = {name for entry in json.load(manifest) for name in entry["RepoTags"]}
    assert names == {"copy:1", "copy:2"}
    docker_py.images.remove("copy:1")
    docker_py.images.remove("copy:2")
    loaded = docker_py.images.load(saved)
    assert {tag for item in loaded for tag in item.tags} >= {"copy:1", "copy:2"}
    docker_py.images.remove("copy:1")
    docker_py.images.remove("copy:2")
    with pytest.raises(docker.errors.APIError, match="ImageSearch is not supported"):
        docker_py.images.search("busybox")
    with pytest.raises(docker.errors.ImageNotFound):
        docker_py.images.get("nothing")
    assert docker_py.images.prune(filters={"dangling": True})["SpaceReclaimed"] >= 0

    volume = docker_py.volumes.create("data", labels={"keep": "no"})
    mount = docker.types.Mount("/data", "data")
    docker_py.containers.run("busybox", ["touch", "/data/x"], mounts=[mount], remove=True)
    assert docker_py.volumes.list(filters={"name": "data"}) == [volume]
    pruned = docker_py.volumes.prune(filters={"label": "keep=no", "all": "true"})
    assert pruned["VolumesDeleted"] == ["data"]
    assert "bridge" in {network.name for network in docker_py.networks.list()}


def test_prune_takes_only_what_its_filters_allow(docker_py: docker.DockerClient) -> None:
    kept = docker_py.containers.create("busybox", ["true"], labels={"keep": "yes"})
    gone = docker_py.containers.create("busybox", ["true"])
    pruned = docker_py.containers.prune(filters={"label!": "keep"})
    assert pruned["ContainersDeleted"] == [gone.id]
    assert docker_py.containers.prune(filters={"until": "24h"})["ContainersDeleted"] is None
    with pytest.raises(docker.errors.APIError, match="Invalid filter 'nope'"):
        docker_py.containers.prune(filters={"nope": "x"})
    kept.remove()


async def test_aiodocker(daemon: Daemon) -> None:
    async with aiodocker.Docker(url=f"unix://{daemon.socket}") as engine:
        assert (await engine.version())["ApiVersion"] == "1.50"
        config = {"Image": "busybox", "Cmd": ["sh", "-c", "read x; echo got $x"]}
        config |= {"OpenStdin": True, "StdinOnce": True}
        container = await engine.containers.create(config, name="aio")
        async with container.attach(stdin=True, stdout=True, stderr=True) as stream:
            await container.start()
            await stream.write_in(b"this\n")
            message = await stream.read_out()
            assert message is not None
            assert (message.stream, message.data) == (1, b"got this\n")
        assert (await container.wait())["StatusCode"] == 0
        assert await container.log(stdout=True) == ["got this\n"]
        await container.delete()
        running = await engine.containers.run({"Image": "busybox", "Cmd": ["sleep", "1000"]})
        execution = await running.exec(["echo", "inside"])
        async with execution.start() as stream:
            message = await stream.read_out()
            assert message is not None
            assert message.data == b"inside\n"
        await running.delete(force=True)


def test_testcontainers(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its reaper, a container that wants the daemon's socket as a bind mount."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{daemon.socket}")
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.config import ConnectionMode, testcontainers_config
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    # Where the tests themselves run in a container it would look for the ports at a gateway.
    monkeypatch.setattr(testcontainers_config, "tc_host_override", "127.0.0.1")
    monkeypatch.setattr(
        testcontainers_config, "connection_mode_override", ConnectionMode.docker_host
    )
    # httpd goes into the background when it listens.
    serve = "printf hello > /tmp/index.html; httpd -h /tmp && echo ready; exec sleep 300"
    container = DockerContainer("busybox").with_command(["sh", "-c", serve]).with_exposed_ports(80)
    with container as running:
        wait_for_logs(running, "ready", timeout=60)
        host, port = running.get_container_host_ip(), running.get_exposed_port(80)
        assert requests.get(f"http://{host}:{port}/", timeout=60).text == "hello"
        assert running.exec(["echo", "hi"]).output == b"hi\n"
