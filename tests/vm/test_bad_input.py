"""Bad input and a bad world: one clear line each, the right exit status, nothing left behind."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon, Result
from tests.support.userland import Entry, ImageRecipe, busybox_layer, save

Hyper = Callable[..., Result]
StartDaemon = Callable[..., Daemon]


def test_unknown_image_when_not_pulling(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "--pull", "never", "nosuch:1", "true", status=125)
    assert "No such image: nosuch:1" in result.stderr


def test_registry_down(hyper: Hyper) -> None:
    result = hyper("pull", "127.0.0.1:1/some/image", status=1)
    assert "127.0.0.1:1" in result.error
    assert "refused" in result.error


def test_malformed_reference(hyper: Hyper) -> None:
    assert "invalid reference format" in hyper("pull", "Not:A:Reference", status=1).error


def test_wrong_architecture(hyper: Hyper, tmp_path: Path) -> None:
    foreign = b"\x7fELF\x02\x02\x01".ljust(16, b"\0") + (2).to_bytes(2) + (22).to_bytes(2)  # s390x
    layer = [Entry("bin"), Entry("bin/true", foreign.ljust(4096, b"\0"))]
    archive = save([ImageRecipe("otherarch:1", [layer], architecture="s390x")], tmp_path / "a.tar")
    hyper("load", "--input", str(archive))
    result = hyper("run", "--rm", "otherarch:1", "/bin/true", status=None)
    assert result.status in (125, 126, 127)
    assert "exec format error" in result.stderr
    hyper("rmi", "otherarch:1")


def test_no_command_at_all(hyper: Hyper, tmp_path: Path) -> None:
    recipe = ImageRecipe("nocommand:1", [busybox_layer()], config={"Cmd": None})
    hyper("load", "--input", str(save([recipe], tmp_path / "none.tar")))
    assert "No command specified" in hyper("run", "--rm", "nocommand:1", status=125).stderr
    hyper("rmi", "nocommand:1")


def test_not_an_archive(hyper: Hyper, tmp_path: Path) -> None:
    path = tmp_path / "noise.tar"
    path.write_bytes(os.urandom(4096))
    assert len(hyper("load", "--input", str(path), status=1).error) < 300


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--nosuch", "busybox"),
        ("nosuch",),
        ("run", "-m", "lots", "busybox", "true"),
        ("run", "--cpus", "-1", "busybox", "true"),
        ("run", "-v", "relative/path:relative", "busybox", "true"),
        ("run", "--name", "bad name", "busybox", "true"),
        ("stop",),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_wrong_flags(hyper: Hyper, arguments: tuple[str, ...]) -> None:
    result = hyper(*arguments, status=None)
    assert result.status in (1, 125)
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert hyper("ps", "--all", "--quiet").stdout == ""


def test_no_daemon(run_dir: Path) -> None:
    daemon = Daemon(folder=run_dir)
    result = daemon.hyper("ps", status=1)
    assert str(daemon.socket) in result.error


def test_kernel_path_that_does_not_exist(hyper: Hyper) -> None:
    result = hyper("run", "--rm", "--kernel", "/nosuch/vmlinux", "busybox", "true", status=125)
    assert "/nosuch/vmlinux" in result.stderr


def test_kernel_that_is_not_a_kernel(daemon: Daemon, tmp_path: Path) -> None:
    noise = tmp_path / "vmlinux"
    noise.write_bytes(os.urandom(4096))
    result = daemon.hyper("run", "--rm", "--kernel", str(noise), "busybox", "true", status=125)
    assert str(noise) in result.error


def test_no_guest_kernel(start_daemon: StartDaemon, busybox_archive: Path) -> None:
    daemon = start_daemon(environment={"HYPER_KERNEL": "/nosuch/vmlinux"})
    daemon.hyper("load", "--input", str(busybox_archive))
    result = daemon.hyper("run", "--rm", "busybox", "true", status=125)
    assert "/nosuch/vmlinux" in result.error
    assert daemon.hyper("ps", "--all", "--quiet").stdout == ""


def test_no_qemu(start_daemon: StartDaemon, busybox_archive: Path) -> None:
    qemu = {"accelerator": "tcg", "qemu": "/nosuch/qemu-system-x86_64"}
    daemon = start_daemon({"hyper": qemu})
    daemon.hyper("load", "--input", str(busybox_archive))
    result = daemon.hyper("run", "--rm", "busybox", "true", status=125)
    assert "/nosuch/qemu-system-x86_64 is missing: install the package qemu" in result.error
    assert daemon.hyper("ps", "--all", "--quiet").stdout == ""
    assert not list((daemon.run_dir / "pods").iterdir())


def test_full_disk(start_daemon: StartDaemon, busybox_archive: Path) -> None:
    """A store that may not grow: RLIMIT_FSIZE makes every large write fail, as a full disk does."""
    daemon = start_daemon()
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (100 * 1024, hard))
    before = {path for path in daemon.root.rglob("*") if path.is_file()}
    result = daemon.hyper("load", "--input", str(busybox_archive), status=1)
    assert "file too large" in result.error.lower()
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert daemon.hyper("images", "--quiet").stdout == ""
    left = {path for path in daemon.root.rglob("*") if path.is_file()} - before
    assert sum(path.stat().st_size for path in left) < 100 * 1024, sorted(left)
    daemon.hyper("load", "--quiet", "--input", str(busybox_archive))


def test_nothing_is_mounted_on_the_host(daemon: Daemon) -> None:
    before = leaks.mounts()
    daemon.hyper("run", "-d", "-v", "some:/data", "--tmpfs", "/t", "busybox", "sleep", "600")
    assert leaks.settle(lambda: leaks.mounts() - before)  # those of other programs come and go
    daemon.remove_containers()
    daemon.hyper("volume", "rm", "--force", "some", status=None)
