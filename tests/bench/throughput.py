"""Owns what a container gets through: TCP to and from its host, and its own disk. More is better.

What `tcp` sends comes from busybox' nc, which reads a pipe 1 KiB at a time; where that is emulated,
it is the switches between the two processes that take the time. What `download` sends, httpd
leaves to the kernel.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.bench import contenders
from tests.bench.contenders import BenchError, Contender
from tests.bench.measure import Figure, alternate, timed
from tests.bench.running import Bench, each_of, running

MB = 1_000_000
_TCP_BYTES = 32 * 1024 * 1024
_DISK_BLOCKS = 128
_ROUNDS = 5
_SERVER_S = 120.0

# Takes one connection, counts and times what arrives; in the host's network.
_SERVER = """
import json, socket, time
listener = socket.create_server(("0.0.0.0", 0))
print(listener.getsockname()[1], flush=True)
listener.settimeout(60)
connection = listener.accept()[0]
count, begin = 0, time.perf_counter()
while data := connection.recv(1 << 20):
    count += len(data)
print(json.dumps([count, time.perf_counter() - begin]), flush=True)
"""
_CLIENT = f"dd if=/dev/zero bs=65536 count={_TCP_BYTES // 65536} 2> /dev/null | nc"
_SITE = (
    f"mkdir /site; dd if=/dev/zero of=/site/file bs=1M count={_TCP_BYTES >> 20} 2> /dev/null; "
    "exec httpd -f -p 80 -h /site"
)
# Asks until it is answered, then counts and times what arrives; in the host's network.
_DOWNLOAD = """
import http.client, json, sys, time
for _ in range(600):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
        connection.request("GET", "/file")
        reply = connection.getresponse()
        break
    except (OSError, http.client.HTTPException):
        time.sleep(0.1)
count, begin = 0, time.perf_counter()
while data := reply.read(1 << 20):
    count += len(data)
print(json.dumps([count, time.perf_counter() - begin]), flush=True)
"""
_WRITE = f"dd if=/dev/zero of=/file bs=1M count={_DISK_BLOCKS} conv=fsync 2> /dev/null; rm /file"


def tcp(bench: Bench) -> Figure:
    """Measure how fast a container sends to its host, until the host has it all."""

    def sampler(contender: Contender) -> Callable[[], float]:
        return lambda: _send(contender)

    series = alternate(min(bench.rounds, _ROUNDS), each_of(bench, sampler))
    title = f"TCP from container to host, {_TCP_BYTES >> 20} MiB (more is better)"
    return Figure("tcp", title, "MB/s", series)


def _send(contender: Contender) -> float:
    enter = ["nsenter", "--net", "--target", str(contender.namespace_pid())]
    server = subprocess.Popen(
        [*enter, sys.executable, "-c", _SERVER],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        options, host = contender.host()
        client = ("busybox", "sh", "-c", f"{_CLIENT} {host} {port}")
        contenders.run(contender, "run", "--rm", *options, *client)
        said, _ = server.communicate(timeout=_SERVER_S)
    finally:
        server.kill()
        server.wait()
    return _rate(contender, said)


def download(bench: Bench) -> Figure:
    """Measure how fast the host reads a file from a web server behind a published port."""

    def sampler(contender: Contender) -> Callable[[], float]:
        return lambda: _fetch(contender)

    with _sites(bench):
        series = alternate(min(bench.rounds, _ROUNDS), each_of(bench, sampler))
    title = f"TCP from a published port, {_TCP_BYTES >> 20} MiB (more is better)"
    return Figure("download", title, "MB/s", series)


@contextmanager
def _sites(bench: Bench) -> Iterator[None]:
    start = ("run", "--detach", "--name", "bench-site", "--publish", "127.0.0.1::80")
    try:
        for contender in bench.contenders:
            contenders.run(contender, *start, "busybox", "sh", "-c", _SITE)
        yield
    finally:
        for contender in bench.contenders:
            contenders.run(contender, "rm", "--force", "bench-site")


def _fetch(contender: Contender) -> float:
    enter = ["nsenter", "--net", "--target", str(contender.namespace_pid())]
    port = contenders.run(contender, "port", "bench-site", "80/tcp").strip().rpartition(":")[2]
    done = subprocess.run(
        [*enter, sys.executable, "-c", _DOWNLOAD, port],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SERVER_S,
    )
    if done.returncode:
        raise BenchError(f"{contender.name}: {done.stderr[-600:]}")
    return _rate(contender, done.stdout)


def _rate(contender: Contender, said: str) -> float:
    count, seconds = json.loads(said)
    if count != _TCP_BYTES:
        raise BenchError(f"{contender.name}: {count} of {_TCP_BYTES} bytes arrived")
    return float(count / seconds / MB)


def disk(bench: Bench) -> Figure:
    """Measure how fast a running container writes a file and has it synced; the exec included."""

    def sampler(contender: Contender) -> Callable[[], float]:
        command = ("exec", "bench-disk-0", "sh", "-c", _WRITE)
        size_mb = _DISK_BLOCKS * 1024 * 1024 / MB
        return lambda: size_mb / timed(lambda: contenders.run(contender, *command))

    with running(bench, "bench-disk"):
        series = alternate(min(bench.rounds, _ROUNDS), each_of(bench, sampler))
    title = f"write and sync of {_DISK_BLOCKS} MiB in a container (more is better)"
    return Figure("disk", title, "MB/s", series)
