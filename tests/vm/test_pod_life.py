"""Pods as a whole: order, roll-back, what their containers share, their end."""

import base64
import hashlib
import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.daemon import HYPER, Daemon
from tests.support.pods import BOX, Hyper, container, containers, inspect, pod
from tests.support.terminal import Terminal

SLEEP = "trap exit TERM; sleep 600 & wait"


def test_an_empty_pod_lives_until_it_is_stopped(daemon: Daemon, hyper: Hyper) -> None:
    pod(hyper, id="idle")
    assert inspect(hyper, "idle")["State"] == "running"
    assert len(daemon.vmms()) == 1
    hyper("run", "--rm", "--pod", "idle", BOX, "true")
    assert inspect(hyper, "idle")["State"] == "running"
    hyper("pod", "stop", "idle")
    assert inspect(hyper, "idle")["State"] == "stopped"
    hyper("pod", "start", "idle")
    hyper("pod", "rm", "-f", "idle")
    assert leaks.settle(daemon.vmms)


def test_a_pod_is_stopped_at_its_deadline_also_by_a_later_daemon(
    daemon: Daemon, hyper: Hyper
) -> None:
    pod(hyper, id="late", deadline=3, containers=[container("a", SLEEP)])
    daemon.kill()
    daemon.start()
    assert leaks.settle(lambda: inspect(hyper, "late")["State"] != "stopped", limit_s=60)
    told = hyper("pod", "events", "--since", "0", "--until", "0s", "late").stdout
    assert "pod deadline_exceeded" in told


def test_containers_start_in_order_and_share_volumes(hyper: Hyper) -> None:
    uses = [{"volume": "v", "path": "/v"}]
    pod(
        hyper,
        id="order",
        containers=[
            container("b", "cat /v/first >> /v/order; echo b >> /v/order; " + SLEEP, volumes=uses),
            container("first", "sleep 0.3; echo first > /v/first", role="init", volumes=uses),
            container("a", "until grep -q b /v/order; do sleep 0.1; done; cat /v/order; " + SLEEP,
                      volumes=uses),
        ],
        volumes=[{"name": "v"}],
    )  # fmt: skip
    assert leaks.settle(lambda: hyper("logs", "order-a").lines != ["first", "b"])
    assert hyper("logs", "order-a").lines == ["first", "b"]
    hyper("exec", "order-a", "sh", "-c", "echo back > /v/back")
    assert hyper("exec", "order-b", "cat", "/v/back").stdout == "back\n"
    found = containers(hyper, "order")
    assert (found["first"]["State"], found["first"]["ExitCode"]) == ("exited", 0)
    # What is in a volume of the pod survives the pod's stop; an init container runs again.
    hyper("pod", "stop", "order")
    hyper("pod", "start", "order")
    assert hyper("exec", "order-b", "cat", "/v/back").stdout == "back\n"


def test_a_container_that_does_not_start_rolls_the_pod_back(daemon: Daemon, hyper: Hyper) -> None:
    refused = pod(
        hyper,
        "-d",
        id="broken",
        containers=[
            container("good", SLEEP),
            {"name": "bad", "image": BOX, "command": ["/no/such/program"]},
            container("never", "echo ran"),
        ],
        status=1,
    )
    assert "pod broken: container bad did not start" in refused.error
    assert "no such file or directory" in refused.error
    assert hyper("ps", "-aq").lines == []
    assert hyper("pod", "ls", "-q").lines == []
    assert leaks.settle(daemon.vmms)


def test_an_init_container_that_fails_keeps_the_others_from_starting(hyper: Hyper) -> None:
    refused = pod(
        hyper,
        id="init",
        containers=[container("check", "exit 3", role="init"), container("main", SLEEP)],
        status=1,
    )
    assert "container check did not start: it ended with status 3" in refused.error


def test_nothing_is_created_when_a_name_is_taken(hyper: Hyper) -> None:
    hyper("create", "--name", "two-b", BOX, "true")
    document = {"id": "two", "containers": [container("a", "true"), container("b", "true")]}
    refused = hyper("pod", "create", "-f", "-", input=json.dumps(document), status=1)
    assert '"/two-b" is already in use' in refused.error
    assert hyper("ps", "-a", "--format", "{{.Names}}").lines == ["two-b"]


def test_the_exit_status_of_run_is_that_of_its_container(hyper: Hyper) -> None:
    shown = pod(hyper, "--rm", id="st", containers=[container("a", "echo out; exit 17")], status=17)
    assert shown.stdout == "out\n"
    assert hyper("pod", "ls", "-q").lines == []


def test_logs_of_all_are_prefixed_and_unfinished_lines_kept(hyper: Hyper) -> None:
    pod(
        hyper,
        id="logs",
        containers=[container("one", "printf first"), container("second", "printf 'x\\ny'")],
    )
    hyper("pod", "wait", "logs")
    assert sorted(hyper("pod", "logs", "logs").lines) == [
        "one    | first",
        "second | x",
        "second | y",
    ]
    assert hyper("pod", "logs", "--no-prefix", "logs", "one").stdout == "first\n"
    assert hyper("logs", "logs-one").stdout == "first"
    colored = hyper("pod", "logs", "--color", "always", "-f", "logs", "one").stdout
    assert colored == "\x1b[36mone | \x1b[0mfirst\n"


def test_files_arrive_byte_for_byte_with_mode_and_owner(hyper: Hyper) -> None:
    data = bytes(range(256)) * 5000  # more than one message
    shown = pod(
        hyper,
        "--rm",
        id="files",
        files=[
            {"name": "big", "encoding": "base64", "contents": base64.b64encode(data).decode()},
        ],
        containers=[
            container("a", "sha256sum /x/big; stat -c '%a %u %g' /x/big",
                      files=[{"filename": "big", "path": "/x/big", "perm": "0750", "user": "7"}])
        ],
    )  # fmt: skip
    assert shown.lines == [f"{hashlib.sha256(data).hexdigest()}  /x/big", "750 7 0"]


def test_corrupt_base64_is_refused_before_anything_exists(hyper: Hyper) -> None:
    refused = pod(
        hyper,
        id="corrupt",
        files=[{"name": "key", "encoding": "base64", "contents": "AAEC!"}],
        containers=[container("a", "true", files=[{"filename": "key", "path": "/key"}])],
        status=1,
    )
    assert "file key: its contents are not base64" in refused.error
    assert hyper("pod", "ls", "-q").lines == []


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("a" * 65, "longer than 64 characters"),
        ("bad name", "only letters, digits, '-', '_' and '.' are allowed"),
        ("-x", "only letters, digits, '-', '_' and '.' are allowed"),
    ],
)
def test_bad_host_names_are_refused(hyper: Hyper, name: str, error: str) -> None:
    assert error in pod(hyper, hostname=name, containers=[container("a", "true")], status=1).error


def test_containers_share_the_host_name_ipc_and_network(hyper: Hyper) -> None:
    pod(
        hyper,
        id="same",
        hostname="box.example",
        containers=[container("a", "nc -l -p 7000 -e hostname & " + SLEEP), container("b", SLEEP)],
    )
    assert hyper("exec", "same-b", "hostname").stdout == "box.example\n"
    ask = "until nc 127.0.0.1 7000 2> /dev/null; do sleep 0.1; done"  # `a` may not listen yet
    assert hyper("exec", "same-b", "sh", "-c", ask).stdout == "box.example\n"
    hyper("exec", "same-a", "touch", "/dev/shm/of-a")
    assert hyper("exec", "same-b", "ls", "/dev/shm").stdout == "of-a\n"
    assert hyper("exec", "same-b", "ps", "-o", "comm").lines.count("sh") <= 1


def test_what_a_document_sets_is_seen_inside(hyper: Hyper) -> None:
    script = (
        "cat /etc/resolv.conf; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; "
        "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax /proc/sys/kernel/domainname;"
        "ulimit -Sn; ulimit -Hn; nproc; pwd; echo $COLOUR"
    )
    shown = pod(
        hyper,
        "--rm",
        id="set",
        domainname="home.test",
        resource={"vcpu": 2},
        shmSize="8m",
        sysctl={"net.ipv4.ip_default_ttl": "77"},
        dns=["192.0.2.53"],
        dnsOptions=["ndots:3"],
        dnsSearch=["example.test"],
        containers=[
            container("a", script, workdir="/tmp", envs=[{"env": "COLOUR", "value": "blue"}],
                      sysctl={"kernel.msgmax": "9000"},
                      ulimits=[{"name": "nofile", "soft": 100, "hard": 200}]),
        ],
    )  # fmt: skip
    assert shown.lines == [
        "search example.test", "nameserver 192.0.2.53", "options ndots:3", f"{8 << 10}",
        "77", "9000", "home.test", "100", "200", "2", "/tmp", "blue",
    ]  # fmt: skip


def test_processes_are_shared_when_asked(hyper: Hyper) -> None:
    pod(
        hyper,
        id="pids",
        shareProcessNamespace=True,
        containers=[container("a", "exec sleep 611"), container("b", SLEEP)],
    )
    assert leaks.settle(lambda: "sleep 611" not in hyper("exec", "pids-b", "ps").stdout)


def test_users_and_read_only_roots(hyper: Hyper) -> None:
    shown = pod(
        hyper,
        "--rm",
        id="users",
        containers=[
            container("a", "id -u; id -g; touch /x 2>&1; touch /tmp/y && echo tmp",
                      user={"name": "1000", "group": "50"}, readOnly=True, tmpfs=["/tmp"]),
        ],
    )  # fmt: skip
    assert shown.lines == ["1000", "50", "touch: /x: Read-only file system", "tmp"]


def test_what_a_container_of_a_pod_may_do_and_use(hyper: Hyper) -> None:
    """As with docker run: seccomp, masked paths, devices, weights, sizes."""
    free = """
        grep -w Seccomp: /proc/self/status | tr -d '\t'
        grep -c ' /proc/' /proc/self/mounts
        ls /dev/fuse
        cat /sys/fs/cgroup/memory.low /sys/fs/cgroup/cpuset.cpus
        df -m /t | tail -n 1 | awk '{ print $2 }'
        stat -c %a /t
        df -m / | tail -n 1 | awk '{ print ($2 < 64) }'
    """
    filtered = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    shown = pod(
        hyper,
        "--rm",
        id="may",
        containers=[
            container("a", free, storageSize="64m", devices=[{"path": "/dev/fuse"}],
                      tmpfs=[{"path": "/t", "size": "16m", "mode": "0700"}],
                      limits={"memoryReservation": "16m", "cpuset": "0"},
                      security={"seccomp": "unconfined", "unmasked": True}),
            container("b", "mkdir /x; touch /y", security={"seccomp": filtered}),
        ],
    )  # fmt: skip
    lines = [line for line in shown.lines if line.startswith("a ")]
    assert [line.removeprefix("a | ") for line in lines] == [
        "Seccomp:0", "0", "/dev/fuse", f"{16 << 20}", "0", "16", "700", "1",
    ]  # fmt: skip
    assert shown.stderr == "b | mkdir: can't create directory '/x': Operation not permitted\n"


def test_one_container_s_limit_and_crash_leave_its_neighbour_alone(hyper: Hyper) -> None:
    hog = "x=a; while :; do x=$x$x; done"
    pod(
        hyper,
        id="near",
        containers=[
            container("calm", SLEEP),
            container("hog", hog, limits={"memory": "24m"}),
            container("crash", "kill -SEGV $$"),
        ],
    )
    assert leaks.settle(lambda: containers(hyper, "near")["hog"]["State"] == "running")
    found = containers(hyper, "near")
    assert (found["hog"]["OOMKilled"], found["hog"]["ExitCode"]) == (True, 137)
    assert found["calm"]["State"] == "running"
    assert hyper("exec", "near-calm", "echo", "here").stdout == "here\n"
    assert inspect(hyper, "near")["OOMKilled"] is False  # the limit was hog's, not the pod's


def test_a_pod_out_of_memory_loses_the_eater_alone_and_says_so(
    daemon: Daemon, hyper: Hyper
) -> None:
    eat = "cat /proc/self/oom_score_adj; x=a; while :; do x=$x$x; done"
    pod(
        hyper,
        id="full",
        resource={"memory": 128},
        containers=[container("calm", SLEEP), container("hog", eat)],
    )
    assert leaks.settle(lambda: containers(hyper, "full")["hog"]["State"] == "running")
    found = containers(hyper, "full")
    assert (found["hog"]["OOMKilled"], found["hog"]["ExitCode"]) == (True, 137)
    assert (found["calm"]["OOMKilled"], found["calm"]["State"]) == (False, "running")
    assert hyper("exec", "full-calm", "echo", "here").stdout == "here\n"
    shown = inspect(hyper, "full")
    assert (shown["OOMKilled"], shown["OOMVictims"]) == (True, ["hog"])
    layout = "{{.Action}} {{.Actor.Attributes.container}}"
    told = hyper("events", "--since", "10m", "--until", "0s", "--filter", "type=pod",
                 "--filter", "event=oom", "--format", layout)  # fmt: skip
    assert told.lines == ["oom hog"]
    daemon.kill()
    daemon.start()
    assert inspect(hyper, "full")["OOMVictims"] == ["hog"]
    hyper("start", "full-hog")
    assert inspect(hyper, "full")["State"] == "running"


def test_a_pod_that_follows_ends_with_its_containers_and_sidecars(
    daemon: Daemon, hyper: Hyper
) -> None:
    pod(
        hyper,
        id="job",
        follows=True,
        containers=[
            container("side", SLEEP, role="sidecar"),
            container("work", "sleep 0.5; exit 4"),
        ],
    )
    hyper("pod", "wait", "job")
    assert leaks.settle(lambda: inspect(hyper, "job")["State"] != "stopped")
    assert not daemon.vmms()
    found = containers(hyper, "job")
    assert (found["work"]["ExitCode"], found["side"]["State"]) == (4, "exited")


def test_a_pod_is_paused_killed_and_labelled(hyper: Hyper) -> None:
    pod(hyper, id="verbs", containers=[container("a", SLEEP), container("b", SLEEP)])
    hyper("pod", "pause", "verbs")
    assert {item["State"] for item in containers(hyper, "verbs").values()} == {"paused"}
    hyper("pod", "unpause", "verbs")
    assert hyper("pod", "label", "verbs", "a=b").stdout == "a=b\n"
    assert hyper("pod", "ls", "--filter", "label=a=b", "--format", "{{.Name}}").lines == ["verbs"]
    hyper("pod", "kill", "verbs")
    assert {item["ExitCode"] for item in containers(hyper, "verbs").values()} == {137}
    assert inspect(hyper, "verbs")["State"] == "running"
    refused = hyper("pod", "rm", "verbs", status=1)
    assert "cannot remove pod verbs: it is running" in refused.error


def test_a_pod_is_paused_while_all_that_is_active_in_it_is(daemon: Daemon, hyper: Hyper) -> None:
    pod(hyper, id="ice", containers=[container("a", SLEEP), container("b", SLEEP)])

    def shown() -> str:
        state = hyper("pod", "ls", "--format", "{{.State}}").stdout.strip()
        assert inspect(hyper, "ice")["State"] == state
        return state

    hyper("pause", "ice-a")
    assert shown() == "running"
    hyper("pause", "ice-b")
    assert shown() == "paused"
    daemon.kill()
    daemon.start()
    assert shown() == "paused"
    assert "no container of it is running" in hyper("pod", "pause", "ice", status=1).error
    hyper("unpause", "ice-a")
    assert shown() == "running"
    hyper("pod", "pause", "ice")
    hyper("run", "-d", "--pod", "ice", "--name", "late", "--rm", BOX, "sleep", "600")
    assert shown() == "running"
    hyper("rm", "-f", "late")
    assert shown() == "paused"
    hyper("pod", "unpause", "ice")
    assert shown() == "running"
    hyper("pod", "pause", "ice")
    hyper("pod", "restart", "-t", "0", "ice")
    assert shown() == "running"
    hyper("pod", "pause", "ice")
    hyper("pod", "kill", "ice")
    assert shown() == "running"  # an empty pod, so to speak, lives until it is stopped
    hyper("pod", "stop", "ice")
    assert inspect(hyper, "ice")["State"] == "stopped"


def test_containers_are_added_and_removed_while_it_runs(hyper: Hyper) -> None:
    document = {"resource": {"memory": 200}, "dns": ["192.0.2.53"], "log": {"type": "none"}}
    pod(hyper, id="grow", containers=[container("a", SLEEP)], **document)
    hyper("run", "-d", "--pod", "grow", "--name", "late", BOX, "sleep", "600")
    assert hyper("exec", "late", "hostname").stdout == "grow\n"
    assert "late" in hyper("pod", "ps", "grow", "--format", "{{.Names}}").lines
    hyper("pod", "container", "rm", "-f", "grow", "late")
    added = ("pod", "container", "add", "--env", "A=b", "--name", "again", "grow", BOX)
    hyper(*added, "sleep", "600")
    assert hyper("pod", "exec", "-c", "again", "grow", "sh", "-c", "echo $A").stdout == "b\n"
    resolver = hyper("pod", "exec", "-c", "again", "grow", "cat", "/etc/resolv.conf")
    assert resolver.lines == ["nameserver 192.0.2.53"]
    assert hyper("inspect", "-f", "{{.HostConfig.LogConfig.Type}}", "grow-again").lines == ["none"]
    refused = hyper(*added, "true", status=1)
    assert "two containers of the pod are named 'again'" in refused.error
    refused = hyper("pod", "container", "add", "grow", BOX, "nosuch", status=1)
    assert '"nosuch": executable file not found' in refused.error
    limit = "{{.MemUsage}}"
    (shown,) = set(
        line.split(" / ")[1]
        for line in hyper("pod", "stats", "--no-stream", "--format", limit, "grow").lines
    )
    assert shown == "200MiB"
    hyper("pod", "container", "rm", "-f", "grow", "again")
    assert hyper("pod", "ps", "grow", "--format", "{{.Name}}").lines == ["a"]
    assert (
        "has no container named late"
        in hyper("pod", "container", "rm", "grow", "late", status=1).error
    )


def test_a_pod_of_three_survives_a_killed_daemon(daemon: Daemon, hyper: Hyper) -> None:
    pod(
        hyper,
        id="trio",
        containers=[
            container("ends", "sleep 1; echo bye; exit 5"),
            container("writes", "i=0; while sleep 0.2; do i=$((i+1)); echo $i; done"),
            container("waits", SLEEP, volumes=[{"volume": "v", "path": "/v"}]),
        ],
        volumes=[{"name": "v"}],
    )
    daemon.kill()
    daemon.start()
    assert inspect(hyper, "trio")["State"] == "running"
    assert leaks.settle(lambda: containers(hyper, "trio")["ends"]["State"] == "running")
    assert containers(hyper, "trio")["ends"]["ExitCode"] == 5
    assert hyper("logs", "trio-ends").stdout == "bye\n"
    numbers = [int(line) for line in hyper("logs", "trio-writes").lines]
    assert numbers == list(range(1, len(numbers) + 1))
    assert hyper("exec", "trio-waits", "touch", "/v/x").stdout == ""
    hyper("pod", "stop", "-t", "1", "trio")
    hyper("pod", "start", "trio")
    assert "x" in hyper("exec", "trio-waits", "ls", "/v").lines


def _lose_vm(daemon: Daemon) -> None:
    (pid,) = daemon.vmms()
    os.kill(pid, signal.SIGKILL)


def test_a_pod_of_rm_that_nobody_watches_is_removed_by_the_daemon(
    daemon: Daemon, hyper: Hyper
) -> None:
    ends = "until [ -e /dev/shm/end ]; do sleep 0.1; done"
    for name in ("first", "second"):
        pod(hyper, "-d", "--rm", id=name, containers=[container("a", ends)])
    assert "it is removed when it stops" in hyper("pod", "restart", "first", status=1).error
    hyper("pod", "exec", "-d", "first", "touch", "/dev/shm/end")  # its own end may come too late
    assert leaks.settle(lambda: "first" in hyper("pod", "ls", "--format", "{{.Name}}").lines)
    hyper("pod", "exec", "-d", "second", "sh", "-c", "sleep 1; touch /dev/shm/end")
    daemon.kill()  # the pod ends while there is no daemon, or with the next one
    daemon.start()
    assert leaks.settle(lambda: hyper("pod", "ls", "-q").lines, 60)
    assert hyper("ps", "--all", "--quiet").lines == []
    refused = pod(hyper, "-d", "--rm", status=1, containers=[container("a", "x", user="nobody9")])
    assert "nobody9" in refused.error
    assert hyper("pod", "ls", "-q").lines == []


def test_init_containers_run_again_when_the_vm_was_lost(daemon: Daemon, hyper: Hyper) -> None:
    uses = [{"volume": "v", "path": "/v"}]
    script = "cat /v/ready || echo nothing; " + SLEEP
    prepare = "sleep 0.5; echo prepared > /v/ready; echo ran"
    pod(
        hyper,
        id="back",
        volumes=[{"name": "v", "driver": "memory", "size": "1m"}],
        containers=[
            container("prepare", prepare, role="init", volumes=uses),
            container("a", script, restartPolicy="always", volumes=uses),
            container("b", script, restartPolicy="always", volumes=uses),
            container("once", SLEEP, volumes=uses),
        ],
    )

    def missing(times: int) -> list[str]:
        waiting = [n for n in "ab" if hyper("logs", f"back-{n}").lines.count("prepared") != times]
        return waiting + [n for n in "ab" if containers(hyper, "back")[n]["State"] != "running"]

    assert leaks.settle(lambda: missing(1))
    _lose_vm(daemon)
    assert leaks.settle(lambda: missing(2), limit_s=60)
    # The same when the VM is lost while nobody looks.
    daemon.kill()
    _lose_vm(daemon)
    daemon.start()
    assert leaks.settle(lambda: missing(3), limit_s=60)
    # And when the daemon starts what a user had stopped.
    hyper("pod", "stop", "-t", "5", "back")
    daemon.kill()
    daemon.start()
    assert leaks.settle(lambda: missing(4), limit_s=60)
    assert hyper("logs", "back-prepare").lines == ["ran"] * 4
    for name in ("a", "b"):
        assert hyper("logs", f"back-{name}").lines == ["prepared"] * 4
    assert containers(hyper, "back")["once"]["State"] == "exited"


def test_an_init_container_that_fails_then_keeps_the_others_from_returning(
    daemon: Daemon, hyper: Hyper
) -> None:
    uses = [{"volume": "v", "path": "/v"}]
    fails = "test ! -e /v/ran && touch /v/ran"
    pod(
        hyper,
        id="fails",
        volumes=[{"name": "v"}],
        containers=[
            container("first", fails, role="init", volumes=uses),
            container("a", SLEEP, restartPolicy="always"),
            container("b", SLEEP, restartPolicy="always"),
        ],
    )
    hyper("exec", "fails-a", "sync")
    _lose_vm(daemon)
    assert leaks.settle(
        lambda: {n for n, c in containers(hyper, "fails").items() if c["State"] != "exited"},
        limit_s=60,
    )
    for name in ("a", "b"):
        error = containers(hyper, "fails")[name]["Error"]
        assert error == "init container first: it ended with status 1"
    hyper("pod", "stop", "fails")


def test_thirty_containers(daemon: Daemon, hyper: Hyper) -> None:
    pod(
        hyper,
        id="many",
        resource={"memory": 512},
        containers=[container(f"c{at}", f"echo {at}; " + SLEEP) for at in range(30)],
    )
    found = containers(hyper, "many")
    assert [item["State"] for item in found.values()] == ["running"] * 30
    assert leaks.settle(lambda: hyper("logs", "many-c29").stdout != "29\n")
    assert len(daemon.vmms()) == 1
    hyper("pod", "stop", "-t", "2", "many")
    assert {item["State"] for item in containers(hyper, "many").values()} == {"exited"}


# --- at a terminal --------------------------------------------------------------------------------

CTRL_P, CTRL_Q = "\x10", "\x11"


def _terminal(daemon: Daemon, folder: Path, *arguments: str) -> Terminal:
    return Terminal([str(HYPER), *arguments], daemon.environment_of_commands(), folder)


def test_a_pod_is_attached_to_watched_and_measured(
    daemon: Daemon, hyper: Hyper, tmp_path: Path
) -> None:
    shell = {"name": "shell", "image": "busybox", "command": ["sh"], "tty": True}
    pod(hyper, id="seen", containers=[shell | {"stdin": True}, container("b", "sleep 600")])
    wanted = ("--since", "0", "-f", "event=pause", "seen")  # also if it connects late
    events = _terminal(daemon, tmp_path, "pod", "events", *wanted)
    stats = _terminal(daemon, tmp_path, "pod", "stats", "--format", "{{.Name}} {{.PIDs}}", "seen")
    attached = _terminal(daemon, tmp_path, "pod", "attach", "seen")
    try:
        attached.send("\r")
        attached.expect("# ")
        attached.resize(31, 97)
        attached.send("until stty size | grep '31 97'; do sleep 0.1; done; echo a''ttached\r")
        attached.expect("31 97\r\nattached")
        # Pods come and go from the figures while they are shown.
        stats.expect("seen-b 1")
        hyper("run", "-d", "--pod", "seen", "--name", "late", "busybox", "sleep", "600")
        stats.expect("late 1")
        once = ("--no-stream", "--format", "{{.PodMem}}", "seen")
        taken = hyper("pod", "stats", *once).lines  # by the pod, so all its containers say the same
        assert len(taken) == 3 and len(set(taken)) == 1 and taken[0].endswith("MiB")
        assert re.search(r"Pods: [\d.]+MiB in \d+\n", hyper("info").stdout)
        hyper("pod", "pause", "seen")
        events.expect(" pod pause ")
        hyper("pod", "unpause", "seen")
        # Leaving leaves the container running.
        attached.send(CTRL_P + CTRL_Q)
        attached.expect("read escape sequence")
        other = _terminal(daemon, tmp_path, "pod", "attach", "--detach-keys", "ctrl-x", "seen")
        other.send("echo a''gain\r")
        other.expect("again\r\n")
        other.send("\x18")
        other.expect("read escape sequence")
        other.close()
    finally:
        for each in (events, stats, attached):
            each.close()
    rows = [line.split() for line in hyper("pod", "top", "seen").lines]
    assert rows[0][0] == "CONTAINER" and {row[0] for row in rows[1:]} >= {"shell", "b"}
    told = hyper("pod", "events", "--since", "0", "--until", "0s", "--format", "{{json .}}", "seen")
    actions = [(one["Type"], one["Action"]) for one in map(json.loads, told.lines)]
    assert ("pod", "create") in actions and ("container", "start") in actions
