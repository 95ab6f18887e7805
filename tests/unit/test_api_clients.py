"""Real clients against the API: the docker command and docker-py, before an engine in memory."""

import asyncio
import json
import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tests.support.api_client import Client
from tests.support.fake_engine import FakeEngine

Served = tuple[FakeEngine, Client]
needs_docker = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    out: str
    err: str


class Docker:
    """The docker command against one socket, with a configuration folder of its own."""

    def __init__(self, socket: Path, folder: Path) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DOCKER_CONFIG": str(folder / "docker"),
            "DOCKER_HOST": f"unix://{socket}",
        }

    async def __call__(self, *args: str, stdin: bytes | None = None) -> Outcome:
        process = await asyncio.create_subprocess_exec(
            "docker",
            *args,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                out, err = await process.communicate(stdin)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return Outcome(process.returncode, out.decode(), err.decode())

    async def if_known(self, command: str, flag: str, *values: str) -> tuple[str, ...]:
        """Return a flag with its values, or nothing when this version of docker lacks it."""
        described = await self(*command.split(), "--help")
        return (flag, *values) if f"{flag} " in described.out else ()


@pytest.fixture
async def cli(served: Served, run_dir: Path) -> AsyncIterator[Docker]:
    """Return the docker command."""
    yield Docker(served[1].path, run_dir)


@needs_docker
async def test_run_rm_prints_and_exits_with_the_status(served: Served, cli: Docker) -> None:
    assert await cli("run", "--rm", "busybox", "echo", "hi") == Outcome(0, "hi\n", "")
    assert await cli("run", "--rm", "busybox", "both") == Outcome(3, "out\n", "err\n")
    assert served[0].containers.all == {}


@needs_docker
async def test_run_with_stdin_from_a_pipe(cli: Docker) -> None:
    data = bytes(range(32, 127)) * 5000
    assert await cli("run", "--rm", "-i", "busybox", "cat", stdin=data) == Outcome(
        0, data.decode(), ""
    )


@needs_docker
async def test_run_of_a_missing_program_exits_127(cli: Docker) -> None:
    outcome = await cli("run", "busybox", "nope")
    assert outcome.status == 127
    assert "executable file not found in $PATH" in outcome.err


@needs_docker
async def test_run_rm_of_a_missing_program_leaves_nothing(served: Served, cli: Docker) -> None:
    assert (await cli("run", "--rm", "busybox", "nope")).status == 127
    assert served[0].containers.all == {}


@needs_docker
async def test_detached_run_ps_logs_stop_and_rm(cli: Docker) -> None:
    made = await cli("run", "-d", "--name", "web", "-p", "8080:80", "-l", "a=b", "busybox", "cat")
    assert made.status == 0
    assert len(made.out.strip()) == 64
    shown = await cli("ps", "--format", "{{.Names}} {{.Image}} {{.Ports}} {{.Command}}")
    assert shown.out == 'web busybox 0.0.0.0:8080->80/tcp "cat"\n'
    labels = (await cli("ps", "--format", "{{.Labels}}")).out.strip().split(",")
    assert sorted(labels) == ["a=b", "made=here"]  # older commands sort at random
    assert (await cli("logs", "web")) == Outcome(0, "", "")
    refused = await cli("rm", "web")
    assert refused.status == 1
    assert "You cannot remove a running container" in refused.err
    assert (await cli("stop", "web")) == Outcome(0, "web\n", "")
    assert (await cli("rm", "web")) == Outcome(0, "web\n", "")
    assert (await cli("ps", "-aq")).out == ""


@needs_docker
async def test_exec_with_status_and_stdin(cli: Docker) -> None:
    await cli("run", "-d", "--name", "web", "busybox", "sleep")
    assert await cli("exec", "web", "both") == Outcome(3, "out\n", "err\n")
    assert await cli("exec", "-i", "web", "cat", stdin=b"in") == Outcome(0, "in", "")
    missing = await cli("exec", "web", "nope")
    assert missing.status == 127


@needs_docker
async def test_wait_inspect_top_and_rename(cli: Docker) -> None:
    await cli("run", "-d", "--name", "one", "busybox", "sh", "-c", "exit 4")
    assert (await cli("wait", "one")).out == "4\n"
    assert (await cli("rename", "one", "two")).status == 0
    (shown,) = json.loads((await cli("inspect", "two")).out)
    assert shown["State"]["ExitCode"] == 4
    await cli("run", "-d", "--name", "web", "busybox", "sleep", "7")
    top = (await cli("top", "web")).out.splitlines()
    assert top[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert top[1].endswith("sleep 7")
    async with asyncio.timeout(60):  # the command waits 2 s for figures that take one to get
        while (await cli("stats", "--no-stream", "--format", "{{.Name}}")).out != "web\n":
            pass


@needs_docker
async def test_every_flag_that_means_something_is_kept(served: Served, cli: Docker) -> None:
    annotation = await cli.if_known("create", "--annotation", "hyper.kernel=mine")
    outcome = await cli(
        *"create --name all -e A=1 -w /w -u 5:6 --hostname h1 --read-only --cpus 1.5".split(),
        *"--memory-reservation 32m --pids-limit 9 -m 64m --ulimit nofile=10:20".split(),
        *"--shm-size 1m".split(),
        *"--cap-add NET_ADMIN --cap-drop ALL --security-opt no-new-privileges".split(),
        *"--tmpfs /t:size=1m -v vol:/v:ro -v /tmp:/b --mount type=volume,src=m,dst=/m".split(),
        *"--dns 1.1.1.1 --dns-search x --dns-option y --add-host a:1.2.3.4".split(),
        *"--restart on-failure:3 --stop-signal INT --stop-timeout 7 --init".split(),
        *"--group-add 9 --sysctl net.core.somaxconn=9".split(),
        *"--expose 81 -p 127.0.0.1:8080:80/udp --label k=v --entrypoint cat -t -i".split(),
        *"--health-cmd true --health-interval 9s --log-opt max-size=1m".split(),
        *annotation,
        *"--storage-opt size=1G --oom-score-adj 5".split(),
        *"busybox arg".split(),
    )
    assert outcome.status == 0, outcome.err
    (shown,) = json.loads((await cli("inspect", "all")).out)
    host, config = shown["HostConfig"], shown["Config"]
    assert sorted(host["Binds"]) == ["/tmp:/b", "vol:/v:ro"]  # the command sorts at random
    assert host["Mounts"] == [{"Type": "volume", "Source": "m", "Target": "/m"}]
    assert host["Tmpfs"] == {"/t": "size=1m"}
    assert host["NanoCpus"] == 1_500_000_000
    assert host["Ulimits"] == [{"Name": "nofile", "Hard": 20, "Soft": 10}]
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert host["PortBindings"] == {"80/udp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert host["ExtraHosts"] == ["a:1.2.3.4"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert [name.removeprefix("CAP_") for name in host["CapAdd"]] == ["NET_ADMIN"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert (config["Hostname"], config["User"], config["WorkingDir"]) == ("h1", "5:6", "/w")
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 9_000_000_000}
    assert (config["StopSignal"], config["StopTimeout"]) == ("INT", 7)
    assert set(config["ExposedPorts"]) == {"80/udp", "81/tcp"}
    spec = served[0].containers.get("all").spec
    assert spec.storage_size_bytes == 1 << 30
    assert spec.kernel == ("mine" if annotation else "")
    assert (spec.tty, spec.open_stdin, spec.init) == (True, True, True)


@needs_docker
@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("--network host", "HostConfig.NetworkMode 'host' is not supported"),
        ("--pid host", "HostConfig.PidMode 'host' is not supported"),
        ("--ipc host", "HostConfig.IpcMode 'host' is not supported"),
        ("--uts host", "HostConfig.UTSMode is not supported"),
        ("--gpus all", "HostConfig.DeviceRequests is not supported"),
        ("--cgroup-parent x", "HostConfig.CgroupParent is not supported"),
        ("--blkio-weight 100", "HostConfig.BlkioWeight is not supported"),
        ("--runtime runc", "unknown or invalid runtime name: runc"),
        ("-m 1m", "Minimum memory limit allowed is 6MB"),
        ("--cgroupns host", "HostConfig.CgroupnsMode 'host' is not supported"),
        ("--log-driver syslog", 'plugin "syslog" not found'),
    ],
)
async def test_what_a_vm_cannot_do_is_refused_by_name(cli: Docker, flags: str, text: str) -> None:
    outcome = await cli("create", *flags.split(), "busybox")
    assert outcome.status != 0
    assert text in outcome.err


@needs_docker
async def test_pull_images_tag_and_rmi(cli: Docker) -> None:
    pulled = await cli("pull", "other")
    assert pulled.status == 0, pulled.err
    assert pulled.out.splitlines()[-1] == "docker.io/library/other:latest"
    missing = await cli("pull", "missing")
    assert (missing.status, missing.err) == (
        1,
        "Error response from daemon: No such image: missing:latest\n",
    )
    broken = await cli("pull", "broken")
    assert (broken.status, broken.err) == (
        1,
        "Error response from daemon: registry: connection refused\n",
    )
    assert (await cli("tag", "other", "mine:1")).status == 0
    listed = (await cli("images", "--format", "{{.Repository}}:{{.Tag}}")).out.split()
    assert sorted(listed) == ["busybox:latest", "mine:1", "other:latest"]
    assert "Untagged: mine:1" in (await cli("rmi", "mine:1")).out
    assert "ADD x /" in (await cli("history", "busybox")).out


@needs_docker
async def test_save_and_load(served: Served, cli: Docker, run_dir: Path) -> None:
    archive = run_dir / "image.tar"
    assert (await cli("save", "-o", str(archive), "busybox")).status == 0
    assert archive.stat().st_size == 9000
    loaded = await cli("load", "-i", str(archive))
    assert loaded == Outcome(0, "Loaded image: busybox:latest\n", "")
    assert served[0].images.loaded_bytes == 9000


@needs_docker
async def test_info_version_df_and_what_a_lone_engine_answers(cli: Docker) -> None:
    info = await cli("info", "--format", "{{.Driver}} {{.Swarm.LocalNodeState}} {{.OSType}}")
    assert info.out == "squashfs inactive linux\n"
    version = await cli("version", "--format", "{{.Server.APIVersion}} {{.Server.Os}}")
    assert version.out == "1.50 linux\n"
    assert (await cli("system", "df")).status == 0
    assert (await cli("network", "ls", "--format", "{{.Name}}")).out.split() == [
        "bridge",
        "host",
        "none",
    ]
    assert "This node is not a swarm manager" in (await cli("node", "ls")).err
    assert (await cli("plugin", "ls", "-q")).out == ""
    assert "user-mode network" in (await cli("network", "create", "x1")).err


@needs_docker
async def test_volumes(cli: Docker) -> None:
    assert (await cli("volume", "create", "--label", "a=b", "data")).out == "data\n"
    assert (await cli("volume", "ls", "-q", "--filter", "label=a")).out == "data\n"
    (shown,) = json.loads((await cli("volume", "inspect", "data")).out)
    assert shown["Labels"] == {"a": "b"}
    # Without --all, an older command means named volumes too, as the API before 1.42 did.
    everything = await cli.if_known("volume prune", "--all")
    pruned = await cli("volume", "prune", "--force", *everything)
    assert pruned.out.startswith("Deleted Volumes:\ndata\n")
    assert "no such volume" in (await cli("volume", "inspect", "data")).err.lower()


@needs_docker
async def test_events_of_the_past(cli: Docker) -> None:
    await cli("run", "--rm", "--name", "e1", "busybox", "true")
    # The command asks with whole seconds, so the present one has to be over.
    until = str(int(time.time()) + 1)
    shown = await cli(
        "events", "--since", "1h", "--until", until, "--format", "{{.Action}}", "-f", "container=e1"
    )
    assert shown.out.split() == ["create", "start", "die", "destroy"]


async def _in_thread(work: Any, *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, lambda: work(*args))


def _use_docker_py(url: str) -> None:
    api = docker.DockerClient(base_url=url, version="auto")
    try:
        assert api.ping()
        assert api.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
        with pytest.raises(docker.errors.ContainerError) as failed:
            api.containers.run("busybox", "both", remove=True)
        assert failed.value.exit_status == 3
        with pytest.raises(docker.errors.ImageNotFound):
            api.images.get("nowhere")
        with pytest.raises(docker.errors.NotFound):
            api.containers.get("nowhere")
        _use_a_container(api)
        assert api.images.pull("other").tags == ["other:latest"]
        assert api.info()["OSType"] == "linux"
        assert api.volumes.create("data").name == "data"
        assert [network.name for network in api.networks.list()] == ["bridge", "host", "none"]
    finally:
        api.close()


def _use_a_container(api: docker.DockerClient) -> None:
    container = api.containers.run(
        "busybox", "cat", name="web", detach=True, stdin_open=True, labels={"a": "b"},
        volumes={"/tmp": {"bind": "/b", "mode": "ro"}}, ports={"80/tcp": 8080}, mem_limit="64m",
        environment={"K": "V"}, tmpfs={"/t": ""}, ulimits=[], dns=["1.1.1.1"], cap_add=["SYS_TIME"],
    )  # fmt: skip
    assert container.status == "created"
    container.reload()
    assert (container.status, container.labels) == ("running", {"made": "here", "a": "b"})
    assert api.containers.list(filters={"label": "a=b"}) == [container]
    assert container.exec_run(["both"]).exit_code == 3
    assert container.exec_run(["both"], demux=True).output == (b"out\n", b"err\n")
    socket = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    socket._sock.sendall(b"hello")
    assert socket._sock.recv(100) == b"\1\0\0\0\0\0\0\5hello"
    socket.close()
    assert container.logs() == b"hello"
    assert container.top()["Titles"][1] == "PID"
    assert container.stats(stream=False)["name"] == "/web"
    container.kill()
    assert container.wait() == {"StatusCode": 137}
    container.remove()


async def test_docker_py(client: Client) -> None:
    await _in_thread(_use_docker_py, f"unix://{client.path}")
