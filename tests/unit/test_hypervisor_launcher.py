"""The spawner: launching, descriptors, exit statuses, errors, the jail, and its own death."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hyper.core.errors import HyperError, HypervisorError
from hyper.hypervisor.jail import IDS, PASSTHROUGH, _first_of, jail_for, jail_works
from hyper.hypervisor.launcher import Jail, Launcher

SHELL = "/bin/sh"


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    launcher = Launcher()
    yield launcher
    await launcher.close()


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "output", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
async def jail(launcher: Launcher) -> Jail:
    try:
        await jail_works(launcher)
    except HyperError as err:
        pytest.skip(f"no user namespaces here: {err}")
    return jail_for("test", devices=(), network=False)[0]


async def run(launcher: Launcher, script: str, fds: list[int], jail: Jail | None = None) -> str:
    """Run a script to its end; return what it printed."""
    process = await launcher.launch([SHELL, "-c", script], fds, jail)
    await process.wait_exit()
    process.close()
    assert await launcher.exit_status(process.pid) == 0
    size = os.fstat(fds[0]).st_size
    return os.pread(fds[0], size, 0).decode()


async def test_a_process_gets_its_descriptors_and_no_others(
    launcher: Launcher, output: int, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("A")
    (tmp_path / "b").write_text("B")
    fds = [os.open(tmp_path / name, os.O_RDONLY) for name in "ab"]
    text = await run(launcher, "cat <&3; cat <&4; echo; ls /proc/$$/fd", [output, *fds])
    for fd in fds:
        os.close(fd)
    first, *numbers = text.split()
    assert first == "AB"
    assert {"0", "1", "2", "3", "4"} == set(numbers)


async def test_its_environment_is_empty(launcher: Launcher, output: int) -> None:
    text = await run(launcher, "tr '\\0' '\\n' </proc/self/environ", [output])
    # The shell itself sets PWD and the like for its children.
    assert not any(line.startswith(("PATH=", "HOME=", "USER=")) for line in text.splitlines())


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", -9)])
async def test_exit_statuses_arrive(
    launcher: Launcher, output: int, script: str, status: int
) -> None:
    process = await launcher.launch([SHELL, "-c", script], [output], None)
    await process.wait_exit()
    process.close()
    assert await launcher.exit_status(process.pid) == status
    assert await launcher.exit_status(process.pid) is None


@pytest.mark.parametrize("jailed", [False, True])
async def test_a_missing_program_is_an_error(
    launcher: Launcher, output: int, jail: Jail, jailed: bool
) -> None:
    with pytest.raises(HypervisorError, match="/none: No such file"):
        await launcher.launch(["/none"], [output], jail if jailed else None)


async def test_a_jail_has_its_own_processes_files_and_user(
    launcher: Launcher, output: int, jail: Jail
) -> None:
    text = await run(launcher, "echo $$; id -u; ls /; cat /proc/1/comm", [output], jail)
    pid, uid, *names, first = text.split()
    assert (pid, uid, first) == ("1", "0", "sh")
    assert {"usr", "proc", "dev", "share"} <= set(names)
    assert not {"etc", "home", "root", "tmp", "var"} & set(names)


async def test_a_jail_cannot_mount_nor_write_the_system(
    launcher: Launcher, output: int, jail: Jail
) -> None:
    script = "mount -t tmpfs none /proc; touch /usr/x; touch /share/x; ls /share; echo end"
    text = await run(launcher, script, [output], jail)
    assert text.count("permission denied") == 1 and text.count("Read-only file system") == 2
    assert text.splitlines()[-1] == "end"


async def test_the_network_of_a_jail_is_empty(launcher: Launcher, output: int, jail: Jail) -> None:
    text = await run(launcher, "cat /proc/net/route; grep -c : /proc/net/dev", [output], jail)
    assert text.splitlines()[-1] == "1"  # lo


async def test_a_share_is_mounted_where_nobody_else_sees_it(
    launcher: Launcher, output: int, jail: Jail, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").write_text("content")
    ready, go = os.pipe()
    script = "read line <&3; cat /share/name/file; echo >/share/name/new"
    process = await launcher.launch([SHELL, "-c", script], [output, ready], jail)
    await launcher.share_add(process.pid, "name", shared, False)
    # Of the other mounts some may come and go: those of who else uses this machine.
    assert f"{tmp_path.name}/shared" in Path(f"/proc/{process.pid}/mountinfo").read_text()
    assert f"{tmp_path.name}/shared" not in Path("/proc/self/mountinfo").read_text()
    os.write(go, b"\n")
    await process.wait_exit()
    process.close()
    assert os.pread(output, 100, 0) == b"content"
    assert (shared / "new").stat().st_uid == os.geteuid()
    os.close(ready)
    os.close(go)


async def test_processes_outlive_the_spawner(launcher: Launcher, output: int) -> None:
    process = await launcher.launch([SHELL, "-c", "sleep 60"], [output], None)
    await launcher.close()
    assert Path(f"/proc/{process.pid}").exists()
    await process.terminate(0)
    process.close()
    assert await launcher.exit_status(process.pid) is None
    other = await launcher.launch([SHELL, "-c", "exit 0"], [output], None)
    await other.wait_exit()
    other.close()


async def test_the_status_of_a_process_is_waited_for_while_the_spawner_is_busy(
    launcher: Launcher, output: int
) -> None:
    process = await launcher.launch([SHELL, "-c", "exec sleep 60"], [output], None)
    assert launcher._process is not None
    launcher._process.send_signal(signal.SIGSTOP)
    await process.terminate(0)
    process.close()
    status = asyncio.create_task(launcher.exit_status(process.pid))
    await asyncio.sleep(1)
    launcher._process.send_signal(signal.SIGCONT)
    assert await status == -9


async def test_nobody_waits_for_the_status_of_a_process_whose_spawner_dies(
    launcher: Launcher, output: int
) -> None:
    process = await launcher.launch([SHELL, "-c", "exec sleep 60"], [output], None)
    assert launcher._process is not None
    launcher._process.send_signal(signal.SIGSTOP)
    await process.terminate(0)
    process.close()
    status = asyncio.create_task(launcher.exit_status(process.pid))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await launcher.close()
        assert await status is None


async def test_a_dead_spawner_is_started_again(launcher: Launcher, output: int) -> None:
    await launcher.start()
    assert launcher._process is not None
    launcher._process.send_signal(signal.SIGKILL)
    await launcher._process.wait()
    assert await run(launcher, "echo again", [output]) == "again\n"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("user:100000:65536\n", 100000),
        ("other:1:65536\nuser:200000:65535\n", 200000),
        ("user:100000:1000\nuser:300000:70000\n", 300000),
        ("user:100000:1000\n", 0),
        ("user\nuser:x:y\n", 0),
        ("", 0),
    ],
)
def test_subordinate_ids_are_found_if_there_are_enough(
    tmp_path: Path, text: str, first: int
) -> None:
    path = tmp_path / "subuid"
    path.write_text(text)
    assert _first_of(path, {"user"}) == first


def test_no_subordinate_ids_without_the_file(tmp_path: Path) -> None:
    assert _first_of(tmp_path / "none", {"user"}) == 0


def test_vms_of_root_have_ids_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    one, model = jail_for("one", devices=(), network=False)
    other, _ = jail_for("other", devices=(), network=False)
    assert one.uid_map != other.uid_map and one.drop_groups and model == PASSTHROUGH
    assert all(jail.first_id >= 0x70000000 for jail in (one, other))
    assert all(jail.first_id + IDS <= 1 << 31 for jail in (one, other))


async def test_many_launches_at_once(launcher: Launcher, output: int) -> None:
    padding = "x" * 8000  # together more than a socket holds
    argv = [SHELL, "-c", f": {padding}"]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(launcher.launch(argv, [output], None), name=f"launch {number}")
            for number in range(100)
        ]
    processes = [task.result() for task in tasks]
    assert len({process.pid for process in processes}) == 100
    for process in processes:
        await process.wait_exit()
        process.close()
        assert await launcher.exit_status(process.pid) == 0
