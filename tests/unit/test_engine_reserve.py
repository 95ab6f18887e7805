"""The state database on a full disk: written with the space held in reserve, which is taken again.

Each test has a small file system of its own.
"""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyper.core.errors import Failure
from hyper.engine.events import Event
from hyper.engine.reserve import PIECE_BYTES, SIZE_BYTES, Reserve
from hyper.engine.store import Store
from hyper.host.files import free_bytes

pytestmark = pytest.mark.root

EVENT = Event("container", "create", "c" * 64, (("long", "x" * 4096),), time_ns=5)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of 64 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(disk: Path) -> Path:
    """Take all space that is left, and return the file that has it."""
    path = disk / "filler"
    with path.open("ab") as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), path.stat().st_size, free_bytes(disk))
    assert not free_bytes(disk)
    return path


def held(disk: Path) -> int:
    """Return what is really allocated."""
    return (disk / "reserve").stat().st_blocks * 512


async def test_what_a_full_disk_refuses_is_written_with_the_reserve(disk: Path) -> None:
    store = Store(disk / "state.db")
    assert held(disk) == SIZE_BYTES
    filler = fill(disk)
    for _ in range(64):
        await store.call(store.put_events, [EVENT])
    assert 0 < held(disk) < SIZE_BYTES and not store.reserve.whole
    assert len(await store.call(store.events, 5, 5)) == 64
    filler.unlink()
    await store.call(store.reserve.take)
    assert held(disk) == SIZE_BYTES and store.reserve.whole
    store.close()


async def test_what_nobody_waits_for_is_written_with_it_too(disk: Path) -> None:
    store = Store(disk / "state.db")
    fill(disk)
    for _ in range(64):
        store.post(store.put_events, [EVENT])
    assert len(await store.call(store.events, 5, 5)) == 64
    store.close()


async def test_without_a_reserve_it_is_refused_and_the_next_change_is_not(disk: Path) -> None:
    store = Store(disk / "state.db")
    (disk / "reserve").unlink()
    filler = fill(disk)
    with pytest.raises(Failure, match=r"cannot write the state database: .*full"):
        for _ in range(4096):
            await store.call(store.put_events, [EVENT])
    before = len(await store.call(store.events, 5, 5))
    filler.unlink()
    await store.call(store.put_events, [EVENT])
    assert len(await store.call(store.events, 5, 5)) == before + 1
    store.close()


def test_a_database_is_opened_on_a_full_disk(disk: Path) -> None:
    Store(disk / "state.db").close()
    fill(disk)
    store = Store(disk / "state.db")
    store.put_events([])
    assert held(disk) == SIZE_BYTES - PIECE_BYTES
    store.close()


def test_a_damaged_database_costs_no_reserve(disk: Path) -> None:
    Store(disk / "state.db").close()
    (disk / "state.db").write_text("not a database, not at all " * 100)
    with pytest.raises(Failure, match="cannot open") as failed:
        Store(disk / "state.db")
    assert isinstance(failed.value.__cause__, sqlite3.DatabaseError)
    assert held(disk) == SIZE_BYTES


def test_it_is_not_taken_from_a_disk_that_is_nearly_full(disk: Path) -> None:
    (disk / "filler").write_bytes(bytes(40 << 20))
    reserve = Reserve(disk / "reserve")
    reserve.take()
    assert not reserve.whole and not (disk / "reserve").exists() and not reserve.give()
