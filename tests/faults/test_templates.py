"""What happens to templates when things break: half made, damaged, made by two at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from hyper.hypervisor.templates import Templates
from tests.support import leaks
from tests.support.daemon import Daemon

StartDaemon = Callable[..., Daemon]
CONFIG = {"hyper": {"accelerator": "tcg", "templates": True, "pool": {"waiting": 0}}}
MAKE_S = 90


def _with_busybox(start_daemon: StartDaemon, archive: Path) -> Daemon:
    daemon = start_daemon(CONFIG)
    daemon.hyper("load", "--quiet", "--input", str(archive))
    daemon.hyper("run", "--rm", "busybox", "true")
    return daemon


def _complete(daemon: Daemon) -> list[Path]:
    return list((daemon.root / "templates").glob("[!.]*"))


def _half_made(daemon: Daemon) -> list[Path]:
    return list((daemon.root / "templates").glob(".making-*"))


def test_a_template_half_made_when_its_daemon_was_killed_is_made_anew(
    start_daemon: StartDaemon, busybox_archive: Path
) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    assert leaks.settle(lambda: not _half_made(daemon), MAKE_S)
    assert not _complete(daemon), "it was made before it could be interrupted"
    daemon.kill()
    daemon.start()
    assert leaks.settle(lambda: daemon.vmms(), MAKE_S), "the VM of the half template goes on"
    assert daemon.hyper("run", "--rm", "busybox", "echo", "hi").stdout == "hi\n"
    assert leaks.settle(lambda: not _complete(daemon), MAKE_S)
    assert leaks.settle(lambda: _half_made(daemon) or daemon.vmms(), MAKE_S)
    assert daemon.hyper("run", "--rm", "busybox", "echo", "hi").stdout == "hi\n"


def test_a_damaged_template_costs_no_start_and_is_made_anew(
    start_daemon: StartDaemon, busybox_archive: Path
) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    assert leaks.settle(lambda: not _complete(daemon), MAKE_S)
    (template,) = _complete(daemon)
    state = template / "state"
    damaged = state.read_bytes()[:1000]
    state.write_bytes(damaged)
    for _ in range(4):  # after three failures it is not trusted any more
        said = daemon.hyper("run", "--rm", "busybox", "echo", "hi", status=None)
        assert said.stdout == "hi\n" or "did not start" in said.stderr
    daemon.hyper("run", "--rm", "busybox", "true")
    assert not state.exists() or state.read_bytes() != damaged
    assert daemon.hyper("run", "--rm", "busybox", "echo", "hi").stdout == "hi\n"


async def test_many_makers_at_once_leave_one_whole_template(tmp_path: Path) -> None:
    makers = [Templates(tmp_path / "t") for _ in range(8)]
    made: list[int] = []

    async def make(number: int) -> None:
        async with makers[number].making("key") as directory:
            if directory is None:
                return
            (directory / "memory").write_bytes(bytes([number]) * 4096)
            await asyncio.sleep(0.01)
            (directory / "state").write_bytes(bytes([number]) * 10)
            made.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(make(number), name=f"maker {number}")
    assert len(made) == 1
    found = makers[0].find("key")
    assert found is not None
    assert {path.name for path in found.iterdir()} == {"memory", "state"}
    assert (found / "state").read_bytes() == bytes(made) * 10
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["key"]
