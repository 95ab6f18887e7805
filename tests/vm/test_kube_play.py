"""`hyper play kube` against a real daemon: what a play makes, replaces, removes and refuses."""

import json
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
    leaks.settle(lambda: wanted not in hyper("logs", container).stdout, limit_s=30)
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
