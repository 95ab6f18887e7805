"""Containers over their life: create, start, stop, restart, kill, rm, and what tells about them."""

import json
import re
import signal
from collections.abc import Callable

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon, Result

Hyper = Callable[..., Result]


def _state(hyper: Hyper, name: str, field: str = "Status") -> object:
    return json.loads(hyper("inspect", name).stdout)[0]["State"][field]


def test_create_start_wait_remove(hyper: Hyper) -> None:
    container = hyper("create", "--name", "one", "busybox", "sh", "-c", "echo made; exit 3")
    assert re.fullmatch(r"[0-9a-f]{64}\n", container.stdout)
    assert _state(hyper, "one") == "created"
    assert hyper("start", "one").stdout == "one\n"
    assert hyper("wait", "one").stdout == "3\n"
    assert (_state(hyper, "one"), _state(hyper, "one", "ExitCode")) == ("exited", 3)
    assert hyper("logs", "one").stdout == "made\n"
    assert hyper("rm", "one").stdout == "one\n"
    hyper("inspect", "one", status=1)


def test_detached_container_runs_and_is_listed(hyper: Hyper) -> None:
    container = hyper("run", "-d", "--name", "web", "busybox", "sleep", "60").stdout.strip()
    row = hyper("ps", "--no-trunc", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.State}}").stdout
    assert row == f"{container} busybox web running\n"


def test_started_again_it_keeps_its_files(hyper: Hyper) -> None:
    script = "echo again >> /count; wc -l < /count"
    hyper("create", "--name", "twice", "busybox", "sh", "-c", script)
    for _ in range(2):
        hyper("start", "twice")
        hyper("wait", "twice")
    assert hyper("logs", "twice").lines == ["1", "2"]


def test_stop_sends_term_and_then_kill(hyper: Hyper) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    hyper("run", "-d", "--name", "polite", "busybox", "sh", "-c", script)
    assert leaks.settle(lambda: hyper("logs", "polite").lines != ["up"])  # it has set its trap
    hyper("stop", "polite")
    assert _state(hyper, "polite", "ExitCode") == 5
    assert hyper("logs", "polite").lines[-1] == "bye"
    hyper("run", "-d", "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; sleep 600")
    hyper("stop", "--time", "1", "deaf")
    assert _state(hyper, "deaf", "ExitCode") == 128 + signal.SIGKILL


def test_stopping_a_stopped_container_is_no_error(hyper: Hyper) -> None:
    hyper("create", "--name", "idle", "busybox", "true")
    assert hyper("stop", "idle").stdout == "idle\n"


def test_kill_with_a_signal(hyper: Hyper) -> None:
    hyper("run", "-d", "--name", "victim", "busybox", "sleep", "600")
    hyper("kill", "--signal", "KILL", "victim")
    assert hyper("wait", "victim").stdout == "137\n"
    assert "is not running" in hyper("kill", "victim", status=1).stderr


def test_restart(hyper: Hyper) -> None:
    hyper("run", "-d", "--name", "phoenix", "busybox", "sh", "-c", "echo up; sleep 600")
    assert leaks.settle(lambda: hyper("logs", "phoenix").lines != ["up"])
    hyper("restart", "--time", "0", "phoenix")
    assert _state(hyper, "phoenix") == "running"
    assert leaks.settle(lambda: hyper("logs", "phoenix").lines != ["up", "up"])


def test_a_restart_keeps_a_container_that_goes_when_it_ends(hyper: Hyper) -> None:
    shell = ("sh", "-c", "echo more >> /kept; sleep 600")
    hyper("run", "-d", "--rm", "--name", "brief", "--stop-signal", "KILL", "busybox", *shell)

    def kept() -> list[str]:
        return hyper("exec", "brief", "cat", "/kept", status=None).lines

    assert leaks.settle(lambda: kept() != ["more"])
    hyper("restart", "brief")
    assert leaks.settle(lambda: kept() != ["more", "more"])
    hyper("stop", "brief")
    assert hyper("ps", "--all", "--quiet").stdout == ""


def test_running_container_is_removed_only_by_force(hyper: Hyper) -> None:
    hyper("run", "-d", "--name", "busy", "busybox", "sleep", "600")
    hyper("rm", "busy", status=1)
    assert _state(hyper, "busy") == "running"
    hyper("rm", "--force", "busy")
    hyper("inspect", "busy", status=1)


def test_rename(hyper: Hyper) -> None:
    hyper("create", "--name", "before", "busybox", "true")
    hyper("rename", "before", "after")
    assert json.loads(hyper("inspect", "after").stdout)[0]["Name"] == "/after"


def test_top_lists_the_processes(hyper: Hyper) -> None:
    hyper("run", "-d", "--name", "worker", "busybox", "sleep", "617")
    assert any("sleep 617" in line for line in hyper("top", "worker").lines[1:])


def test_the_vm_lives_as_long_as_its_container(daemon: Daemon) -> None:
    daemon.hyper("run", "-d", "--name", "vm", "busybox", "sleep", "600")
    assert len(daemon.vmms()) == 1
    daemon.hyper("stop", "--time", "0", "vm")
    assert leaks.settle(daemon.vmms), "the VM outlives its container"


def test_death_of_the_vmm_is_noticed(daemon: Daemon) -> None:
    import os

    daemon.hyper("run", "-d", "--name", "doomed", "busybox", "sleep", "600")
    (pid,) = daemon.vmms()
    os.kill(pid, signal.SIGKILL)
    assert daemon.hyper("wait", "doomed").stdout.strip() not in ("", "0")
    assert _state(daemon.hyper, "doomed", "Running") is False


@pytest.mark.parametrize("command", ["stop", "start", "kill", "rm", "wait", "logs", "top"])
def test_unknown_container_is_one_clear_line(hyper: Hyper, command: str) -> None:
    result = hyper(command, "nosuch", status=1)
    assert result.error.endswith("No such container: nosuch")


# --- logs -----------------------------------------------------------------------------------------


@pytest.fixture
def counted(hyper: Hyper) -> str:
    """Return a stopped container that printed the lines 1 to 20."""
    script = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i; done"
    hyper("run", "--name", "counted", "busybox", "sh", "-c", script)
    return "counted"


def test_logs_tail(hyper: Hyper, counted: str) -> None:
    assert hyper("logs", "--tail", "3", counted).lines == ["18", "19", "20"]


def test_logs_timestamps_and_since(hyper: Hyper, counted: str) -> None:
    lines = hyper("logs", "--timestamps", counted).lines
    times = [line.split()[0] for line in lines]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time) for time in times)
    assert times == sorted(times)
    assert hyper("logs", "--since", times[-1], counted).lines[-1] == "20"
    assert hyper("logs", "--since", "2100-01-01T00:00:00Z", counted).stdout == ""


def test_logs_follow_ends_with_the_container(hyper: Hyper) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.3; done"
    hyper("run", "-d", "--name", "talker", "busybox", "sh", "-c", script)
    assert hyper("logs", "--follow", "talker").lines == ["1", "2", "3"]


# --- exec -----------------------------------------------------------------------------------------


@pytest.fixture
def running(hyper: Hyper) -> str:
    """Return the name of a running container."""
    hyper("run", "-d", "--name", "running", "busybox", "sleep", "600")
    return "running"


def test_exec_runs_beside_the_first_process(hyper: Hyper, running: str) -> None:
    lines = hyper("exec", running, "ps", "-o", "pid,args").lines
    assert lines[1].split() == ["1", "sleep", "600"]
    assert hyper("exec", running, "sh", "-c", "exit 9", status=9).stdout == ""


def test_exec_options(hyper: Hyper, running: str) -> None:
    options = ("-e", "WORD=w", "-w", "/tmp", "-u", "33")
    result = hyper("exec", *options, running, "sh", "-c", 'echo "$WORD $PWD $(id -u)"')
    assert result.stdout == "w /tmp 33\n"
    assert hyper("exec", "-i", running, "cat", input="in").stdout == "in"


def test_exec_of_a_missing_command(hyper: Hyper, running: str) -> None:
    result = hyper("exec", running, "nosuch", status=127)
    assert "nosuch" in result.stdout + result.stderr  # docker says it on stdout


def test_exec_in_a_stopped_container(hyper: Hyper) -> None:
    hyper("create", "--name", "still", "busybox", "true")
    assert "is not running" in hyper("exec", "still", "true", status=1).stderr


def test_exec_detached(hyper: Hyper, running: str) -> None:
    hyper("exec", "-d", running, "sh", "-c", "echo done > /flag")
    script = "while [ ! -s /flag ]; do sleep 0.05; done; cat /flag"
    assert hyper("exec", running, "sh", "-c", script).stdout == "done\n"


def test_attach_sees_what_comes(daemon: Daemon) -> None:
    script = "read line; echo got $line"
    daemon.hyper("run", "-d", "-i", "--name", "ear", "busybox", "sh", "-c", script)
    process = daemon.popen("attach", "ear")
    output, _ = process.communicate(b"word\n", timeout=60)
    assert output == b"got word\n"
    assert process.returncode == 0
