"""Services inside a pod (IPVS), published ports, probes, hooks, size."""

import json
import re
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon
from tests.support.pods import Hyper, container, containers, inspect, pod
from tests.support.ports import free_port, free_ports

ADDRESS = "10.254.0.24"
MORE_CPUS = 3


def _server(name: str, port: int) -> dict[str, object]:
    script = f"mkdir /w; echo {name} > /w/index.html; exec httpd -f -p {port} -h /w"
    return container(name, script, probes={"readiness": {"tcp": {"port": port}, "period": 0.2}})


def _ask(hyper: Hyper, name: str, address: str, port: int, times: int = 4) -> list[str]:
    request = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 5 nc {address} {port} | tail -n 1"
    script = f"for i in $(seq {times}); do {request}; done"
    return hyper("exec", f"{name}-ask", "sh", "-c", script).lines


def _ready(hyper: Hyper, name: str) -> bool:
    return bool(inspect(hyper, name)["Ready"])


def test_a_service_answers_round_robin_and_changes_live(hyper: Hyper) -> None:
    hosts = [{"hostip": "127.0.0.1", "hostport": port} for port in (8081, 8082)]
    pod(
        hyper,
        id="svc",
        containers=[_server("one", 8081), _server("two", 8082), container("ask", "sleep 600")],
        services=[{"serviceip": ADDRESS, "serviceport": 80, "hosts": hosts}],
    )
    leaks.settle(lambda: not _ready(hyper, "svc"))
    answers = _ask(hyper, "svc", ADDRESS, 80)
    assert sorted(answers) == ["one", "one", "two", "two"]
    assert answers[0] != answers[1]
    hyper("pod", "service", "add", "--name", "late", "svc", "10.254.0.25:81=127.0.0.1:8082")
    assert _ask(hyper, "svc", "10.254.0.25", 81, 2) == ["two", "two"]
    hyper("pod", "service", "add", "--name", "late", "svc", "10.254.0.25:81=127.0.0.1:8081")
    assert _ask(hyper, "svc", "10.254.0.25", 81, 2) == ["one", "one"]
    assert [line.split()[0] for line in hyper("pod", "service", "ls", "svc").lines[1:]] == [
        f"{ADDRESS}:80",
        "late",
    ]
    shown = json.loads(hyper("pod", "service", "ls", "--format", "json", "svc").lines[1])
    assert (shown["Name"], shown["Backends"]) == ("late", "127.0.0.1:8081")
    hyper("pod", "service", "rm", "svc", "late")
    assert not set(_ask(hyper, "svc", "10.254.0.25", 81, 1)) & {"one", "two"}
    refused = hyper("pod", "service", "rm", "svc", "late", status=1)
    assert "no such service: late" in refused.error
    # Services are there again after a restart of the pod.
    hyper("pod", "restart", "-t", "0", "svc")
    leaks.settle(lambda: not _ready(hyper, "svc"))
    assert sorted(_ask(hyper, "svc", ADDRESS, 80, 2)) == ["one", "two"]


def test_a_pod_without_network_has_services_too(hyper: Hyper) -> None:
    hosts = [{"hostip": "127.0.0.1", "hostport": 8081}]
    pod(
        hyper,
        id="alone",
        interfaces=[{"network": "none"}],
        containers=[_server("one", 8081), container("ask", "sleep 600")],
        services=[{"serviceip": ADDRESS, "serviceport": 80, "hosts": hosts}],
    )
    leaks.settle(lambda: not _ready(hyper, "alone"))
    assert _ask(hyper, "alone", ADDRESS, 80, 1) == ["one"]


def test_two_services_at_one_place_are_refused(hyper: Hyper) -> None:
    service = {"serviceip": ADDRESS, "serviceport": 80}
    refused = pod(hyper, services=[service, service | {"name": "other"}], status=1)
    assert f"two services of the pod are named '{ADDRESS}:80/tcp'" in refused.error


def test_published_ranges_answer_on_the_host_and_a_taken_port_is_told(hyper: Hyper) -> None:
    first = free_ports(2)
    ranges = [{"hostPort": f"{first}-{first + 1}", "containerPort": "8081-8082"}]
    pod(
        hyper,
        id="ports",
        containers=[_server("one", 8081), _server("two", 8082)],
        portmappings=ranges,
    )
    leaks.settle(lambda: not _ready(hyper, "ports"))
    for at, text in enumerate(("one", "two")):
        with urllib.request.urlopen(f"http://127.0.0.1:{first + at}/", timeout=60) as answer:
            assert answer.read().decode().strip() == text
    assert len(hyper("pod", "port", "ls", "ports").lines) == 2
    shown = json.loads(hyper("pod", "port", "ls", "--format", "json", "ports").lines[0])
    assert (shown["ContainerPort"], shown["HostPort"]) == ("8081", str(first))
    refused = hyper("pod", "port", "add", "ports", "99999", status=1)
    assert "containerPort: '99999' is no port" in refused.error
    late = free_port()
    hyper("pod", "port", "add", "ports", f"{late}:8082")
    with urllib.request.urlopen(f"http://127.0.0.1:{late}/", timeout=60) as answer:
        assert answer.read() == b"two\n"
    hyper("pod", "port", "rm", "ports", f"{late}:8082")
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", late), timeout=60):
        pass
    refused = hyper("pod", "port", "rm", "ports", f"{late}:8082", status=1)
    assert "no such published port: 8082/tcp" in refused.error
    refused = pod(hyper, id="same", containers=[_server("x", 8081)], portmappings=ranges, status=1)
    assert "port is already allocated" in refused.error


def _health_server(status: int) -> str:
    """Return a shell command: a gRPC server of canned frames, SETTINGS and an answer."""
    answer = rf"\0\0\0\4\0\0\0\0\0\0\0\7\0\1\0\0\0\1\0\0\0\0\2\10\{status}"
    return f"while :; do printf '{answer}' | nc -l -p 5005{status}; done"


def test_a_failed_liveness_probe_restarts_the_container(hyper: Hyper) -> None:
    alive = {"exec": ["test", "-f", "/alive"], "period": 0.2, "timeout": 5, "initialDelay": 2}
    pod(
        hyper,
        id="live",
        containers=[
            container(
                "a",
                "touch /alive; trap exit TERM; sleep 600 & wait",
                restartPolicy="always",
                probes={"liveness": alive, "startup": alive | {"initialDelay": 0, "period": 0.2}},
            ),
            *(
                container(
                    f"grpc{status}",
                    _health_server(status),
                    probes={"readiness": {"grpc": {"port": 50050 + status}, "period": 0.5,
                                          "timeout": 5}},
                )
                for status in (1, 2)
            ),
        ],
    )  # fmt: skip
    assert leaks.settle(lambda: not containers(hyper, "live")["grpc1"]["Ready"], limit_s=60)
    assert not containers(hyper, "live")["grpc2"]["Ready"]
    assert leaks.settle(lambda: not containers(hyper, "live")["a"]["Started"])
    before = containers(hyper, "live")["a"]["RestartCount"]
    hyper("exec", "live-a", "rm", "/alive")
    assert leaks.settle(
        lambda: containers(hyper, "live")["a"]["RestartCount"] == before, limit_s=60
    )


def test_hooks_run_after_the_start_and_before_the_stop(hyper: Hyper) -> None:
    pod(
        hyper,
        id="hooks",
        containers=[
            container(
                "a",
                "trap 'echo term; exit' TERM; sleep 600 & wait",
                hooks={
                    "postStart": {"exec": ["sh", "-c", "echo started > /proc/1/fd/1"]},
                    "preStop": {"exec": ["sh", "-c", "echo stopping > /proc/1/fd/1"]},
                },
            )
        ],
    )
    hyper("pod", "stop", "hooks")
    assert hyper("logs", "hooks-a").lines == ["started", "stopping", "term"]
    hook = {"postStart": {"exec": ["false"]}}
    document = {"id": "badhook", "containers": [container("a", "sleep 60", hooks=hook)]}
    hyper("pod", "create", "-f", "-", input=json.dumps(document))
    refused = hyper("pod", "start", "badhook", status=1)
    assert "container a did not start: its post-start hook failed" in refused.error
    (ended,) = json.loads(hyper("inspect", "badhook-a").stdout)
    assert ended["State"]["Error"].startswith("its post-start hook failed")


def test_a_pod_can_be_stopped_while_its_start_waits_for_a_sidecar(hyper: Hyper) -> None:
    never = {"startup": {"exec": ["false"], "period": 1, "failureThreshold": 600}}
    parts = [container("side", "sleep 600", role="sidecar", probes=never), container("a", "true")]
    document = {"id": "waits", "containers": parts}
    hyper("pod", "create", "-f", "-", input=json.dumps(document))
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(hyper, "pod", "start", "waits", status=1)
        assert leaks.settle(lambda: containers(hyper, "waits")["side"]["State"] != "running")
        hyper("pod", "stop", "waits")
        assert "the pod was stopped" in starting.result(timeout=60).error
    assert inspect(hyper, "waits")["State"] == "stopped"


def test_a_pod_is_resized_where_a_running_vm_can_be(daemon: Daemon, hyper: Hyper) -> None:
    pod(
        hyper,
        id="size",
        containers=[container("a", "sleep 600")],
        resource={"memory": 128, "vcpu": 1, "maxMemory": 256, "maxVcpu": 2},
    )
    assert hyper("exec", "size-a", "nproc").lines == ["1"]
    assert leaks.settle(lambda: _total_mib(hyper) > 130, 60)
    hyper("pod", "resize", "-m", "256m", "size")
    assert leaks.settle(lambda: _total_mib(hyper) < 200, 60)
    refused = hyper("pod", "resize", "-m", "512m", "size", status=1)
    assert "was started with 256 MiB: a running VM can only be given less" in refused.error
    for nothing in (("-m", "0"), ("--vcpus", "0"), ("--vcpus", "-1")):
        assert "needs more than that" in hyper("pod", "resize", *nothing, "size", status=1).error
    for vcpus in ("1", "2", "1"):
        hyper("pod", "resize", "--vcpus", vcpus, "size")
        assert hyper("exec", "size-a", "nproc").lines == [vcpus]
    daemon.kill()  # the next one still knows how many there are
    daemon.start()
    hyper("pod", "resize", "--vcpus", "2", "-m", "128m", "size")
    assert hyper("exec", "size-a", "nproc").lines == ["2"]
    refused = hyper("pod", "resize", "--vcpus", str(MORE_CPUS), "size", status=1)
    assert re.search("was started with 2 vCPUs|this host has", refused.error)
    hyper("pod", "stop", "-t", "0", "size")
    hyper("pod", "resize", "-m", "384m", "--vcpus", "2", "size")
    hyper("pod", "start", "size")
    assert hyper("exec", "size-a", "nproc").stdout == "2\n"
    assert 300 < _total_mib(hyper) < 384


def _total_mib(hyper: Hyper) -> int:
    return (
        int(hyper("exec", "size-a", "awk", "/MemTotal/ {print $2}", "/proc/meminfo").stdout) >> 10
    )


def test_kernel_parameters_are_those_the_daemon_allows(hyper: Hyper) -> None:
    pod(
        hyper,
        id="cmd",
        kernelParameters=["loglevel=3"],
        containers=[container("a", "sleep 600")],
    )
    assert "loglevel=3" in hyper("exec", "cmd-a", "cat", "/proc/cmdline").stdout.split()
    refused = pod(hyper, kernelParameters=["init=/bin/sh"], status=1)
    assert "kernel parameter init is not allowed" in refused.error
