"""Pods from clones: they really are clones, and no two share what must be a machine's own."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon
from tests.support.segments import assert_offloads_work

CONFIG = {"hyper": {"accelerator": "tcg", "pool": {"waiting": 2}}}
NO_FORKS = {"hyper": {"accelerator": "tcg", "pool": {"waiting": 2}, "forks": False}}
# One line each: what two machines never have in common.
IDENTITY = (
    "cat /proc/sys/kernel/random/boot_id",
    "head -c 32 /dev/urandom | md5sum",
    "cat /proc/sys/kernel/random/uuid",
    "cat /sys/class/net/eth0/address",
    "hostname",
    # where programs and their stacks are
    "head -n 1 /proc/self/maps; grep stack /proc/self/maps",
    # the 16 random bytes every program starts with (getauxval(3), AT_RANDOM) lead to its canary
    "cat /proc/self/stat | md5sum",
)
CLOCK_ERROR_S = 0.05
GATEWAY = "172.17.0.1"


def _waiting(daemon: Daemon) -> int:
    """Return how many clones are ready; those that still rehearse are not."""
    return int(daemon.hyper("pool", "ls", "--format", "{{.Waiting}}").stdout or 0)


def _daemon_with_pool(
    start_daemon: Callable[..., Daemon], archive: Path, config: dict[str, object] = CONFIG
) -> Daemon:
    daemon = start_daemon(config)
    daemon.hyper("load", "--quiet", "--input", str(archive))
    daemon.hyper("run", "--rm", "busybox", "true")
    assert leaks.settle(lambda: _waiting(daemon) != 2, limit_s=90)
    return daemon


@pytest.mark.parametrize("config", [CONFIG, NO_FORKS], ids=["forks", "processes"])
def test_clones_share_nothing_of_their_own(
    start_daemon: Callable[..., Daemon], busybox_archive: Path, config: dict[str, object]
) -> None:
    daemon = _daemon_with_pool(start_daemon, busybox_archive, config)
    forked = daemon.hyper("pool", "ls", "--format", "{{.Zygote}}").stdout.strip()
    assert forked == ("yes" if config is CONFIG else "-")
    waiting = daemon.vmms()
    names = ("first", "second")
    for name in names:
        daemon.hyper("run", "-d", "--name", name, "busybox", "sleep", "600")
    assert len(waiting - _pool_pids(daemon)) == 2, "the containers did not get waiting clones"
    for line in IDENTITY:
        first, second = (daemon.hyper("exec", name, "sh", "-c", line).stdout for name in names)
        assert first and first != second, line
    for name in names:
        _assert_clock_is_right(daemon, name)
        _assert_no_trace_of_the_rehearsal(daemon, name)
        assert " 0% packet loss" in daemon.hyper("exec", name, "ping", "-c", "1", GATEWAY).stdout
    if os.geteuid() == 0:  # else there may be no taps
        assert_offloads_work(daemon.hyper, daemon.run_dir, ["first", "second"])


def _assert_clock_is_right(daemon: Daemon, name: str) -> None:
    before = time.time()
    said = daemon.hyper("exec", name, "adjtimex").stdout
    after = time.time()
    values = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    values = {key.strip(): value.split()[0] for key, value in values.items() if value.strip()}
    clock = int(values["time.tv_sec"]) + int(values["time.tv_usec"]) / 1e6
    assert before - CLOCK_ERROR_S <= clock <= after + CLOCK_ERROR_S


def _assert_no_trace_of_the_rehearsal(daemon: Daemon, name: str) -> None:
    """Nothing of what a clone did while it waited is left in it, nor on the host."""
    look = "ip address; ip route; ip neigh; mount; hostname; ps; cat /proc/*/cgroup"
    said = daemon.hyper("exec", name, "sh", "-c", look).stdout
    assert "169.254." not in said and "rehearsal" not in said
    assert said.count("inet6 fe80:") <= 1  # that of the MAC it has now
    assert not list((daemon.run_dir / "pods").rglob("rehearsal*"))


def test_waiting_clones_end_with_the_daemon_and_taken_ones_do_not(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    daemon = _daemon_with_pool(start_daemon, busybox_archive)
    waiting = daemon.vmms()
    daemon.hyper("run", "-d", "--name", "taken", "busybox", "sleep", "600")
    taken = {pid for pid in waiting if pid not in _pool_pids(daemon)}
    assert len(taken) == 1, "the container did not get a waiting clone"
    daemon.stop()
    assert daemon.vmms() == taken
    daemon.start()
    assert daemon.hyper("exec", "taken", "echo", "here").stdout == "here\n"
    daemon.hyper("rm", "--force", "taken")


def _pool_pids(daemon: Daemon) -> set[int]:
    records = (daemon.run_dir / "pool").glob("pool-*/vmm.json")
    return {json.loads(path.read_text())["pid"] for path in records}


def test_the_pool_can_be_changed_while_it_is_used(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    daemon = _daemon_with_pool(start_daemon, busybox_archive)
    daemon.hyper("pool", "set", "--waiting", "1")
    assert leaks.settle(lambda: _waiting(daemon) != 1)
    daemon.hyper("pool", "set", "--waiting", "0")
    assert leaks.settle(lambda: _waiting(daemon) != 0 or daemon.vmms())
    assert "257" in daemon.hyper("pool", "set", "--waiting", "257", status=1).error


def test_clones_start_whatever_their_ports(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    """Each published port is one descriptor more in a VMM, and the memory's number moves."""
    daemon = start_daemon({"hyper": {"accelerator": "tcg", "pool": {"waiting": 0}}})
    daemon.hyper("load", "--quiet", "--input", str(busybox_archive))
    daemon.hyper("run", "--rm", "busybox", "true")
    assert leaks.settle(lambda: "MB" not in daemon.hyper("pool", "ls").stdout, limit_s=90)
    for ports in ((), ("-p", "0:80"), ("-p", "0:80", "-p", "0:81", "-p", "0:82/udp"), ()):
        assert daemon.hyper("run", "--rm", *ports, "busybox", "echo", "up").stdout == "up\n"


def test_a_run_is_one_request_and_spawns_no_process(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    daemon = _daemon_with_pool(start_daemon, busybox_archive)
    daemon.hyper("pool", "set", "--waiting", "1")  # the one that is taken is not replaced meanwhile
    assert leaks.settle(lambda: _waiting(daemon) != 1)
    daemon.hyper("pool", "set", "--waiting", "1")
    start = daemon.log.stat().st_size
    assert daemon.hyper("run", "--rm", "busybox", "echo", "hi").stdout == "hi\n"
    said = daemon.log.read_bytes()[start:].decode()
    before_end = said.partition("stopping")[0].splitlines()
    assert len([line for line in before_end if " api.server: " in line]) == 1
    assert not [line for line in before_end if " host.process: " in line]
