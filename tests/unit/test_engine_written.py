"""The note of what a container had written: whose run it is of, and what makes it worthless."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hyper.engine import written
from hyper.engine.views import Status


@pytest.fixture
def container(tmp_path: Path) -> Any:
    return SimpleNamespace(
        folder=tmp_path, rw_disk=tmp_path / "rw.ext4", status=Status(started_ns=5)
    )


def test_a_container_without_a_disk_has_written_nothing(container: Any) -> None:
    written.put(container, 7)
    assert written.get(container) == 0


def test_a_note_holds_for_its_run(container: Any) -> None:
    container.rw_disk.touch()
    assert written.get(container) is None
    written.put(container, 7)
    assert written.get(container) == 7
    container.status = Status(started_ns=6)
    assert written.get(container) is None


@pytest.mark.parametrize("text", ["", "5", "5 ", "5 x\n", "x 7\n"])
def test_a_note_that_is_not_whole_is_none(container: Any, text: str) -> None:
    container.rw_disk.touch()
    (container.folder / "written").write_text(text)
    assert written.get(container) is None


def test_a_dropped_note_is_gone(container: Any) -> None:
    container.rw_disk.touch()
    written.put(container, 7)
    written.drop(container)
    written.drop(container)
    assert written.get(container) is None
