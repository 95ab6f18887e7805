"""Both ends of the agent protocol: AgentClient and hyperstart as an ordinary process."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyper.agent import capabilities as caps
from hyper.agent import messages as m
from hyper.agent.client import AgentClient
from hyper.agent.seccomp import default_program
from hyper.agent.streams import STDERR, STDIN, STDOUT, OutputStream
from hyper.core.errors import GuestError
from tests.support.guest_builds import build
from tests.support.userland import BUSYBOX

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc"),
]

LAYER = m.Device(bus=255, index=0)  # a directory: hyperstart, disks.h
MAIN = 100
APPLETS = "sh echo cat seq sleep mount id true kill"


@pytest.fixture(scope="module")
def hyperstart() -> Path:
    """Return hyperstart, built with the address sanitizer."""
    return build("asan") / "hyperstart.asan"


@pytest.fixture
async def agent_socket(hyperstart: Path, run_dir: Path) -> AsyncIterator[Path]:
    """Return the socket of a hyperstart with one layer: busybox."""
    layer = run_dir / "run" / "test-layers" / "0"
    for name in ("bin", "tmp", "etc", "proc", "dev", "sys"):
        (layer / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, layer / "bin" / "busybox")
    for name in APPLETS.split():
        (layer / "bin" / name).symlink_to("busybox")
    path = run_dir / "agent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        number = listener.fileno()
        process = subprocess.Popen(
            [hyperstart, "--test-fd", str(number), run_dir / "run"], pass_fds=[number]
        )
    try:
        yield path
        assert process.poll() is None, "hyperstart has ended by itself"
    finally:
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def agent(
    path: Path, *, resume: bool = False, main: bool = True
) -> AsyncIterator[AgentClient]:
    """Give a running client whose guest has the container `c`, and a first process in it."""
    client = await AgentClient.connect(path, resume=resume, timeout_s=60)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        try:
            if not resume:
                mounts = (m.Mount(kind=3, destination="/proc"),)
                await client.request(
                    m.ContainerCreate(container="c", layers=(LAYER,), mounts=mounts)
                )
            if main and not resume:
                client.stream(MAIN, STDOUT)
                client.stream(MAIN, STDERR)
                await client.request(start(MAIN, "/bin/sleep", "1000", main=True))
            yield client
        finally:
            await client.close()


def start(process_id: int, *args: str, stdin: bool = False, main: bool = False) -> m.ProcessStart:
    return m.ProcessStart(
        container="c",
        process_id=process_id,
        main=main,
        args=args,
        env=("PATH=/bin",),
        cwd="/",
        umask=0o022,
        stdin=stdin,
        capabilities=caps.DEFAULT,
        seccomp=default_program(caps.DEFAULT),
    )


async def drain(output: OutputStream) -> bytes:
    content = b""
    async for offset, chunk in output:
        assert offset == len(content)
        content += chunk
        output.ack(len(content))
    return content


async def exit_of(client: AgentClient, process_id: int) -> m.ProcessExited:
    async for event in client.events:
        if isinstance(event, m.ProcessExited) and event.process_id == process_id:
            await client.acknowledge_exit(process_id)
            return event
    raise AssertionError("the connection ended before the process")


async def run(
    client: AgentClient, process_id: int, *args: str, stdin: bytes | None = None
) -> tuple[bytes, bytes, m.ProcessExited]:
    """Run a process in the container and return its output and end."""
    stdout, stderr = client.stream(process_id, STDOUT), client.stream(process_id, STDERR)
    source = None if stdin is None else client.stream(process_id, STDIN)
    await client.request(start(process_id, *args, stdin=stdin is not None))
    async with asyncio.TaskGroup() as tasks:
        out, err = tasks.create_task(drain(stdout)), tasks.create_task(drain(stderr))
        if source is not None and stdin is not None:
            await source.write(stdin)
            await source.close()
    return out.result(), err.result(), await exit_of(client, process_id)


async def test_output_status_and_signal_of_processes(agent_socket: Path) -> None:
    async with agent(agent_socket) as client:
        out, err, ended = await run(client, 1, "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
        assert (out, err, ended.exit_code, ended.signal) == (b"out\n", b"err\n", 3, 0)
        _, _, ended = await run(client, 2, "/bin/sh", "-c", "kill -9 $$")
        assert (ended.exit_code, ended.signal) == (0, 9)


async def test_megabytes_both_ways(agent_socket: Path) -> None:
    content = os.urandom(3_000_000)
    async with agent(agent_socket) as client:
        out, _, _ = await run(client, 1, "/bin/cat", stdin=content)
        assert out == content


async def test_a_missing_program_is_enoent_of_exec(agent_socket: Path) -> None:
    async with agent(agent_socket) as client:
        client.stream(1, STDOUT)
        with pytest.raises(GuestError) as caught:
            await client.request(start(1, "/bin/nothing"))
        assert (caught.value.errno, caught.value.step) == (2, "exec")
        client.forget(1)
        out, _, _ = await run(client, 2, "/bin/echo", "still alive")
        assert out == b"still alive\n"


async def test_the_default_seccomp_program_is_in_force(agent_socket: Path) -> None:
    async with agent(agent_socket) as client:
        _, err, ended = await run(client, 1, "/bin/mount", "-t", "tmpfs", "none", "/tmp")
        assert ended.exit_code != 0 and b"permission denied" in err
        out, _, _ = await run(client, 2, "/bin/cat", "/proc/self/status")
        assert b"Seccomp:\t2\n" in out


async def test_a_reconnect_loses_no_byte_and_no_exit(agent_socket: Path) -> None:
    script = "for i in $(seq 1 2000); do echo line $i; done; read x; echo $x; exit 7"
    expected = b"".join(b"line %d\n" % number for number in range(1, 2001)) + b"go\n"
    async with agent(agent_socket, main=False) as client:
        output = client.stream(1, STDOUT)
        client.stream(1, STDERR)
        client.stream(1, STDIN)
        await client.request(start(1, "/bin/sh", "-c", script, stdin=True, main=True))
        stored = b""
        while len(stored) < 5000:
            stored += (await anext(output))[1]
    client = await AgentClient.connect(agent_socket, resume=True, timeout_s=60)
    [state] = client.welcome.processes
    assert (state.process_id, state.running, state.container) == (1, True, "c")
    output = client.stream(1, STDOUT, resume_offset=len(stored))
    stderr = client.stream(1, STDERR, resume_offset=0)
    stdin = client.stream(1, STDIN, resume_offset=state.stdin_received)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        await stdin.write(b"go\n")
        async for offset, chunk in output:
            assert offset == len(stored)
            stored += chunk
            output.ack(len(stored))
        assert stored == expected
        assert await drain(stderr) == b""
        assert (await exit_of(client, 1)).exit_code == 7
        await client.close()


async def test_an_unacknowledged_exit_is_told_again(agent_socket: Path) -> None:
    async with agent(agent_socket) as client:
        output, stderr = client.stream(1, STDOUT), client.stream(1, STDERR)
        await client.request(start(1, "/bin/echo", "kept"))
        assert await drain(output) == b"kept\n" and await drain(stderr) == b""
        assert isinstance(await anext(client.events), m.ProcessExited)
    async with agent(agent_socket, resume=True) as client:
        running = {state.process_id: state.running for state in client.welcome.processes}
        assert running == {1: False, MAIN: True}
        output = client.stream(1, STDOUT, resume_offset=5)
        client.stream(1, STDERR, resume_offset=0).discard()
        assert [chunk async for chunk in output] == []
        assert (await exit_of(client, 1)).exit_code == 0
    async with agent(agent_socket, resume=True) as client:
        assert [state.process_id for state in client.welcome.processes] == [MAIN]
