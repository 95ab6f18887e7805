"""Volumes as directories, whatever a container left in them."""

import os
from pathlib import Path

import pytest

from hyper.core.errors import Conflict, InvalidArgument, NotFound
from hyper.storage.volumes import Volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "volumes")


async def test_create_list_remove(volumes: Volumes, tmp_path: Path) -> None:
    assert volumes.names() == []
    data = volumes.create("data")
    (data / "file").write_text("kept")
    assert data == tmp_path / "volumes" / "data" / "_data"
    assert volumes.create("data") == data and (data / "file").read_text() == "kept"
    assert volumes.exists("data") and volumes.names() == ["data"]
    await volumes.remove("data")
    assert not volumes.exists("data") and volumes.names() == []


async def test_what_does_not_exist_is_not_found(volumes: Volumes) -> None:
    with pytest.raises(NotFound, match="get nothing: no such volume"):
        await volumes.remove("nothing")
    with pytest.raises(NotFound):
        await volumes.usage_bytes("nothing")


@pytest.mark.parametrize("name", ["", "a", "../x", "a/b", ".hidden", "..", "x\0y", "-rf"])
async def test_a_name_cannot_lead_elsewhere(volumes: Volumes, name: str) -> None:
    with pytest.raises(InvalidArgument):
        volumes.create(name)
    with pytest.raises(InvalidArgument):
        await volumes.remove(name)


async def test_no_symlink_is_followed(volumes: Volumes, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(bytes(1000))
    data = volumes.create("data")
    (data / "link").symlink_to(outside)
    (data / "file").write_bytes(bytes(10))
    assert await volumes.usage_bytes("data") < 500
    await volumes.remove("data")
    assert (outside / "precious").exists()
    (tmp_path / "volumes" / "planted").symlink_to(outside)
    assert volumes.names() == []
    with pytest.raises(Conflict):
        volumes.create("planted")


async def test_usage_counts_hard_links_once_and_goes_deep(volumes: Volumes) -> None:
    data = volumes.create("data")
    (data / "a").write_bytes(bytes(1000))
    os.link(data / "a", data / "b")
    deep = data
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "c").write_bytes(bytes(500))
    assert await volumes.usage_bytes("data") == 1500


async def test_a_tree_too_deep_for_recursion_is_measured_and_removed(volumes: Volumes) -> None:
    data = volumes.create("data")
    position = os.open(data, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=position)
        inner = os.open("d", os.O_RDONLY, dir_fd=position)
        os.close(position)
        position = inner
    os.close(position)
    assert await volumes.usage_bytes("data") == 0
    await volumes.remove("data")
    assert volumes.names() == []
