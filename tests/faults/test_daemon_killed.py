"""hyperd is killed without warning: pods go on, and the next one knows what happened meanwhile."""

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon

StartDaemon = Callable[..., Daemon]


def _state(daemon: Daemon, name: str) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(daemon.hyper("inspect", name).stdout)[0]["State"]
    return state


def _restarts(daemon: Daemon, name: str) -> int:
    return int(json.loads(daemon.hyper("inspect", name).stdout)[0]["RestartCount"])


def _with_busybox(start_daemon: StartDaemon, archive: Path) -> Daemon:
    daemon = start_daemon()
    daemon.hyper("load", "--quiet", "--input", str(archive))
    return daemon


def test_pods_go_on_and_are_found_again(start_daemon: StartDaemon, busybox_archive: Path) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    daemon.hyper("run", "-d", "--name", "lasting", "busybox", "sleep", "600")
    vmms = daemon.vmms()
    daemon.kill()
    assert daemon.vmms() == vmms
    daemon.start()
    assert _state(daemon, "lasting")["Running"] is True
    assert daemon.hyper("exec", "lasting", "echo", "here").stdout == "here\n"
    daemon.hyper("rm", "--force", "lasting")
    assert leaks.settle(daemon.vmms)


def test_restart_policies_and_health_go_on(
    start_daemon: StartDaemon, busybox_archive: Path
) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)

    def run(name: str, command: str, *options: str) -> None:
        shell = ("busybox", "sh", "-c", command)
        daemon.hyper("run", "-d", "--name", name, "--stop-signal", "KILL", *options, *shell)

    for policy in ("always", "unless-stopped"):
        run(policy, "sleep 600", "--restart", policy)
        daemon.hyper("stop", policy)
    run("flapping", "exit 3", "--restart", "on-failure")
    checks = ("--health-interval", "1h", "--health-start-period", "1h")
    run("sound", "sleep 600", "--health-cmd", "true", "--health-start-interval", "100ms", *checks)
    assert leaks.settle(lambda: _state(daemon, "sound")["Health"]["Status"] != "healthy")
    assert leaks.settle(lambda: _restarts(daemon, "flapping") < 4)
    counted = _restarts(daemon, "flapping")
    daemon.kill()
    daemon.start()
    assert _state(daemon, "sound")["Health"]["Status"] == "healthy"
    assert leaks.settle(lambda: _state(daemon, "always")["Status"] != "running")
    assert _state(daemon, "unless-stopped")["Status"] == "exited"
    assert leaks.settle(lambda: _restarts(daemon, "flapping") <= counted), "it gave up"
    daemon.hyper("stop", "sound")
    assert _state(daemon, "sound")["Health"]["Status"] == "unhealthy"  # as with dockerd
    daemon.hyper("rm", "--force", "always", "unless-stopped", "flapping", "sound")


@pytest.mark.root
def test_names_are_found_while_no_daemon_runs(
    start_daemon: StartDaemon, busybox_archive: Path
) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    daemon.hyper("network", "create", "back")
    daemon.hyper("run", "-d", "--name", "web", "--network", "back", "busybox", "sleep", "600")
    ask = "#!/bin/sh\nnslookup -type=a web\n"
    serve = f"printf '{ask}' > /ask; chmod +x /ask; exec nc -ll -p 80 -e /ask"
    daemon.hyper("run", "-d", "--name", "asker", "--network", "back", "-p", "127.0.0.1:0:80",
                 "busybox", "sh", "-c", serve)  # fmt: skip
    settings = json.loads(daemon.hyper("inspect", "web").stdout)[0]["NetworkSettings"]
    found = f"Address: {settings['Networks']['back']['IPAddress']}"
    port = int(daemon.hyper("port", "asker", "80").stdout.rpartition(":")[2])
    assert leaks.settle(lambda: found not in _said(port))
    daemon.kill()
    assert found in _said(port)
    daemon.start()
    assert found in _said(port)
    daemon.hyper("rename", "web", "site")
    daemon.stop()
    assert found not in _said(port), "a name it has no more is found"
    daemon.start()
    daemon.hyper("rm", "--force", "web", "site", "asker", status=None)
    daemon.hyper("network", "rm", "back")


def _said(port: int) -> str:
    """Return all that is said at a port of the loopback, "" if nobody listens behind it."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            return connection.makefile().read()
    except ConnectionError:
        return ""


def test_no_line_of_output_is_lost(start_daemon: StartDaemon, busybox_archive: Path) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; usleep 10000; done"
    daemon.hyper("run", "-d", "--name", "counter", "busybox", "sh", "-c", script)
    assert leaks.settle(lambda: not daemon.hyper("logs", "--tail", "1", "counter").stdout)
    daemon.kill()
    daemon.start()
    daemon.hyper("wait", "counter")
    assert daemon.hyper("logs", "counter").lines == [str(number) for number in range(1, 301)]


def test_an_exit_meanwhile_is_known(start_daemon: StartDaemon, busybox_archive: Path) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    script = "while [ ! -e /go ]; do usleep 20000; done; echo last; exit 7"
    daemon.hyper("run", "-d", "--name", "brief", "busybox", "sh", "-c", script)
    waiting = "(sleep 2; touch /go) > /dev/null 2>&1 &"
    daemon.hyper("exec", "-d", "brief", "sh", "-c", waiting)
    daemon.kill()
    daemon.start()
    assert daemon.hyper("wait", "brief").stdout == "7\n"
    assert daemon.hyper("logs", "brief").stdout == "last\n"


def test_a_vm_that_dies_meanwhile_is_recorded(
    start_daemon: StartDaemon, busybox_archive: Path
) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    daemon.hyper("run", "-d", "--name", "lost", "busybox", "sleep", "600")
    (pid,) = daemon.vmms()
    daemon.kill()
    os.kill(pid, signal.SIGKILL)
    daemon.start()
    state = _state(daemon, "lost")
    assert state["Running"] is False
    assert state["ExitCode"] != 0
    daemon.hyper("rm", "lost")
    assert not list((daemon.run_dir / "pods").iterdir())


def test_a_vm_that_does_not_answer_is_ended(
    start_daemon: StartDaemon, busybox_archive: Path
) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    daemon.hyper("run", "-d", "--name", "hung", "busybox", "sleep", "600")
    (vmm,) = daemon.vmms()
    daemon.kill()
    os.kill(vmm, signal.SIGSTOP)
    daemon.start()
    assert vmm not in daemon.vmms()
    state = _state(daemon, "hung")
    assert state["Status"] == "exited" and "could not be taken over" in state["Error"]
    daemon.hyper("start", "hung")
    daemon.hyper("rm", "--force", "hung")


def test_what_was_being_started_can_be_started_again(
    start_daemon: StartDaemon, busybox_archive: Path
) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    for step, name in enumerate(("agent.sock", "vmm.json")):
        daemon.hyper("create", "--name", f"begun{step}", "busybox", "sleep", "600")
        begun = daemon.popen("start", f"begun{step}")
        assert leaks.settle(lambda name=name: not [*daemon.run_dir.glob(f"pods/*/{name}")])
        daemon.kill()
        begun.communicate()
        daemon.start()
        if not _state(daemon, f"begun{step}")["Running"]:
            assert leaks.settle(daemon.vmms), "a VM runs for a container that does not"
            daemon.hyper("start", f"begun{step}")
        assert daemon.hyper("exec", f"begun{step}", "echo", "here").stdout == "here\n"
        daemon.hyper("rm", "--force", f"begun{step}")
    assert leaks.settle(daemon.vmms)


def test_an_exec_that_ran_meanwhile_is_let_go(
    start_daemon: StartDaemon, busybox_archive: Path
) -> None:
    daemon = _with_busybox(start_daemon, busybox_archive)
    daemon.hyper("run", "-d", "--name", "host", "busybox", "sleep", "600")
    talk = "while [ ! -e /stop ]; do echo talking; done; touch /stopped"
    daemon.hyper("exec", "-d", "host", "sh", "-c", talk)
    daemon.kill()
    daemon.start()
    daemon.hyper("exec", "host", "touch", "/stop")
    assert leaks.settle(
        lambda: daemon.hyper("exec", "host", "test", "-e", "/stopped", status=None).status
    )
