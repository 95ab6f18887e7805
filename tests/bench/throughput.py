"""Owns what a container gets through: TCP to its host, and its own disk. More is better."""

import json
import subprocess
import sys
from collections.abc import Callable

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
