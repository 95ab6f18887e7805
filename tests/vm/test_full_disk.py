"""A host without space: VMs stand still, go on by themselves, and can be removed to free some."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyper.engine.reserve import SIZE_BYTES
from hyper.host.files import free_bytes
from tests.support.daemon import Daemon

pytestmark = pytest.mark.root

_ROOT_MIB = 192
_WRITER = """
    until [ -e /go ]; do sleep 0.1; done
    dd if=/dev/urandom of=/big bs=1M count=48 2>/dev/null; sync; md5sum </big >/sum; echo ok
    sleep 600
"""


@pytest.fixture
def small(guest_artifacts: tuple[Path, Path], busybox_archive: Path) -> Iterator[Daemon]:
    """Return a daemon whose root is a small file system of its own, with busybox."""
    daemon = Daemon()
    daemon.root.mkdir()
    options = ["-o", f"size={_ROOT_MIB}m,mode=700"]
    subprocess.run(["mount", "-t", "tmpfs", *options, "none", daemon.root], check=True)
    try:
        daemon.start()
        daemon.hyper("load", "--quiet", "--input", str(busybox_archive))
        yield daemon
    finally:
        print(daemon.log_tail(30))
        subprocess.run(["umount", "--lazy", daemon.root], check=True)
        daemon.destroy()


def _fill(daemon: Daemon, left_bytes: int) -> Path:
    """Take the space of the daemon's root but so much, and return the file that does."""
    path = daemon.root / "filler"
    with path.open("ab") as file:
        size = free_bytes(daemon.root) - left_bytes
        if size > 0:
            os.posix_fallocate(file.fileno(), path.stat().st_size, size)
    return path


def _until(holds: Callable[[], bool], what: str, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _said(daemon: Daemon, text: str) -> int:
    return daemon.log.read_text().count(text)


def test_a_vm_stands_still_without_space_and_goes_on_with_some(
    small: Daemon, tmp_path: Path
) -> None:
    small.hyper("run", "-d", "--name", "writer", "busybox", "sh", "-c", _WRITER)
    filler = _fill(small, left_bytes=16 << 20)
    small.hyper("exec", "writer", "touch", "/go")
    _until(lambda: bool(_said(small, "the VM stands still")), "it did not stand still")
    failed = small.hyper("exec", "writer", "true", status=None)
    assert failed.status and "the host's disk is full: free some space" in failed.error
    small.kill()
    small.start()
    _until(lambda: _said(small, "the VM stands still:") == 2, "it was not taken over")
    filler.unlink()
    _until(lambda: "ok" in small.hyper("logs", "writer").stdout, "it did not go on")
    _until(lambda: bool(_said(small, "the VM goes on")), "that it goes on was not said")
    small.hyper("stop", "--time", "0", "writer")  # so that it is read from the disk
    for name in ("big", "sum"):
        small.hyper("cp", f"writer:/{name}", str(tmp_path))
    digest = hashlib.md5((tmp_path / "big").read_bytes(), usedforsecurity=False).hexdigest()
    assert (tmp_path / "sum").read_text().split()[0] == digest
    assert _said(small, "the VM goes on") == 1


@pytest.mark.parametrize("how", [("kill",), ("rm", "--force")], ids=lambda how: how[0])
def test_what_takes_the_space_can_be_ended(small: Daemon, how: tuple[str, ...]) -> None:
    argv = ("run", "-d", "--restart", "always", "--name")
    small.hyper(*argv, "writer", "busybox", "sh", "-c", _WRITER)
    small.hyper("create", "--name", "other", "busybox", "true")
    _fill(small, left_bytes=16 << 20)
    small.hyper("exec", "writer", "touch", "/go")
    _until(lambda: bool(_said(small, "the VM stands still")), "it did not stand still")
    _fill(small, left_bytes=0)
    small.hyper(*how, "writer")
    assert not small.vmms()
    if how == ("kill",):
        state = small.hyper(
            "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "writer"
        )
        assert state.stdout == "exited 137\n"
    small.hyper("rm", "other")
    (small.root / "filler").unlink()
    _until(lambda: (small.root / "reserve").stat().st_blocks * 512 == SIZE_BYTES, "no reserve")
