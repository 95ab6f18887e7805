"""`hyper play kube` against a real daemon: what a play makes, replaces, removes and refuses."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon, Result

Hyper = Callable[..., Result]
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    command: [sh, -c, "echo started; exec sleep 600"]
"""
CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""
FAILING = POD.replace("web", "bad").replace("[sh,", "[no-such-program,")


@pytest.fixture
def play(hyper: Hyper) -> Iterator[Callable[..., Result]]:
    """Return a function that plays a text; its pods and volumes are gone afterwards."""
    played: list[str] = []

    def run(text: str, *flags: str, status: int = 0) -> Result:
        played.append(text)
        return hyper("play", "kube", *flags, "-", input=text, status=status)

    yield run
    for text in reversed(played):
        hyper("kube", "down", "--force", "--time", "0", "-", input=text, status=None)


def _names(hyper: Hyper) -> set[str]:
    return set(hyper("ps", "--all", "--format", "{{.Names}}").lines)


def _log(hyper: Hyper, container: str, wanted: str) -> str:
    leaks.settle(lambda: wanted not in hyper("logs", container).stdout, limit_s=90)
    return hyper("logs", container).stdout


def test_a_play_prints_ids_and_its_pod_runs(hyper: Hyper, play: Callable[..., Result]) -> None:
    printed = play(POD)
    assert printed.lines[0] == "Pod:" and printed.lines[2] == "Container:"
    pod, container = printed.lines[1], printed.lines[3]
    assert printed.lines[4:] == [""] and printed.stderr == ""
    assert len(pod) == len(container) == 64
    shown = json.loads(hyper("inspect", "web-main").stdout)[0]
    assert (shown["Id"], shown["State"]["Running"]) == (container, True)
    assert shown["Config"]["Labels"]["app"] == "web"
    assert _log(hyper, "web-main", "started") == "started\n"
    assert hyper("exec", "web-main", "hostname").stdout == "web\n"


def test_playing_again_needs_replace(hyper: Hyper, play: Callable[..., Result]) -> None:
    first = play(POD)
    assert "a pod named web exists: play with --replace" in play(POD, status=1).error
    second = play(POD, "--replace")
    assert first.lines[1] != second.lines[1]
    assert _names(hyper) == {"web-main"}


def test_down_removes_pods_and_with_force_volumes(
    daemon: Daemon, hyper: Hyper, play: Callable[..., Result]
) -> None:
    text = f"{POD}---\n{CLAIM}"
    printed = play(text)
    assert printed.lines[:2] == ["Volumes:", "kept"]
    pod = printed.lines[3]
    down = hyper("play", "kube", "--down", "-", input=text)
    assert down.lines == ["Pods stopped:", pod, "Pods removed:", pod, "Volumes removed:"]
    assert _names(hyper) == set() and not daemon.vmms()
    assert "kept" in hyper("volume", "ls", "-q").lines
    again = hyper("kube", "down", "--force", "-", input=text)
    assert again.lines == ["Pods stopped:", "Pods removed:", "Volumes removed:", "kept"]


def test_what_is_not_to_start_is_only_made(
    daemon: Daemon, hyper: Hyper, play: Callable[..., Result]
) -> None:
    play(POD, "--start=false")
    shown = json.loads(hyper("inspect", "web-main").stdout)[0]
    assert shown["State"]["Status"] == "created" and not daemon.vmms()


def test_nothing_is_made_when_a_document_is_wrong(
    hyper: Hyper, play: Callable[..., Result]
) -> None:
    wrong = POD.replace("web", "other").replace("image:", "hostPort: 1\n    image:")
    refused = play(f"{POD}---\n{wrong}", status=1)
    assert refused.error == (
        'Error response from daemon: Pod "other" is invalid: strict decoding error: unknown field '
        '"spec.containers[0].hostPort"'
    )
    missing = POD.replace("image: busybox", "image: nowhere.invalid/x\n    imagePullPolicy: Never")
    refused = play(missing, status=1)
    assert "No such image: nowhere.invalid/x: Pod" in refused.error
    assert "spec.containers[0].imagePullPolicy is Never" in refused.error
    rooted = POD.replace("containers:", "securityContext: {runAsNonRoot: true}\n  containers:")
    assert (
        "spec.containers[0].securityContext.runAsNonRoot: container has runAsNonRoot and image "
        "will run as root"
    ) in play(rooted, status=1).error
    assert _names(hyper) == set()


def test_a_pod_that_does_not_start_stays_and_says_why(
    daemon: Daemon, hyper: Hyper, play: Callable[..., Result]
) -> None:
    failed = play(FAILING, status=1)
    assert "pod bad: container main did not start: " in failed.error
    assert 'exec: "no-such-program": executable file not found in $PATH' in failed.error
    assert _names(hyper) == {"bad-main"} and not daemon.vmms()


def test_configuration_may_come_from_another_file(
    hyper: Hyper, play: Callable[..., Result], run_dir: Path
) -> None:
    configuration = run_dir / "conf.yaml"
    configuration.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {WORD: hello}\n"
    )
    text = POD.replace("    command", "    envFrom: [{configMapRef: {name: conf}}]\n    command")
    assert 'configmap "conf" not found' in play(text, status=1).error
    play(text.replace("started", "$(WORD)"), "--configmap", str(configuration))
    assert _log(hyper, "web-main", "hello") == "hello\n"


def test_fields_without_effect_are_said(play: Callable[..., Result]) -> None:
    printed = play(POD.replace("spec:", "spec:\n  nodeSelector: {disk: ssd}"), "--start=false")
    assert printed.stderr == (
        'WARNING: Pod "web": spec.nodeSelector: has no effect: there is one node\n'
    )


def test_a_generated_manifest_plays_back_to_an_equal_pod(
    hyper: Hyper, play: Callable[..., Result]
) -> None:
    conf = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {word: from a file}\n"
    pod = POD.replace("    command", "    volumeMounts: [{name: c, mountPath: /c}]\n    command")
    pod = pod.replace("started", "$$; cat /c/word").replace(
        "  containers:", "  volumes: [{name: c, configMap: {name: conf}}]\n  containers:"
    )
    play(f"{conf}---\n{pod}")
    text = hyper("generate", "kube", "web").stdout
    assert "# Not in it" not in text
    play(text, "--replace")
    assert "from a file" in _log(hyper, "web-main", "from a file")
    assert hyper("kube", "generate", "web").stdout == text


def test_a_lone_container_becomes_a_pod(
    hyper: Hyper, play: Callable[..., Result], run_dir: Path
) -> None:
    hyper("run", "-d", "--name", "my_box", "-e", "A=$(B)", "-u", "1000:5", "-m", "64m", "--ulimit",
          "nofile=99", "busybox", "sh", "-c", "echo $A; id -g; sleep 600")  # fmt: skip
    file = run_dir / "box.yaml"
    assert hyper("generate", "kube", "-f", str(file), "my_box").stdout == ""
    text = file.read_text()
    assert "# Not in it: my-box: resources.rlimits of container my-box\n" in text
    refused = hyper("generate", "kube", "-f", str(file), "my_box", status=1)
    assert refused.error == f"cannot write to {file}: file exists"
    play(text)
    assert _log(hyper, "my-box-my-box", "5") == "$(B)\n5\n"
    other = hyper("generate", "kube", "my-box-my-box", status=1)
    assert "container my-box-my-box is one of pod my-box: generate a manifest of" in other.error
    assert "no such pod or container: none" in hyper("generate", "kube", "none", status=1).error


SERVED = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: busybox
        command: [sh, -c, "mkdir /w; hostname > /w/index.html; exec httpd -f -p 8080 -h /w"]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe:
          httpGet: {port: http}
          initialDelaySeconds: 2
          periodSeconds: 1
          timeoutSeconds: 30
          failureThreshold: 1
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: each}
spec: {clusterIP: None, selector: {app: web}}
"""


@pytest.mark.root  # an ordinary user may have no namespaces: then this is refused
def test_a_service_balances_over_the_ready_pods_and_follows_them(
    daemon: Daemon, hyper: Hyper, play: Callable[..., Result]
) -> None:
    """Service and pods are played apart, as one does who has them in two files."""
    shown = play(SERVICE).lines
    assert "each at the addresses of its pods" in shown
    said = shown[1]
    address, port = said.split(" at ")[1].removesuffix(" of this host").split(", port ")
    play(SERVED)

    def ask(times: int, source: str = "web-0") -> list[str]:
        request = "wget -qO- http://front.default.svc/ 2> /dev/null || echo refused"
        script = f"for i in $(seq {times}); do {request}; done"
        return hyper("pod", "exec", source, "sh", "-c", script).lines

    def both() -> bool:
        return sorted(ask(2)) == ["web-0", "web-1"]

    assert leaks.settle(lambda: not both(), limit_s=60)
    # In turn, for a pod that is itself behind it and for the host.
    assert sorted(ask(6)) == ["web-0"] * 3 + ["web-1"] * 3
    found = hyper("pod", "exec", "web-1", "nslookup", "-type=a", "front").stdout
    assert f"Address: {address}" in found
    assert len(_addresses(hyper, "each")) == 2
    (one,) = _addresses(hyper, "web-1.each.default.svc.cluster.local")
    assert hyper("pod", "exec", "web-1", "hostname", "-i").stdout.split()[0] == one
    assert sorted(_fetch(port) for _ in range(4)) == ["web-0"] * 2 + ["web-1"] * 2
    listed = hyper("kube", "services").lines[1].split()
    assert listed[:3] == ["front", f"{address}:80/tcp", port] and listed[3].count(":8080") == 2
    refused = hyper("network", "rm", "kube", status=1)
    assert "network kube has services (front, each)" in refused.error
    # One that is not ready, or gone, gets nothing; what another daemon finds is as it was.
    hyper("pod", "exec", "web-1", "rm", "/w/index.html")
    assert leaks.settle(lambda: ask(2) != ["web-0"] * 2, limit_s=60)
    daemon.kill()
    daemon.start()
    assert ask(2) == ["web-0"] * 2 and _fetch(port) == "web-0"
    assert leaks.settle(lambda: len(_addresses(hyper, "each")) != 1, limit_s=60)
    hyper("pod", "stop", "-t", "0", "web-1")
    assert set(ask(2)) == {"web-0"}
    hyper("pod", "start", "web-1")
    assert leaks.settle(lambda: not both(), limit_s=60)
    down = hyper("kube", "down", "-", input=SERVICE)
    assert down.lines[-4:] == ["Services removed:", "front", "each", "Volumes removed:"]
    assert _addresses(hyper, "each") == []
    assert ask(1) == ["refused"]


def _addresses(hyper: Hyper, name: str) -> list[str]:
    """Return what a name has for a pod, without the address of the server that says so."""
    shown = hyper("pod", "exec", "web-0", "nslookup", "-type=a", name, status=None).stdout
    return re.findall(r"Address: (\S+)", shown.partition("\n\n")[2])


def _fetch(port: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        text: bytes = answer.read()
    return text.decode().strip()
