"""Many containers started, exec'd and removed by one client: nothing is left in the daemon."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import docker
import pytest

from tests.support import leaks
from tests.support.daemon import Daemon

pytestmark = pytest.mark.vm
COUNT = 100
AT_ONCE = 4
WAITING = 2
GROWTH_BYTES = 24 << 20
GIVEN_UP_S = 150.0  # longer than a VM of the pool may take to answer before it is ended
_CLONES = {"hyper": {"accelerator": "tcg", "templates": True, "pool": {"waiting": WAITING}}}


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def _client(daemon: Daemon) -> docker.DockerClient:
    return docker.DockerClient(base_url=f"unix://{daemon.socket}", max_pool_size=AT_ONCE)


def _life(client: docker.DockerClient, number: int) -> None:
    """Create, start, exec, stop and remove one container, as a test suite's client would."""
    container = client.containers.run(
        "busybox", ["sleep", "1000"], name=f"many-{number}", detach=True, stop_signal="SIGKILL"
    )
    result = container.exec_run(["sh", "-c", f"echo {number}; exit 3"])
    assert (result.exit_code, result.output) == (3, b"%d\n" % number)
    assert container.logs() == b""
    container.stop()
    assert container.wait()["StatusCode"] == 137
    container.remove()


def _all(daemon: Daemon, numbers: range) -> float:
    began = time.monotonic()
    with (
        closing(_client(daemon)) as client,
        ThreadPoolExecutor(AT_ONCE) as workers,
    ):
        list(workers.map(lambda number: _life(client, number), numbers))
        assert client.containers.list(all=True) == []
    return time.monotonic() - began


def test_nothing_is_left_of_many_containers(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    daemon = start_daemon(_CLONES)
    daemon.hyper("load", "--quiet", "--input", str(busybox_archive))

    def rested() -> bool:
        """Whether all VMs there are wait in the pool."""
        pool = daemon.run_dir / "pool"
        return len(daemon.vmms()) == WAITING == len(leaks.files_named(pool, "vmm.json"))

    _all(daemon, range(AT_ONCE * 2))  # caches, connections, threads and templates exist by now
    assert leaks.settle(lambda: not rested(), 60), "the pool does not fill"
    before, memory, processes = (
        daemon.snapshot(),
        _resident(daemon.pid),
        len(leaks.processes_naming(str(daemon.run_dir))),
    )
    seconds = _all(daemon, range(100, 100 + COUNT))
    assert leaks.settle(lambda: not rested(), 60), "VMs are left"

    def left() -> list[str]:
        return before.leaks(daemon.snapshot())

    leaks.settle(left, GIVEN_UP_S)
    assert left() == [], daemon.log_tail()
    assert len(leaks.processes_naming(str(daemon.run_dir))) == processes
    grown = _resident(daemon.pid) - memory
    print(f"{COUNT} containers in {seconds:.1f} s; hyperd grew by {grown >> 10} KiB")
    assert grown < GROWTH_BYTES
    left = [path for path in daemon.root.rglob("*") if "many-" in path.name]
    assert not left and not [*(daemon.root / "containers").iterdir()]
