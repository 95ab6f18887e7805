"""Commands in this process against a daemon of ours: outputs, statuses and requests as docker's."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, Request, fake_daemon

from hyper.cli import registry, usage
from hyper.cli.__main__ import run

Hyper = Callable[..., tuple[int, str, str]]
IDENTIFIER = "cd" * 32
SUMMARY = {
    "Id": IDENTIFIER,
    "Names": ["/web"],
    "Image": "busybox",
    "Command": "sh -c 'while true; do sleep 1; done'",
    "Created": 1700000000,
    "State": "running",
    "Status": "Up 2 minutes",
    "SizeRw": 1000,
    "SizeRootFs": 4001000,
    "Ports": [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 443, "Type": "tcp"},
        {"PrivatePort": 444, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 90, "PublicPort": 90, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 91, "PublicPort": 91, "Type": "tcp"},
    ],
    "Labels": {"b": "2", "a": "1"},
    "Mounts": [{"Type": "volume", "Name": "data-of-the-whole-world", "Driver": "local"}],
    "NetworkSettings": {"Networks": {"bridge": {}}},
}
INSPECT = {
    "Id": IDENTIFIER,
    "Name": "/web",
    "State": {"Running": True, "Status": "running"},
    "Config": {"Env": ["A=b"]},
    "NetworkSettings": {
        "Ports": {
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "::", "HostPort": "8080"},
            ],
            "443/tcp": None,
        }
    },
}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with fake_daemon(tmp_path) as fake:
        monkeypatch.setenv("HYPER_HOST", fake.url)
        fake.on("GET", "/containers/json", [SUMMARY])
        fake.on("GET", "/containers/web/json", INSPECT)
        for method in ("GET", "POST", "DELETE"):
            missing = (404, {"message": "No such container: nope"})
            fake.on(method, "/containers/nope(/.*)?", missing)
        yield fake


@pytest.fixture
def hyper(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> Hyper:
    def call(*words: str) -> tuple[int, str, str]:
        status = run(list(words))
        output = capfd.readouterr()
        return status, output.out, output.err

    return call


def test_ps_is_dockers_table(hyper: Hyper) -> None:
    status, out, _ = hyper("ps")
    header, row = out.splitlines()
    assert status == 0
    assert header.split("   ")[0] == "CONTAINER ID"
    assert row.startswith('cdcdcdcdcdcd   busybox   "sh -c \'while true; …"   ')
    assert "0.0.0.0:90-91->90-91/tcp, 443-444/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp" in row
    assert header.index("NAMES") == row.index("web")


def test_ps_formats(hyper: Hyper, daemon: FakeDaemon) -> None:
    assert hyper("ps", "-q")[1] == "cdcdcdcdcdcd\n"
    assert hyper("ps", "-q", "--no-trunc")[1] == IDENTIFIER + "\n"
    found = hyper("ps", "--format", '{{.Names}} {{.Label "a"}} {{.Labels}} {{.Mounts}} {{.Size}}')
    assert found[1] == "web 1 a=1,b=2 data-of-the-wh… 1kB (virtual 4MB)\n"
    assert daemon.requests[-1].query == {"size": "1"}
    assert hyper("ps", "--format", "table {{.ID}}\\t{{.Names}}")[1] == (
        "CONTAINER ID   NAMES\ncdcdcdcdcdcd   web\n"
    )
    row = json.loads(hyper("ps", "--format", "json")[1])
    assert row["Names"] == "web"
    assert list(row) == sorted(row)


def test_ps_asks_for_what_the_flags_say(hyper: Hyper, daemon: FakeDaemon) -> None:
    hyper("ps", "-a", "-n", "3", "-f", "name=a", "-f", "name=b")
    query = daemon.requests[-1].query
    assert query["all"] == "1"
    assert query["limit"] == "3"
    assert json.loads(query["filters"]) == {"name": ["a", "b"]}


@pytest.mark.parametrize(("options", "asked"), [((), "0"), (("--all",), "1")])
def test_pods_made_for_one_container_are_listed_only_with_all(
    hyper: Hyper, daemon: FakeDaemon, options: tuple[str, ...], asked: str
) -> None:
    daemon.on("GET", "/hyper/v1/pods", [])
    assert hyper("pod", "ls", *options)[0] == 0
    assert daemon.requests[-1].query["lone"] == asked


def test_a_wrong_template_is_told(hyper: Hyper) -> None:
    status, _, err = hyper("ps", "--format", "{{.ID")
    assert (status, err) == (1, "failed to parse template: template: :1: unclosed action\n")


@pytest.mark.parametrize("verb", ["stop", "start", "restart", "kill", "pause", "unpause"])
def test_verbs_print_names_and_go_on_after_a_failure(
    hyper: Hyper, daemon: FakeDaemon, verb: str
) -> None:
    daemon.on("POST", f"/containers/web/{verb}", (204, b""))
    status, out, err = hyper(verb, "nope", "web")
    assert (status, out) == (1, "web\n")
    assert err.startswith("Error response from daemon: No such container: nope\n")


def test_stop_sends_its_flags(hyper: Hyper, daemon: FakeDaemon) -> None:
    daemon.on("POST", "/containers/web/stop", (204, b""))
    hyper("stop", "-t", "0", "-s", "INT", "web")
    assert daemon.requests[-1].query == {"signal": "INT", "t": "0"}


def test_rm_of_what_is_not_there_is_fine_with_force(hyper: Hyper, daemon: FakeDaemon) -> None:
    daemon.on("DELETE", "/containers/web", (204, b""))
    assert hyper("rm", "nope")[0] == 1
    assert hyper("rm", "-fv", "web", "nope")[0] == 0
    assert daemon.asked("DELETE", "/web")[0].query == {"force": "1", "v": "1"}


def test_wait_prints_statuses(hyper: Hyper, daemon: FakeDaemon) -> None:
    daemon.on("POST", "/containers/web/wait", {"StatusCode": 3})
    assert hyper("wait", "web") == (0, "3\n", "")


def test_inspect_and_its_formats(hyper: Hyper) -> None:
    assert json.loads(hyper("inspect", "web")[1]) == [INSPECT]
    found = hyper("inspect", "-f", "{{.State.Running}} {{json .Config.Env}}", "web")
    assert found == (0, 'true ["A=b"]\n', "")
    assert hyper("inspect", "-f", "{{.A", "web")[0] == 64
    assert hyper("inspect", "nope") == (1, "[]\n", "Error: No such object: nope\n")
    container = hyper("container", "inspect", "nope")
    assert container[2] == "Error response from daemon: No such container: nope\n"


def test_port(hyper: Hyper) -> None:
    assert hyper("port", "web")[1] == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    assert hyper("port", "web", "80")[1] == "0.0.0.0:8080\n[::]:8080\n"
    failure = hyper("port", "web", "81")
    assert failure == (1, "", "Error: No public port '81' published for web\n")


def test_logs_split_the_streams(hyper: Hyper, daemon: FakeDaemon) -> None:
    frames = b"\1\0\0\0\0\0\0\4out\n\2\0\0\0\0\0\0\4err\n"
    daemon.on("GET", "/containers/web/logs", frames)
    assert hyper("logs", "-n", "5", "-t", "web") == (0, "out\n", "err\n")
    assert daemon.requests[-1].query["tail"] == "5"


def test_since_takes_a_duration(hyper: Hyper, daemon: FakeDaemon) -> None:
    daemon.on("GET", "/containers/web/logs", b"")
    hyper("logs", "--since", "1h", "--until", "2024-01-01T00:00:00Z", "web")
    query = daemon.requests[-1].query
    assert float(query["since"]) == pytest.approx(time.time() - 3600, abs=60)
    assert query["until"] == "1704067200.000000000"


def test_exec_sends_what_it_is_asked(hyper: Hyper, daemon: FakeDaemon) -> None:
    def start(request: Request) -> None:
        request.upgrade()
        request.send(b"\1\0\0\0\0\0\0\3hi\n")

    daemon.on("POST", "/containers/web/exec", (201, {"Id": "e1"}))
    daemon.on("POST", "/exec/e1/start", start)
    daemon.on("GET", "/exec/e1/json", {"ExitCode": 9})
    found = hyper("exec", "-e", "A=b", "-w", "/w", "-u", "1", "web", "sh", "-c", "-i")
    assert found == (9, "hi\n", "")
    assert daemon.asked("POST", "/web/exec")[0].json == {
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Cmd": ["sh", "-c", "-i"],
        "User": "1",
        "WorkingDir": "/w",
        "Env": ["A=b"],
    }


def test_images_have_a_row_for_each_name(hyper: Hyper, daemon: FakeDaemon) -> None:
    image = {"Id": "sha256:" + "ab" * 32, "Created": 1700000000, "Size": 4261550}
    digest = "sha256:" + "12" * 32
    named = {**image, "RepoTags": ["busybox:1", "a:5/b:2"], "RepoDigests": [f"busybox@{digest}"]}
    daemon.on("GET", "/images/json", [named, {**image, "RepoTags": [], "RepoDigests": []}])
    lines = hyper("images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}")[1].splitlines()
    assert lines == ["busybox:1 4.26MB", "a:5/b:2 4.26MB", "<none>:<none> 4.26MB"]
    with_digests = hyper("images", "--digests")[1].splitlines()
    assert digest in with_digests[1]


def test_an_image_that_does_not_say_when_it_was_made_is_not_old(
    hyper: Hyper, daemon: FakeDaemon
) -> None:
    daemon.on("GET", "/images/json", [{"Id": "sha256:" + "ab" * 32, "Created": 0, "Size": 1}])
    assert hyper("images", "--format", "{{.CreatedSince}}")[1] == "N/A\n"


def test_pull_prints_what_happens_and_the_full_name(hyper: Hyper, daemon: FakeDaemon) -> None:
    messages = [
        {"status": "Pulling from library/busybox", "id": "latest"},
        {"status": "Downloading", "progressDetail": {"current": 5, "total": 10}, "id": "abc"},
        {"status": "Pull complete", "progressDetail": {}, "id": "abc"},
        {"status": "Status: Downloaded newer image for busybox:latest"},
    ]
    body = "\n".join(json.dumps(message) for message in messages).encode()
    daemon.on("POST", "/images/create", lambda request: body)
    assert hyper("pull", "busybox")[1].splitlines() == [
        "Using default tag: latest",
        "latest: Pulling from library/busybox",
        "abc: Pull complete",
        "Status: Downloaded newer image for busybox:latest",
        "docker.io/library/busybox:latest",
    ]
    assert hyper("pull", "-q", "localhost:5000/a:1")[1] == "localhost:5000/a:1\n"


def test_an_error_in_a_stream_is_a_failure(hyper: Hyper, daemon: FakeDaemon) -> None:
    daemon.on("POST", "/images/create", lambda r: b'{"error":"no space left on device"}')
    assert hyper("pull", "-q", "x") == (1, "", "no space left on device\n")


def test_credentials_of_the_users_file_go_with_a_pull(
    hyper: Hyper, daemon: FakeDaemon, tmp_path: Path
) -> None:
    import base64

    (tmp_path / "docker").mkdir()
    auth = base64.b64encode(b"me:secret").decode()
    config = {"auths": {"reg.example": {"auth": auth}}}
    (tmp_path / "docker" / "config.json").write_text(json.dumps(config))
    daemon.on("POST", "/images/create", lambda request: b"")
    hyper("pull", "-q", "reg.example/a")
    sent = json.loads(base64.urlsafe_b64decode(daemon.requests[-1].headers["x-registry-auth"]))
    assert sent == {"username": "me", "password": "secret", "serveraddress": "reg.example"}
    hyper("pull", "-q", "other.example/a")
    assert "x-registry-auth" not in daemon.requests[-1].headers


def test_a_credential_helper_is_asked(
    hyper: Hyper, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import base64

    helper = tmp_path / "docker-credential-mine"
    helper.write_text(
        "#!/bin/sh\nread server\n"
        'echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"t of $server\\"}"\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text('{"credsStore": "mine"}')
    daemon.on("POST", "/images/create", lambda request: b"")
    hyper("pull", "-q", "reg.example/a")
    sent = json.loads(base64.urlsafe_b64decode(daemon.requests[-1].headers["x-registry-auth"]))
    assert sent["identitytoken"] == "t of reg.example"


def test_login_keeps_and_logout_forgets(hyper: Hyper, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.on("POST", "/auth", {"Status": "Login Succeeded"})
    path = tmp_path / "docker" / "config.json"
    assert hyper("login", "-u", "me", "-p", "secret", "reg.example")[1] == "Login Succeeded\n"
    assert json.loads(path.read_text())["auths"]["reg.example"] == {"auth": "bWU6c2VjcmV0"}
    assert path.stat().st_mode & 0o777 == 0o600
    hyper("logout", "reg.example")
    assert json.loads(path.read_text())["auths"] == {}


def test_save_leaves_no_half_file(hyper: Hyper, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.on("GET", "/images/get", b"ARCHIVE")
    target = tmp_path / "out.tar"
    assert hyper("save", "-o", str(target), "a", "b")[0] == 0
    assert target.read_bytes() == b"ARCHIVE"
    daemon.on("GET", "/images/get", (404, {"message": "No such image: a"}))
    failed = tmp_path / "none.tar"
    assert hyper("save", "-o", str(failed), "a")[0] == 1
    assert not failed.exists()
    assert not [name for name in os.listdir(tmp_path) if "hyper-" in name]


def test_load_sends_the_file(hyper: Hyper, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.on("POST", "/images/load", lambda r: b'{"stream":"Loaded image: x:1\\n"}')
    (tmp_path / "in.tar").write_bytes(b"A" * 3_000_000)
    assert hyper("load", "-i", str(tmp_path / "in.tar")) == (0, "Loaded image: x:1\n", "")
    assert daemon.requests[-1].body == b"A" * 3_000_000


def test_volumes_and_networks(hyper: Hyper, daemon: FakeDaemon) -> None:
    volume = {"Name": "v1", "Driver": "local", "Scope": "local", "Labels": {}, "Mountpoint": "/x"}
    daemon.on("GET", "/volumes", {"Volumes": [volume]})
    assert hyper("volume", "ls")[1] == "DRIVER    VOLUME NAME\nlocal     v1\n"
    network = {"Name": "n1", "Id": IDENTIFIER, "Driver": "bridge", "Scope": "local"}
    daemon.on("GET", "/networks", [network])
    assert hyper("network", "list")[1] == (
        "NETWORK ID     NAME      DRIVER    SCOPE\ncdcdcdcdcdcd   n1        bridge    local\n"
    )
    daemon.on("POST", "/networks/create", (201, {"Id": "n" * 12}))
    words = ("--subnet", "10.0.0.0/24", "--gateway", "10.0.0.1", "--internal")
    assert hyper("network", "create", *words, "n")[1] == "n" * 12 + "\n"
    sent = daemon.requests[-1].json
    assert isinstance(sent, dict)
    assert sent["IPAM"]["Config"] == [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]
    assert sent["Internal"] is True


def test_prune_asks_first(
    hyper: Hyper, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import io

    answer = {"ContainersDeleted": ["aa"], "SpaceReclaimed": 1234567}
    daemon.on("POST", "/containers/prune", answer)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    status, out, _ = hyper("container", "prune")
    assert status == 0
    assert out.startswith("WARNING! This will remove all stopped containers.\n")
    assert not daemon.asked("POST", "/prune")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    out = hyper("container", "prune")[1]
    assert out.endswith("Deleted Containers:\naa\n\nTotal reclaimed space: 1.235MB\n")


def test_events_are_lines(hyper: Hyper, daemon: FakeDaemon) -> None:
    event = {
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "aa", "Attributes": {"name": "web", "image": "x"}},
        "timeNano": 1700000000123456000,
    }
    daemon.on("GET", "/events", lambda request: json.dumps(event).encode() + b"\n")
    assert hyper("events", "--until", "1")[1] == (
        "2023-11-14T22:13:20.123456000Z container start aa (image=x, name=web)\n"
    )


@pytest.mark.parametrize(("pss", "shown"), [(41 * 2**20, "41MiB"), (None, "-")])
def test_stats_once(hyper: Hyper, daemon: FakeDaemon, pss: int | None, shown: str) -> None:
    pods = [{"Pss": 2**30, "Containers": ["ef" * 32]}, {"Pss": pss, "Containers": ["cd" * 32]}]
    daemon.on("GET", "/hyper/v1/memory", {"Pods": pods})
    daemon.on(
        "GET",
        "/containers/web/stats",
        {
            "id": IDENTIFIER,
            "name": "/web",
            "pids_stats": {"current": 2},
            "cpu_stats": {
                "cpu_usage": {"total_usage": 2},
                "system_cpu_usage": 20,
                "online_cpus": 2,
            },
            "precpu_stats": {"cpu_usage": {"total_usage": 1}, "system_cpu_usage": 10},
            "memory_stats": {
                "usage": 10 * 2**20,
                "limit": 90 * 2**20,
                "stats": {"inactive_file": 2**20},
            },
            "networks": {"eth0": {"rx_bytes": 1500, "tx_bytes": 2500}},
        },
    )
    out = hyper("stats", "--no-stream", "web")[1]
    assert out.splitlines()[1].split() == (
        [*"cdcdcdcdcdcd web 20.00% 9MiB / 90MiB 10.00% 1.5kB / 2.5kB 0B / 0B 2".split(), shown]
    )


def test_doctor_fails_when_a_check_does(hyper: Hyper, daemon: FakeDaemon) -> None:
    checks = [
        {"Name": "kvm", "Ok": False, "Detail": "no /dev/kvm", "Advice": "load the module"},
        {"Name": "qemu", "Ok": True, "Detail": "7.2", "Advice": ""},
        {"Name": "disk", "Ok": True, "Detail": "1 MiB", "Advice": "free some", "Warning": True},
    ]
    daemon.on("GET", "/hyper/v1/doctor", checks)
    status, out, _ = hyper("doctor")
    assert status == 1
    assert out.splitlines() == [
        "FAIL  kvm   no /dev/kvm",
        "            -> load the module",
        "ok    qemu  7.2",
        "warn  disk  1 MiB",
        "            -> free some",
    ]
    daemon.on("GET", "/hyper/v1/doctor", checks[1:])
    assert hyper("doctor")[0] == 0


def test_env_is_the_line_to_export(hyper: Hyper, daemon: FakeDaemon) -> None:
    assert hyper("env")[1] == f"export DOCKER_HOST={daemon.url}\n"
    assert hyper("-H", "tcp://1.2.3.4:5", "env")[1] == "export DOCKER_HOST=tcp://1.2.3.4:5\n"


def test_a_container_name_cannot_change_the_request(hyper: Hyper, daemon: FakeDaemon) -> None:
    hyper("start", "a/../b?x=1#y")
    assert daemon.requests[-1].handler.path == "/containers/a%2F..%2Fb%3Fx%3D1%23y/start"
    hyper("inspect", "--type", "image", "a/b:1?x")
    assert daemon.requests[-1].handler.path == "/images/a/b:1%3Fx/json"


def test_no_daemon_is_one_clear_line(
    hyper: Hyper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HYPER_HOST", f"unix://{tmp_path}/nobody.sock")
    assert hyper("ps") == (
        1,
        "",
        f"Cannot connect to the Hyper daemon at unix://{tmp_path}/nobody.sock. "
        "Is hyperd running?\n",
    )


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["nosuch"], 1, "hyper: unknown command: hyper nosuch\n"),
        (["volume", "nosuch"], 1, "hyper: unknown command: hyper volume nosuch\n"),
        (["ps", "x"], 1, "hyper: 'hyper ps' accepts no arguments\n"),
        (["run"], 1, "hyper: 'hyper run' requires at least 1 argument\n"),
        (["rename", "a"], 1, "hyper: 'hyper rename' requires 2 arguments\n"),
        (["run", "--nosuch", "x"], 125, "unknown flag: --nosuch\n"),
        (["ps", "--nosuch"], 125, "unknown flag: --nosuch\n"),
        (["--nosuch"], 125, "unknown flag: --nosuch\n"),
        (["exec", "a"], 1, "hyper: 'hyper exec' requires at least 2 arguments\n"),
    ],
)
def test_wrong_usage_has_dockers_words_and_status(
    hyper: Hyper, words: list[str], status: int, message: str
) -> None:
    found = hyper(*words)
    assert found[0] == status
    assert found[2].startswith(message)
    assert "--help' for more information" in found[2]


@pytest.mark.parametrize("path", sorted(registry.entries()))
def test_every_command_loads_and_has_help(path: str, hyper: Hyper) -> None:
    status, out, _ = hyper(*path.split(), "--help")
    assert status == 0
    assert out.startswith(f"Usage:  hyper {path}")
    where, summary = registry.entries()[path]
    flags = registry.load(where).flags
    assert len({flag.name for flag in flags}) == len(flags)
    letters = [flag.short for flag in flags if flag.short]
    assert len(set(letters)) == len(letters)
    assert summary


def test_help_lists_every_command(hyper: Hyper) -> None:
    out = hyper("--help")[1]
    for name in registry.GROUPS:
        above, _, last = name.rpartition(" ")
        assert f"\n  {last} " in (usage.group_help(above) if above else out)
        assert usage.group_help(name) in hyper(*name.split())[1]
    for name, _, _ in (*registry.COMMON, *registry.PLAIN):
        assert f"\n  {name} " in out


POOL = {
    "Templates": True,
    "Waiting": 2,
    "Shapes": 1,
    "Items": [
        {
            "Key": "ab" * 16,
            "VCpus": 1,
            "Memory": 512 << 20,
            "Waiting": 1,
            "TemplateSize": 30000000,
            "Zygote": True,
        },
        {"Key": "cd" * 16, "VCpus": 0, "Memory": 0, "Waiting": 0, "TemplateSize": 30000000},
    ],
}


def test_the_pool_shows_what_waits_and_what_is_wanted(hyper: Hyper, daemon: FakeDaemon) -> None:
    daemon.on("GET", "/hyper/v1/pool", (200, POOL))
    status, out, _ = hyper("pool", "ls")
    assert status == 0
    head, first, second = (line.split() for line in out.splitlines())
    assert head == ["SHAPE", "VCPUS", "MEMORY", "WAITING", "WANTED", "TEMPLATE", "ZYGOTE"]
    assert first == ["abababababab", "1", "512MiB", "1", "2", "30MB", "yes"]
    assert second == ["cdcdcdcdcdcd", "-", "-", "0", "0", "30MB", "-"]


def test_the_pool_is_changed_as_asked(hyper: Hyper, daemon: FakeDaemon) -> None:
    daemon.on("POST", "/hyper/v1/pool", (200, POOL))
    assert hyper("pool", "set", "--waiting", "5")[0] == 0
    assert daemon.requests[-1].json == {"Waiting": 5}
    for words in (("--waiting", "many"), ()):
        status, _, err = hyper("pool", "set", *words)
        assert status == 1 and len(err.splitlines()) == 1
    assert len(daemon.asked("POST")) == 1
