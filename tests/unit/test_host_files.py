"""Files: whole or absent, private, sparse; trees removed whatever is in them."""

import os
import resource
import signal
from pathlib import Path

import pytest

from hyper.core.errors import Failure, Forbidden, Unavailable
from hyper.host import files
from hyper.host.files import (
    atomic_write,
    disk_errors,
    free_bytes,
    private_directory,
    remove_tree,
    sparse_copy,
)


def test_atomic_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    atomic_write(target, b"one")
    atomic_write(target, b"two", mode=0o644, fsync=False)
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "state.json"
    atomic_write(target, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unavailable, match=r"No space left on device: .* free; free some space"):
        atomic_write(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_quota_that_ends_half_way_leaves_nothing(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(Failure, match="cannot write"):
            atomic_write(tmp_path / "big", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert os.listdir(tmp_path) == []


def test_disk_errors_name_the_file_and_the_reason() -> None:
    with pytest.raises(Failure, match="cannot open: /nowhere: Permission denied"):
        with disk_errors(Path("/nowhere"), "open"):
            raise PermissionError(13, "Permission denied")


def test_private_directory_is_made_and_tightened(tmp_path: Path) -> None:
    path = private_directory(tmp_path / "a" / "b")
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o755)
    private_directory(path)
    assert path.stat().st_mode & 0o777 == 0o700


def test_private_directory_refuses_symlinks_and_files(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(Forbidden):
            private_directory(tmp_path / name)


def test_private_directory_refuses_another_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(Forbidden, match="belongs to user"):
        private_directory(tmp_path)


@pytest.mark.parametrize("clone", [True, False], ids=["clone if possible", "copy"])
def test_sparse_copy_keeps_holes_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clone: bool
) -> None:
    if not clone:
        monkeypatch.setattr(files, "FICLONE", 0)
    source, target = tmp_path / "source", tmp_path / "target"
    with open(source, "wb") as file:
        for offset in (0, 5 << 20, 64 << 20):
            file.seek(offset)
            file.write(b"data" * 2000)
        file.truncate(200 << 20)
    sparse_copy(source, target)
    assert target.stat().st_size == 200 << 20
    assert target.stat().st_blocks * 512 < 1 << 20
    with open(target, "rb") as file:
        for offset in (0, 5 << 20, 64 << 20):
            file.seek(offset)
            assert file.read(8001) == b"data" * 2000 + b"\0"


def test_sparse_copy_of_a_missing_file_makes_no_target(tmp_path: Path) -> None:
    with pytest.raises(Failure):
        sparse_copy(tmp_path / "none", tmp_path / "target")
    assert os.listdir(tmp_path) == []


def test_remove_tree_takes_everything_and_follows_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "link").symlink_to(tmp_path / "kept")
    (tree / "link").symlink_to("/")
    os.mkfifo(tree / "a" / "b" / "fifo")
    (tree / "a" / "b").chmod(0)
    (tree / "a").chmod(0o500)
    remove_tree(tree)
    remove_tree(tree)
    assert sorted(os.listdir(tmp_path)) == ["kept"]
    assert (tmp_path / "kept" / "file").exists()
    (tmp_path / "link").symlink_to("kept")
    remove_tree(tmp_path / "link")
    assert sorted(os.listdir(tmp_path)) == ["kept"]


def test_remove_tree_needs_few_descriptors_for_a_deep_tree(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    position = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=position)
        inner = os.open("d", os.O_RDONLY, dir_fd=position)
        os.close(position)
        position = inner
    os.close(position)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, hard))
    try:
        remove_tree(top)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not top.exists()


def test_free_bytes_of_what_does_not_exist_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") > 0
