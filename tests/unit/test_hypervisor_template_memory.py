"""The memory of templates that a daemon keeps loaded: the right one, and of a few alone."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyper.core.spec import VmSpec
from hyper.hypervisor.drivers.qemu import template
from hyper.hypervisor.drivers.qemu.boot import Engine, Source
from hyper.hypervisor.launcher import Launcher
from tests.support import leaks

ENGINE = Engine("/qemu", "7.2", "tcg", jailed=True)


@pytest.fixture
async def cloned(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[bytes]]:
    """Take the place of starting VMMs; return what memory each would have begun with."""
    seen: list[bytes] = []

    async def boot(spec: VmSpec, engine: Engine, launcher: Launcher, source: Source) -> object:
        seen.append(os.pread(source.memory_fd, 100, 0))
        return None, None

    monkeypatch.setattr(template, "boot_with", boot)
    yield seen


def _make(directory: Path, text: bytes, when_ns: int) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / template.MEMORY).write_bytes(text)
    (directory / template.STATE).write_bytes(text)
    os.utime(directory / template.STATE, ns=(when_ns, when_ns))
    return directory


def _spec(folder: Path) -> VmSpec:
    return VmSpec("vm", 1, 1 << 28, Path("/k"), Path("/i"), folder)


def _loaded() -> int:
    return sum("memfd:template" in name for name in leaks.open_files(os.getpid()).values())


async def test_a_template_made_anew_is_loaded_anew_though_its_inode_is_the_same(
    tmp_path: Path, cloned: list[bytes]
) -> None:
    templates = template.Templates(Launcher())
    before = _loaded()
    for number in range(2):
        directory = _make(tmp_path / "t", b"made %d" % number, 10**18 + number)
        await templates.clone(_spec(tmp_path), ENGINE, directory)
        await templates.clone(_spec(tmp_path), ENGINE, directory)
    assert cloned == [b"made 0", b"made 0", b"made 1", b"made 1"]
    assert _loaded() == before + 1


async def test_only_a_few_templates_stay_loaded(tmp_path: Path, cloned: list[bytes]) -> None:
    templates = template.Templates(Launcher())
    before = _loaded()
    names = [b"a", b"b", b"c", b"d", b"e", b"f", b"a"]
    for name in names:
        directory = _make(tmp_path / name.decode(), name, 10**18)
        await templates.clone(_spec(tmp_path), ENGINE, directory)
    assert cloned == names
    assert _loaded() <= before + 4
