"""Which pods may use one disk at the same time."""

from pathlib import Path

import pytest

from hyper.core.errors import Conflict, NotFound
from hyper.engine.disk_use import DiskUses, Use, disk_identity, memory_identity


def _use(pod: str, *, read_only: bool, name: str = "data") -> Use:
    return Use(pod, f"pod {pod}", name, read_only)


@pytest.fixture
def disk(tmp_path: Path) -> tuple[int | str, ...]:
    (tmp_path / "disk").touch()
    (tmp_path / "link").symlink_to("disk")
    assert disk_identity(str(tmp_path / "link")) == disk_identity(str(tmp_path / "disk"))
    return disk_identity(str(tmp_path / "disk"))


@pytest.mark.parametrize(("first", "second"), [(False, False), (False, True), (True, False)])
def test_a_pod_that_writes_has_a_disk_for_itself(
    disk: tuple[int | str, ...], first: bool, second: bool
) -> None:
    uses = DiskUses()
    uses.claim(disk, "volume data", _use("a", read_only=first))
    with pytest.raises(Conflict, match=r"volume data: pod a (reads|writes to) it"):
        uses.claim(disk, "volume data", _use("b", read_only=second))
    assert [use.pod_id for use in uses.users(disk)] == ["a"]
    uses.release("a")
    uses.claim(disk, "volume data", _use("b", read_only=second))


def test_many_may_read_a_disk_and_one_pod_use_it_twice(disk: tuple[int | str, ...]) -> None:
    uses = DiskUses()
    for pod in "aab":
        uses.claim(disk, "volume data", _use(pod, read_only=True))
    assert [use.pod_id for use in uses.users(disk)] == ["a", "b"]
    uses.release("b")
    with pytest.raises(Conflict, match="pod a has it read-only already"):
        uses.claim(disk, "volume data", _use("a", read_only=False))


def test_a_pod_gives_up_what_it_does_not_keep(disk: tuple[int | str, ...]) -> None:
    uses = DiskUses()
    uses.claim(disk, "volume data", _use("a", read_only=False))
    uses.claim(memory_identity("mem"), "volume mem", _use("a", read_only=False, name="mem"))
    uses.release("a", kept=("mem",))
    assert not uses.users(disk)
    with pytest.raises(Conflict, match="volume mem: it is in the memory of pod a"):
        uses.claim(memory_identity("mem"), "volume mem", _use("b", read_only=True))


def test_a_disk_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no such disk image: .*nothing \(no such file"):
        disk_identity(str(tmp_path / "nothing"))
