"""Pods from clones: they really are clones, and no two share what must be a machine's own."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import leaks
from tests.support.daemon import Daemon

CONFIG = {"hyper": {"accelerator": "tcg", "pool": {"waiting": 2}}}
IDENTITY = (
    "cat /proc/sys/kernel/random/boot_id; head -c 32 /dev/urandom | md5sum;"
    " cat /proc/sys/kernel/random/uuid; cat /sys/class/net/eth0/address; hostname"
)


def _waiting(daemon: Daemon) -> set[str]:
    return {path.parent.name for path in (daemon.run_dir / "pool").glob("pool-*/vmm.json")}


def _daemon_with_pool(start_daemon: Callable[..., Daemon], archive: Path) -> Daemon:
    daemon = start_daemon(CONFIG)
    daemon.hyper("load", "--quiet", "--input", str(archive))
    daemon.hyper("run", "--rm", "busybox", "true")
    assert leaks.settle(lambda: len(_waiting(daemon)) != 2, limit_s=60)
    return daemon


def test_clones_share_nothing_of_their_own(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    daemon = _daemon_with_pool(start_daemon, busybox_archive)
    waiting = daemon.vmms()
    names = ("first", "second")
    for name in names:
        daemon.hyper("run", "-d", "--name", name, "busybox", "sleep", "600")
    assert len(waiting - _pool_pids(daemon)) == 2, "the containers did not get waiting clones"
    seen = [daemon.hyper("exec", name, "sh", "-c", IDENTITY).lines for name in names]
    for first, second in zip(*seen, strict=True):
        assert first != second
    before = time.time()
    clock = float(daemon.hyper("exec", "second", "date", "+%s").stdout)
    assert int(before) <= clock <= time.time()


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
