"""NFS: one pod serves, another mounts it as a volume."""

import os
import signal

import pytest

from tests.support import nfs
from tests.support.daemon import Daemon
from tests.support.pods import BOX, Hyper, container, containers, inspect, pod

pytestmark = pytest.mark.root  # pods reach each other on networks only


_V3 = "vers=3,nolock,proto=tcp,port=2049,mountproto=tcp,mountport=635"


def test_pods_share_files_over_nfs(daemon: Daemon, hyper: Hyper) -> None:
    hyper("network", "create", "--subnet", "172.30.0.0/24", "nfs")
    nfs.serve(hyper, "server", "nfs", "172.30.0")
    uses = [{"volume": "n", "path": "/n"}]
    volume = {"name": "n", "driver": "nfs", "source": "server:/"}
    interfaces = [{"network": "nfs"}]

    write = container("a", "cat /n/greeting && echo from the client > /n/answer", volumes=uses)
    read = container("b", "until grep client /n/answer; do sleep 0.1; done 2>/dev/null; touch /n/x",
                     volumes=[uses[0] | {"readOnly": True}])  # fmt: skip
    both = {"volumes": [volume], "interfaces": interfaces, "containers": [write, read]}
    shown = pod(hyper, "--rm", status=1, id="client", **both)
    assert sorted(shown.lines) == ["a | from the server", "b | from the client"]
    assert "Read-only file system" in shown.stderr
    assert hyper("exec", "server", "cat", "/export/answer").stdout == "from the client\n"

    wrong = volume | {"source": "server:/nosuch", "options": "vers=4.1"}
    refused = pod(
        hyper, id="other", volumes=[wrong], interfaces=interfaces, status=1, containers=[write]
    )
    assert "volume n: cannot mount the NFS export 172.30.0." in refused.error
    assert "the server exports no such path" in refused.error

    old = volume | {"source": "server:/export", "options": _V3}
    show = container("a", "cat /n/answer; grep -o ,vers=3 /proc/mounts", volumes=uses)
    shown = pod(hyper, "--rm", id="v3", volumes=[old], interfaces=interfaces, containers=[show])
    assert shown.lines == ["from the client", ",vers=3"]

    _a_silent_server_costs_only_who_waits_for_it(daemon, hyper, volume)
    hyper("rm", "--force", "server")
    hyper("network", "rm", "nfs")


def _a_silent_server_costs_only_who_waits_for_it(
    daemon: Daemon, hyper: Hyper, volume: dict[str, str]
) -> None:
    """Its server's vCPUs stand still while two are in the middle of writing.

    One is killed, which no signal does while the kernel waits for pages to be written; then the
    pod goes, with the other.
    """
    uses = [{"volume": "n", "path": "/n"}]
    script = "while :; do dd if=/dev/zero of=/n/$0 bs=64k count=64 2>/dev/null; done"
    writers = [
        {"name": name, "image": BOX, "command": ["sh", "-c", script, name], "volumes": uses}
        for name in ("one", "two")
    ]
    pod(
        hyper,
        id="stuck",
        volumes=[volume],
        interfaces=[{"network": "nfs"}],
        containers=[*writers, container("b", "sleep 600")],
    )
    for name in ("one", "two"):
        shell = f"until [ -s /export/{name} ]; do sleep 0.1; done"
        hyper("exec", "server", "sh", "-c", shell)
    client, server = inspect(hyper, "stuck")["Pid"], _vmm_of(hyper, "server")
    os.kill(server, signal.SIGSTOP)
    try:
        assert hyper("exec", "stuck-b", "echo", "well").stdout == "well\n"
        hyper("kill", "stuck-one")
        assert containers(hyper, "stuck")["one"]["State"] == "exited"
        assert hyper("exec", "stuck-b", "echo", "well").stdout == "well\n"
        assert inspect(hyper, "stuck")["Pid"] == client
        hyper("pod", "rm", "-f", "stuck")
    finally:
        os.kill(server, signal.SIGCONT)
    assert hyper("pod", "ls", "--format", "{{.Name}} {{.State}}").lines == []
    assert client not in daemon.vmms()


def _vmm_of(hyper: Hyper, container: str) -> int:
    pods = hyper("pod", "ls", "--all", "--format", "{{.ID}}").lines
    (name,) = hyper("inspect", "--format", "{{.Id}}", container).lines
    for found in (inspect(hyper, each) for each in pods):
        listed = found["Containers"]
        assert isinstance(listed, list)
        if any(item["Id"] == name for item in listed):
            assert isinstance(found["Pid"], int)
            return found["Pid"]
    raise AssertionError(f"no pod has {container}")
