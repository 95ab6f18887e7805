"""Kernels by name: copied whole, listed, kept while a pod needs them."""

from pathlib import Path

import pytest

from hyper.core.errors import Conflict, Failure, InvalidArgument, NotFound
from hyper.engine.kernels import Kernels

BANNER = b"\x7fELF" + bytes(60) + b"Linux version 6.1.0-test (me) #1\0"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinux"
    path.write_bytes(BANNER)
    return path


@pytest.fixture
def kernels(tmp_path: Path) -> Kernels:
    return Kernels(tmp_path / "kernels", tmp_path / "no-default")


async def test_an_added_kernel_is_a_copy_with_its_version(kernels: Kernels, source: Path) -> None:
    added = await kernels.add("mine", source)
    source.unlink()
    assert (added.name, added.version) == ("mine", "6.1.0-test")
    assert kernels.list() == [added]
    assert kernels.path("mine").read_bytes() == BANNER


async def test_a_taken_name_and_what_is_no_kernel_are_refused(
    kernels: Kernels, source: Path, tmp_path: Path
) -> None:
    await kernels.add("mine", source)
    with pytest.raises(Conflict, match="exists"):
        await kernels.add("mine", source)
    (tmp_path / "text").write_text("text")
    with pytest.raises(InvalidArgument, match="vmlinux ELF"):
        await kernels.add("other", tmp_path / "text")
    for name in ("../x", "default", ""):
        with pytest.raises(InvalidArgument, match="invalid kernel name"):
            await kernels.add(name, source)


async def test_a_kernel_a_pod_needs_stays(kernels: Kernels, source: Path) -> None:
    await kernels.add("mine", source)
    with pytest.raises(Conflict, match="used by web"):
        kernels.remove("mine", ["web"])
    kernels.remove("mine", [])
    with pytest.raises(NotFound):
        kernels.remove("mine", [])


async def test_a_copy_that_fails_leaves_nothing(
    kernels: Kernels, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hyper.engine.kernels.shutil.copyfile", full)
    with pytest.raises(Failure, match="No space left"):
        await kernels.add("mine", source)
    assert list((tmp_path / "kernels").iterdir()) == []


def test_a_kernel_that_was_replaced_has_its_new_version(tmp_path: Path, source: Path) -> None:
    kernels = Kernels(tmp_path / "kernels", source)
    assert kernels.list()[0].version == "6.1.0-test"
    source.write_bytes(BANNER.replace(b"6.1.0-test", b"6.6.0-other"))
    assert kernels.list()[0].version == "6.6.0-other"
