"""NFS: one pod serves, another mounts it as a volume."""

import pytest

from tests.support import nfs
from tests.support.pods import Hyper, container, pod

pytestmark = pytest.mark.root  # pods reach each other on networks only


def test_pods_share_files_over_nfs(hyper: Hyper) -> None:
    hyper("network", "create", "--subnet", "172.30.0.0/24", "nfs")
    nfs.serve(hyper, "server", "nfs", "172.30.0")
    uses = [{"volume": "n", "path": "/n"}]
    volume = {"name": "n", "driver": "nfs", "source": "server:/"}
    interfaces = [{"network": "nfs"}]

    write = container("a", "cat /n/greeting && echo from the client > /n/answer", volumes=uses)
    read = container("b", "until cat /n/answer; do sleep 0.1; done 2>/dev/null; touch /n/x",
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

    hyper("rm", "--force", "server")
    hyper("network", "rm", "nfs")
