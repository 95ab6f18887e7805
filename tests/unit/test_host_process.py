"""Child processes: their results, their deadlines, and that none is left behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from hyper.core.errors import ProcessError, Timeout, Unavailable
from hyper.host.process import PIPE, PidHandle, find_program, run, spawn, start_time_ticks


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    """Return when a process has ended, whoever its parent is."""
    handle = PidHandle.open(pid)
    if handle is not None:
        with handle:
            await asyncio.wait_for(handle.wait_exit(), 60)


async def test_output_of_a_program() -> None:
    assert await run(["echo", "hello"]) == b"hello\n"


async def test_input_and_output_larger_than_any_pipe() -> None:
    content = os.urandom(3_000_000)
    assert await run(["cat"], input=content) == content


async def test_the_environment_is_small_and_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    lines = (await run(["env"])).decode().splitlines()
    assert {line.partition("=")[0] for line in lines} <= {"PATH", "LANG", "_", "PWD", "SHLVL"}
    assert await run(["sh", "-c", "echo $A"], env={"A": "b"}) == b"b\n"


async def test_failure_carries_status_and_the_end_of_stderr() -> None:
    script = "yes long | head -c 100000 >&2; echo reason >&2; exit 3"
    with pytest.raises(ProcessError, match=r"sh exited with status 3: .*reason") as caught:
        await run(["sh", "-c", script])
    assert caught.value.status == 3
    assert len(caught.value.stderr) <= 8192


async def test_death_by_signal_is_named() -> None:
    with pytest.raises(ProcessError, match="was killed by signal 9"):
        await run(["sh", "-c", "kill -9 $$"])


async def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyper.host.process.SEARCH_PATH", "/nonexistent")
    with pytest.raises(Unavailable, match=r"mkfs\.ext4 is missing: install the package e2fsprogs"):
        await run(["mkfs.ext4"])
    with pytest.raises(Unavailable, match=r"nothing is missing$"):
        find_program("nothing")


async def test_a_deadline_ends_the_whole_session(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid_file.touch()
    timeout_s = 0.2
    while not pid_file.read_text():  # the shell had not come so far
        timeout_s *= 2
        with pytest.raises(Timeout):
            await run(["sh", "-c", f"sleep 1000 & echo $! > {pid_file}; wait"], timeout_s=timeout_s)
    await gone(int(pid_file.read_text()))


async def test_a_program_deaf_to_term_is_killed() -> None:
    child = await spawn(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
        stdout=PIPE,
        parent_death_signal=True,
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    assert await child.terminate(grace_s=0.1) == -signal.SIGKILL
    child.close()


async def test_cancelling_kills_the_program(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    script = f"echo $$ > {pid_file}; exec sleep 1000"
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run(["sh", "-c", script]))
        pid = int(await asyncio.to_thread(pid_file.read_text))
        task.cancel()
    assert task.cancelled()
    await gone(pid)


async def test_a_grandchild_that_keeps_the_pipe_does_not_hold_us() -> None:
    output = await run(["sh", "-c", "echo out; sleep 1000 & echo $!"])
    word, pid = output.split()
    assert word == b"out" and alive(int(pid))
    os.kill(int(pid), signal.SIGKILL)


async def test_streams_of_a_spawned_program() -> None:
    child = await spawn(["cat"], stdin=PIPE, stdout=PIPE, parent_death_signal=True)
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(b"abc")
    await child.stdin.drain()
    child.stdin.close()
    await child.stdin.wait_closed()
    assert await child.stdout.read() == b"abc"
    assert await child.wait() == 0 and child.status == 0
    child.close()


async def test_passed_descriptors_and_no_others() -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    try:
        # ls would open the folder as a descriptor of its own, maybe of that number.
        script = f"for fd in {read_end} {write_end}; do test -e /proc/$$/fd/$fd; echo $?; done"
        assert await run(["sh", "-c", script], pass_fds=[read_end]) == b"0\n1\n"
    finally:
        os.close(read_end)
        os.close(write_end)


PARENT = """
import asyncio, os
from hyper.host.process import spawn
async def main():
    children = [await spawn(["sleep", "1000"], parent_death_signal=dies) for dies in (False, True)]
    print(*(child.pid for child in children), flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


async def test_helpers_die_with_a_killed_daemon_and_vmms_do_not() -> None:
    source = Path(__file__).parents[2] / "src"
    parent = await spawn(
        [sys.executable, "-c", PARENT],
        env={"PYTHONPATH": str(source)},
        stdout=PIPE,
        parent_death_signal=True,
        new_session=False,
    )
    assert parent.stdout is not None
    # The helper hardly had the time to ask for the signal before its parent died.
    vmm, helper = [int(word) for word in (await parent.stdout.readline()).split()]
    assert await parent.wait() == -signal.SIGKILL
    parent.close()
    try:
        await gone(helper)
        assert alive(vmm)
    finally:
        os.kill(vmm, signal.SIGKILL)


async def test_a_process_that_is_let_go_lives_on() -> None:
    child = await spawn(["sleep", "1000"], parent_death_signal=False)
    ticks = start_time_ticks(child.pid)
    child.close()
    handle = PidHandle.open(child.pid, ticks)
    assert handle is not None
    with handle:
        await handle.terminate(grace_s=5)
    os.waitpid(child.pid, 0)
    assert PidHandle.open(child.pid, ticks) is None


async def test_a_reused_number_is_another_process() -> None:
    ticks = start_time_ticks(os.getpid())
    assert ticks is not None
    assert PidHandle.open(os.getpid(), ticks + 1) is None
    mine = PidHandle.open(os.getpid(), ticks)
    assert mine is not None
    mine.close()
    mine.close()


async def test_several_wait_for_one_exit() -> None:
    child = await spawn(["sleep", "1000"], parent_death_signal=True)
    with PidHandle.open(child.pid) or pytest.fail("gone") as handle:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(handle.wait_exit())
                tasks.create_task(child.wait())
            child.send_signal(signal.SIGTERM)
    assert child.status == -signal.SIGTERM
    child.send_signal(signal.SIGKILL)
    child.close()


async def test_waiting_needs_no_thread() -> None:
    before = len(os.listdir("/proc/self/task"))
    children = [await spawn(["sleep", "1000"], parent_death_signal=True) for _ in range(3)]
    assert len(os.listdir("/proc/self/task")) <= before  # one of other tests may end
    for child in children:
        await child.terminate(grace_s=0)
        child.close()


async def test_the_command_in_the_log_can_be_replayed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="host.process")
    await run(["echo", "two words"], cwd="/tmp")
    assert "cd /tmp && env -i PATH=" in caplog.text
    assert "/echo 'two words'" in caplog.text
