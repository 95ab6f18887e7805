"""Much output and input: nothing grows, nothing is lost, a slow client hinders no other stream."""

import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

SIZES = (
    pytest.param(48, id="48MiB"),
    pytest.param(1024, id="1GiB", marks=pytest.mark.soak),
)
MIB = 1 << 20
GROWTH_BYTES = 40 * MIB
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Watch:
    """The largest resident memory of a process seen while it was watched."""

    pid: int
    peak: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def resident(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.peak = max(self.peak, self.resident())


@contextmanager
def bounded_memory(daemon: Daemon) -> Iterator[None]:
    """Fail when the daemon's memory grows by more than a few buffers meanwhile."""
    watch = Watch(daemon.pid)
    before = watch.resident()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield
    finally:
        watch.ended.set()
        thread.join()
    grown = watch.peak - before
    assert grown < GROWTH_BYTES, f"hyperd grew by {grown / MIB:.0f} MiB"


def _attach(daemon: Daemon, path: str) -> socket.socket:
    """Return a hijacked connection behind its head."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(daemon.socket))
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        "Content-Length: 0\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return connection


@pytest.mark.parametrize("mib", SIZES)
def test_printing_much_does_not_grow_the_daemon(daemon: Daemon, mib: int) -> None:
    flood = f"dd if=/dev/zero bs=64k count={mib * 16} 2>/dev/null"
    with bounded_memory(daemon):
        daemon.hyper("create", "--name", "flood", "busybox", "sh", "-c", flood)
        connection = _attach(daemon, "/containers/flood/attach?stream=1&stdout=1")
        daemon.hyper("start", "flood")
        received = 0
        with connection, connection.makefile("rb", buffering=MIB) as stream:
            while header := stream.read(8):
                assert header[:4] == b"\1\0\0\0"
                length = int.from_bytes(header[4:], "big")
                assert stream.read(length).count(0) == length
                received += length
        assert received == mib * MIB
    with bounded_memory(daemon):
        reader = daemon.popen("logs", "flood")
        assert reader.stdout is not None
        logged = 0
        while chunk := reader.stdout.read1(MIB):
            logged += len(chunk)
        assert reader.wait() == 0
        assert logged == mib * MIB


@pytest.mark.parametrize("mib", SIZES)
def test_a_binary_stdin_arrives_byte_for_byte(daemon: Daemon, tmp_path: Path, mib: int) -> None:
    source = tmp_path / "random"
    sent = hashlib.sha256()
    with source.open("wb") as file:
        for _ in range(mib):
            block = os.urandom(MIB)
            sent.update(block)
            file.write(block)
    with bounded_memory(daemon), source.open("rb") as stdin:
        cat = daemon.popen(
            "run", "--rm", "-i", "--log-driver", "none", "busybox", "cat", stdin=stdin.fileno()
        )
        assert cat.stdout is not None
        received, size = hashlib.sha256(), 0
        while chunk := cat.stdout.read1(MIB):
            received.update(chunk)
            size += len(chunk)
        assert cat.wait() == 0
    assert size == mib * MIB
    assert received.hexdigest() == sent.hexdigest()


def _received(connection: socket.socket) -> tuple[int, bytes]:
    """Return how many zeros an attached client gets until the end, and what else."""
    zeros, rest = 0, b""
    with connection, connection.makefile("rb", buffering=MIB) as stream:
        while header := stream.read(8):
            data = stream.read(int.from_bytes(header[4:], "big"))
            zeros += data.count(0)
            rest += data.strip(b"\0")
    return zeros, rest


def test_a_client_that_does_not_read_hinders_nobody(daemon: Daemon) -> None:
    mib = 24
    flood = f"dd if=/dev/zero bs=64k count={mib * 16} 2>/dev/null; echo tick >&2"
    with bounded_memory(daemon):
        daemon.hyper("create", "--name", "two", "busybox", "sh", "-c", flood)
        stalled = _attach(daemon, "/containers/two/attach?stream=1&stdout=1&stderr=1")
        reading = _attach(daemon, "/containers/two/attach?stream=1&stdout=1&stderr=1")
        daemon.hyper("start", "two")
        received: list[tuple[int, bytes]] = []
        reader = threading.Thread(target=lambda: received.append(_received(reading)))
        reader.start()
        # The end comes though one client has read nothing; the log is whole, and so is what the
        # other client gets.
        assert daemon.hyper("wait", "two").stdout == "0\n"
        reader.join(60)
        assert received == [(mib * MIB, b"tick\n")]
        assert len(daemon.hyper("logs", "two").stdout) == mib * MIB
        assert _received(stalled) == (mib * MIB, b"tick\n")
        daemon.hyper(
            "create", "--name", "one", "--log-driver", "none", "busybox", "sh", "-c", flood
        )
        with _attach(daemon, "/containers/one/attach?stream=1&stdout=1"):
            daemon.hyper("start", "one")
            assert daemon.hyper("wait", "one").stdout == "0\n"


@pytest.mark.parametrize("driver", ["json-file", "local"])
@pytest.mark.parametrize("mib", [pytest.param(12), pytest.param(1024, marks=pytest.mark.soak)])
def test_rotation_bounds_the_log(daemon: Daemon, driver: str, mib: int) -> None:
    options = ("--log-driver", driver, "--log-opt", "max-size=1m", "--log-opt", "max-file=3")
    flood = f"dd if=/dev/zero bs=64k count={mib * 16} 2>/dev/null | tr '\\0' x; echo; echo the end"
    follower: subprocess.Popen[bytes] | None = None
    daemon.hyper("run", "-d", "--name", "big", *options, "busybox", "sh", "-c", flood)
    follower = daemon.popen("logs", "--follow", "--tail", "1", "big", stdout=subprocess.DEVNULL)
    assert daemon.hyper("wait", "big", timeout_s=600).stdout == "0\n"
    assert follower.wait(60) == 0
    (folder,) = (daemon.root / "containers").iterdir()
    logs = sorted(folder.glob("output.log*"))
    assert [path.name for path in logs] == ["output.log", "output.log.1", "output.log.2"]
    assert all(path.stat().st_size <= 1.1 * 1000 * 1000 for path in logs)
    assert daemon.hyper("logs", "--tail", "1", "big").stdout == "the end\n"
    kept = len(daemon.hyper("logs", "big").stdout)
    assert 2 * 1000 * 1000 < kept <= 3.1 * 1000 * 1000
