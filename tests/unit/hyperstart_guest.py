"""Owns a hyperstart under test: the ASan build as an ordinary process, with a busybox to run."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hyperstart_client import Host, start

from hyper.agent import messages as m
from tests.support.guest_builds import build

ROOT = Path(__file__).resolve().parents[2]
TEST_DIRECTORY_BUS = 255  # disks.h, BUS_TEST_DIRECTORY

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and namespaces need root")
needs_musl = pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="needs musl-gcc")
needs_busybox = pytest.mark.skipif(
    shutil.which("busybox") is None, reason="needs a static busybox (Debian: busybox-static)"
)


def make_layer(path: Path) -> None:
    """Make a root file system from the host's static busybox."""
    for name in ("bin", "etc", "tmp", "root", "data/below"):
        (path / name).mkdir(parents=True)
    (path / "tmp").chmod(0o1777)
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, path / "bin/busybox")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    for applet in set(listed.stdout.split()) - {"busybox"}:
        (path / "bin" / applet).symlink_to("busybox")
    (path / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n"
    )
    (path / "etc/group").write_text("root:x:0:\nbob:x:1000:\nextra:x:2000:bob\n")
    (path / "data/file").write_text("from the image\n")


@contextmanager
def hyperstart(directory: Path, *, listening: bool = False) -> Iterator[socket.socket]:
    """Run hyperstart; give its connection, or the address to connect to. It must end cleanly."""
    program = build("asan") / "hyperstart.asan"
    if listening:
        ours = socket.socket(socket.AF_UNIX)
        theirs = socket.socket(socket.AF_UNIX)
        theirs.bind(str(directory / "agent.sock"))
        theirs.listen(1)
    else:
        ours, theirs = socket.socketpair()
    log = directory / "stderr"
    with log.open("wb") as stderr, ours, theirs:
        command = [str(program), "--test-fd", str(theirs.fileno()), str(directory)]
        environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99"}
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stderr=stderr, env=environment
        )
        theirs.close()
        try:
            yield ours
        except BaseException:
            process.kill()
            process.wait()
            print(log.read_text(errors="replace"))
            raise
        ours.close()
        try:
            status = process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert status == 0, log.read_text(errors="replace")


def create(host: Host, name: str = "c1", **fields: object) -> None:
    """Create a container of the one test layer, its changes on a tmpfs."""
    layer = m.Device(TEST_DIRECTORY_BUS, 0)
    values: dict[str, object] = {"container": name, "layers": (layer,)}
    host.request(m.ContainerCreate(**(values | fields)))  # type: ignore[arg-type]


@contextmanager
def greeted_host(directory: Path) -> Iterator[Host]:
    """Give a host that has said hello to a fresh hyperstart with the busybox layer."""
    layer = directory / "test-layers/0"
    if not layer.exists() and shutil.which("busybox"):
        make_layer(layer)
    with hyperstart(directory) as connection:
        host = Host(connection)
        host.hello()
        yield host
        host.request(m.PodShutdown())


def run(host: Host, number: int, *args: str, **fields: object) -> m.ProcessExited:
    """Start a process and return how it ended."""
    host.request(start(number, *args, **fields))  # type: ignore[arg-type]
    return host.exited(number)


def shell(host: Host, number: int, script: str, **fields: object) -> str:
    """Run a shell script as a process and return what it wrote to stdout."""
    run(host, number, "sh", "-c", script, **fields)
    return host.stdout(number).decode()
