"""hyper play kube, kube down, generate kube: what they send and what they print of an answer."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, fake_daemon

from hyper.cli.__main__ import run

Hyper = Callable[..., tuple[int, str, str]]
PATH = "/hyper/v1/play/kube"
ONE = {"Id": "p1", "Name": "web", "Containers": [{"Id": "c1", "Name": "web-a"}]}
TWO = {"Id": "p2", "Name": "db", "Containers": [{"Id": "c2"}, {"Id": "c3"}]}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with fake_daemon(tmp_path) as fake:
        monkeypatch.setenv("HYPER_HOST", fake.url)
        yield fake


@pytest.fixture
def hyper(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> Hyper:
    def call(*words: str) -> tuple[int, str, str]:
        status = run(list(words))
        output = capfd.readouterr()
        return status, output.out, output.err

    return call


def _lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\r\n" for value in values)


def test_a_play_prints_volumes_then_pods_and_warns_on_stderr(
    hyper: Hyper, daemon: FakeDaemon, tmp_path: Path
) -> None:
    made = {"volume": "new", "made": True}, {"volume": "old", "made": False}
    answer = _lines(
        {"warning": "x has no effect"}, {"status": "Pulling box"}, *made, {"pod": ONE}, {"pod": TWO}
    )
    daemon.on("POST", PATH, answer)
    (tmp_path / "a.yaml").write_text("a: 1")
    (tmp_path / "b.yaml").write_text("b: 2")
    (tmp_path / "c.yaml").write_text("c: 3")
    files = [str(tmp_path / name) for name in ("a.yaml", "b.yaml")]
    status, out, err = hyper("play", "kube", "--configmap", str(tmp_path / "c.yaml"), *files)
    assert (status, err) == (0, "WARNING: x has no effect\nPulling box\n")
    assert out == ("Volumes:\nnew\nPod:\np1\nContainer:\nc1\n\nPod:\np2\nContainers:\nc2\nc3\n\n")
    (asked,) = daemon.asked("POST")
    assert asked.json == {"Text": "a: 1\n---\nb: 2", "Configuration": "c: 3"}
    assert asked.query == {"start": "1"}


def test_flags_go_with_the_request(hyper: Hyper, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.on("POST", PATH, b"")
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    hyper("kube", "play", "--replace", "--start=false", "-t", "0", str(file))
    assert daemon.asked("POST")[0].query == {"replace": "1", "start": "0", "t": "0"}


def test_an_error_after_the_first_line_is_a_failure(
    hyper: Hyper, daemon: FakeDaemon, tmp_path: Path
) -> None:
    daemon.on("POST", PATH, _lines({"volume": "new", "made": True}, {"error": "no space"}))
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    assert hyper("play", "kube", str(file)) == (1, "", "no space\n")
    missing = str(tmp_path / "none")
    assert hyper("play", "kube", missing)[2] == f"open {missing}: no such file or directory\n"
    (tmp_path / "bytes").write_bytes(b"\xff")
    assert "not a text file" in hyper("play", "kube", str(tmp_path / "bytes"))[2]


@pytest.mark.parametrize("words", [("kube", "down"), ("play", "kube", "--down")])
def test_down_prints_what_went(
    words: tuple[str, ...], hyper: Hyper, daemon: FakeDaemon, tmp_path: Path
) -> None:
    answer = _lines({"stopped": "p1"}, {"removed": "p1"}, {"volumeRemoved": "new"})
    daemon.on("DELETE", PATH, answer)
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    status, out, _ = hyper(*words, "--force", str(file))
    assert (status, out) == (0, "Pods stopped:\np1\nPods removed:\np1\nVolumes removed:\nnew\n")
    (asked,) = daemon.asked("DELETE")
    assert (asked.query, asked.json) == ({"volumes": "1"}, {"Text": "a: 1", "Configuration": ""})
    daemon.on("DELETE", PATH, _lines({"error": "it does not stop"}))
    assert hyper(*words, str(file))[::2] == (
        1, "Error response from daemon: it does not stop\n")  # fmt: skip


def test_every_registrys_credentials_go_with_a_play(
    hyper: Hyper, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "docker").mkdir()
    auths = {f"{name}.example": {"auth": base64.b64encode(b"me:" + name.encode()).decode()}
             for name in ("one", "two")}  # fmt: skip
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": auths}))
    daemon.on("POST", PATH, b"")
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    hyper("play", "kube", str(file))
    header = daemon.requests[-1].headers["x-registry-config"]
    sent = json.loads(base64.urlsafe_b64decode(header))
    assert {name: entry["password"] for name, entry in sent.items()} == {
        "one.example": "one", "two.example": "two"}  # fmt: skip


def test_generate_prints_or_writes_a_new_file(
    hyper: Hyper, daemon: FakeDaemon, tmp_path: Path
) -> None:
    daemon.on("GET", "/hyper/v1/generate/kube", b"kind: Pod\n")
    assert hyper("generate", "kube", "web") == (0, "kind: Pod\n", "")
    target = tmp_path / "web.yaml"
    assert hyper("kube", "generate", "-f", str(target), "web") == (0, "", "")
    assert target.read_text() == "kind: Pod\n"
    assert hyper("generate", "kube", "-f", str(target), "web")[::2] == (
        1, f"cannot write to {target}: file exists\n")  # fmt: skip
