"""The directory of templates: complete or absent, one maker at a time, evicted."""

import os
import time
from pathlib import Path

import pytest

from hyper.hypervisor.templates import Templates


async def make(templates: Templates, key: str, size_bytes: int = 4096) -> bool:
    async with templates.making(key) as directory:
        if directory is None:
            return False
        (directory / "memory").write_bytes(b"x" * size_bytes)
    return True


async def test_a_template_appears_when_it_is_complete(tmp_path: Path) -> None:
    templates = Templates(tmp_path / "t")
    async with templates.making("k") as directory:
        assert directory is not None
        (directory / "memory").write_bytes(b"m")
        assert templates.find("k") is None
    found = templates.find("k")
    assert found is not None and (found / "memory").read_bytes() == b"m"
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["k"]


async def test_a_failed_template_leaves_nothing(tmp_path: Path) -> None:
    templates = Templates(tmp_path / "t")
    with pytest.raises(ValueError):
        async with templates.making("k") as directory:
            assert directory is not None
            (directory / "memory").write_bytes(b"m")
            raise ValueError
    assert list((tmp_path / "t").iterdir()) == []


async def test_two_daemons_make_a_template_once(tmp_path: Path) -> None:
    one, other = Templates(tmp_path / "t"), Templates(tmp_path / "t")
    async with one.making("k") as directory:
        assert directory is not None
        assert not await make(other, "k")
        (directory / "memory").write_bytes(b"mine")
    found = other.find("k")
    assert found is not None and (found / "memory").read_bytes() == b"mine"


async def test_a_complete_template_is_not_made_again(tmp_path: Path) -> None:
    templates = Templates(tmp_path / "t")
    assert await make(templates, "k")
    assert not await make(templates, "k")


async def test_the_rest_of_a_crash_is_taken_over(tmp_path: Path) -> None:
    templates = Templates(tmp_path / "t")
    rest = tmp_path / "t" / ".making-k"
    rest.mkdir()
    (rest / "memory").write_bytes(b"half")
    (rest / "state").write_bytes(b"half")
    assert await make(templates, "k")
    found = templates.find("k")
    assert found is not None and [path.name for path in found.iterdir()] == ["memory"]


async def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    templates = Templates(tmp_path / "t")
    for age_s, key in ((30, "old"), (20, "middle"), (10, "new")):
        await make(templates, key, 8192)
        os.utime(tmp_path / "t" / key, (time.time() - age_s,) * 2)
    templates.use("old")  # now the newest
    assert templates.evict(2 * 8192, 3600.0) == ["middle"]
    assert {template.key for template in templates.list()} == {"old", "new"}


async def test_unused_templates_go_by_age(tmp_path: Path) -> None:
    templates = Templates(tmp_path / "t")
    await make(templates, "k")
    os.utime(tmp_path / "t" / "k", (time.time() - 100,) * 2)
    assert templates.evict(1 << 30, 50.0) == ["k"]


async def test_eviction_clears_crashes_but_not_what_is_being_made(tmp_path: Path) -> None:
    one, other = Templates(tmp_path / "t"), Templates(tmp_path / "t")
    (tmp_path / "t" / ".making-dead").mkdir()
    async with one.making("k") as directory:
        assert directory is not None
        other.evict(1 << 30, 3600.0)
        assert directory.exists() and not (tmp_path / "t" / ".making-dead").exists()


async def test_what_is_no_folder_is_no_template(tmp_path: Path) -> None:
    templates = Templates(tmp_path / "t")
    assert await make(templates, "k")
    (tmp_path / "t" / "notes").write_text("somebody's")
    assert [template.key for template in templates.list()] == ["k"]
    assert templates.evict(1 << 30, 3600.0) == []
