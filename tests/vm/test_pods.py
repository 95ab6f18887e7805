"""Two containers in one pod: one VM, one network; each its own root, processes and end."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon, Result

Hyper = Callable[..., Result]


@pytest.fixture
def pod(hyper: Hyper) -> Iterator[str]:
    """Return the name of a pod in which the container `first` runs."""
    container = hyper("run", "-d", "--name", "first", "busybox", "sleep", "600").stdout.strip()
    yield container[:12]


def _join(hyper: Hyper, pod: str, *arguments: str, status: int | None = 0) -> Result:
    return hyper("run", "--annotation", f"hyper.pod={pod}", *arguments, status=status)


def test_they_share_one_vm_and_its_network(daemon: Daemon, hyper: Hyper, pod: str) -> None:
    hyper("exec", "-d", "first", "sh", "-c", "echo from-first | nc -l -p 7000")
    kernel = "/proc/sys/kernel/random/boot_id"
    assert leaks.settle(
        lambda: "7000" not in hyper("exec", "first", "netstat", "-ltn").stdout, limit_s=20
    )
    seen = _join(hyper, pod, "--rm", "busybox", "sh", "-c", f"cat {kernel}; nc 127.0.0.1 7000")
    assert seen.lines == [hyper("exec", "first", "cat", kernel).stdout.strip(), "from-first"]
    assert len(daemon.vmms()) == 1


def test_each_has_its_own_root_and_processes(hyper: Hyper, pod: str) -> None:
    hyper("exec", "first", "touch", "/of-first")
    script = "ls /of-first 2>/dev/null; ps -o comm | grep -c sleep; echo $$"
    assert _join(hyper, pod, "--rm", "busybox", "sh", "-c", script).lines == ["0", "1"]


def test_one_ends_and_the_other_goes_on(daemon: Daemon, hyper: Hyper, pod: str) -> None:
    vmms = daemon.vmms()
    _join(hyper, pod, "--name", "second", "busybox", "sh", "-c", "echo brief; exit 4", status=4)
    assert hyper("logs", "second").stdout == "brief\n"
    assert hyper("exec", "first", "echo", "here").stdout == "here\n"
    hyper("start", "-a", "second", status=4)
    assert hyper("logs", "second").lines == ["brief", "brief"]
    hyper("rm", "second")
    hyper("stop", "--time", "0", "first")
    assert leaks.settle(daemon.vmms) and vmms


def test_one_out_of_memory_does_not_kill_its_neighbour(hyper: Hyper, pod: str) -> None:
    hog = "x=a; while :; do x=$x$x; done"
    _join(hyper, pod, "--name", "hog", "-m", "24m", "busybox", "sh", "-c", hog, status=137)
    state = json.loads(hyper("inspect", "hog").stdout)[0]["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    assert hyper("exec", "first", "echo", "here").stdout == "here\n"


@pytest.mark.root
def test_a_running_pod_opens_and_closes_ports_with_its_containers(hyper: Hyper, pod: str) -> None:
    answer = "while true; do echo late | nc -l -p 80; done"
    _join(hyper, pod, "--name", "late", "-d", "-p", "127.0.0.1::80", "busybox", "sh", "-c", answer)
    address, _, port = hyper("port", "late", "80").stdout.strip().rpartition(":")
    assert _read(address, int(port)) == b"late\n"
    assert hyper("exec", "first", "echo", "here").stdout == "here\n"
    hyper("rm", "-f", "late")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, int(port)), timeout=60)


def _read(address: str, port: int) -> bytes:
    """Return what a service says; its pod may not listen yet."""
    for _ in range(100):
        with socket.create_connection((address, port), timeout=60) as connection:
            with contextlib.suppress(ConnectionResetError):
                if said := connection.recv(100):
                    return said
        time.sleep(0.1)
    raise AssertionError(f"nothing answers at {address}:{port}")


def test_a_pod_that_is_not_there_is_said(hyper: Hyper) -> None:
    assert "No such pod: nowhere" in _join(hyper, "nowhere", "busybox", "true", status=125).error
