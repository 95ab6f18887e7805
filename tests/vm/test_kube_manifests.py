"""Every manifest of tests/kube/manifests plays, and does what it says.

The folder and the port of the host that some name are replaced by a test's own.
"""

import json
import platform
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyper.sdk.address import resolve
from hyper.sdk.daemon import Daemon as ApiDaemon
from tests.kube.images import save_stand_ins
from tests.support import leaks
from tests.support.daemon import Daemon, Result
from tests.support.ports import free_port

MANIFESTS = Path(__file__).parents[1] / "kube" / "manifests"
HOST_FOLDER, HOST_PORT = "/tmp/hyper-kube-example", "hostPort: 18473"
FARTHEST_S = 90.0


class Played:
    """What a manifest made, asked through the command line."""

    def __init__(self, daemon: Daemon, name: str, folder: Path) -> None:
        self.daemon = daemon
        self.host = folder / "host"
        self.port = free_port()
        (self.host / "foo").mkdir(parents=True)
        (self.host / "foo" / "file").write_text("from the host\n")
        text = (MANIFESTS / f"{name}.yaml").read_text()
        text = text.replace(HOST_FOLDER, str(self.host))
        self.file = folder / f"{name}.yaml"
        self.file.write_text(text.replace(HOST_PORT, f"hostPort: {self.port}"))
        self.printed: Result

    def play(self) -> None:
        """Play the manifest."""
        self.printed = self.daemon.hyper("play", "kube", str(self.file))

    def down(self) -> None:
        """Take back whatever of it was made."""
        options = ("--force", "--time", "0")
        self.daemon.hyper("kube", "down", *options, str(self.file), status=None)

    def names(self) -> set[str]:
        """Return the names of all containers."""
        return set(self.daemon.hyper("ps", "--all", "--format", "{{.Names}}").lines)

    def run(self, container: str, command: str, status: int | None = 0) -> str:
        """Return what a shell command in a container prints."""
        return self.daemon.hyper("exec", container, "sh", "-c", command, status=status).stdout

    def fetch(self, container: str, address: str = "127.0.0.1") -> str:
        """Return the page at an address as the container sees it, once it is served."""
        return self.run(container, f"until wget -qO- {address} 2>/dev/null; do sleep 0.2; done")

    def log(self, container: str, wanted: str = "") -> str:
        """Return a container's output, once `wanted` is in it or time is over."""

        def missing() -> bool:
            return wanted not in self.daemon.hyper("logs", container).stdout

        leaks.settle(missing, limit_s=FARTHEST_S)
        return self.daemon.hyper("logs", container).stdout

    def ended(self, container: str) -> str:
        """Return a container's output after its end."""
        leaks.settle(lambda: self.state(container)["Status"] != "exited", limit_s=FARTHEST_S)
        assert self.state(container)["Status"] == "exited"
        return self.daemon.hyper("logs", container).stdout

    def inspect(self, container: str) -> dict[str, object]:
        """Return what inspect says of a container."""
        found: dict[str, object] = json.loads(self.daemon.hyper("inspect", container).stdout)[0]
        return found

    def pod(self, name: str) -> Any:
        """Return what the API says of a pod."""
        daemon = ApiDaemon(resolve(f"unix://{self.daemon.socket}"), start=False)
        return daemon.call("GET", f"/hyper/v1/pods/{name}")

    def state(self, container: str) -> dict[str, object]:
        """Return a container's state."""
        state = self.inspect(container)["State"]
        assert isinstance(state, dict)
        return state

    def restarted(self, container: str) -> bool:
        """Return whether a container was started again, waiting for it."""
        return leaks.settle(lambda: not self.inspect(container)["RestartCount"], limit_s=FARTHEST_S)

    def status(self, container: str, key: str) -> str:
        """Return a line of /proc/1/status of a container."""
        lines = self.run(container, "cat /proc/1/status").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(key + ":"))


def pod_simple(played: Played) -> None:
    assert played.names() == {"simple-nginx"}
    assert played.fetch("simple-nginx") == "Welcome to nginx!\n"


def pod_command_arguments(played: Played) -> None:
    assert played.ended("arguments-printer") == "arguments\ngood morning\n"


def pod_two_containers(played: Played) -> None:
    played.ended("pair-writer")
    page = played.fetch("pair-server")
    assert page == "Written by the neighbour\n"


def pod_init_containers(played: Played) -> None:
    assert played.fetch("prepared-server") == "one\ntwo\n"
    ends = [played.state(f"prepared-{name}")["ExitCode"] for name in ("first", "second")]
    assert ends == [0, 0]


def deployment_sidecar(played: Played) -> None:
    assert "logging\n" in played.log("shipper-0-logshipper", "logging")
    assert played.state("shipper-0-logshipper")["Running"] is True


def job_sidecar(played: Played) -> None:
    assert played.ended("helped-0-worker") == "prepared\n"
    played.ended("helped-0-helper")  # it does not keep the job from its end
    assert leaks.settle(lambda: played.daemon.vmms(), limit_s=FARTHEST_S)


def probe_exec(played: Played) -> None:
    assert played.restarted("liveness-exec-liveness")


def probe_http(played: Played) -> None:
    assert played.restarted("liveness-http-liveness")


def probe_tcp(played: Played) -> None:
    def unready() -> bool:
        return not played.pod("sockets")["Containers"][0]["Ready"]

    assert unready()
    assert leaks.settle(unready, limit_s=FARTHEST_S)
    assert played.inspect("sockets-server")["RestartCount"] == 0


def probe_startup(played: Played) -> None:
    # Without its startup probe the liveness probe would have ended it in its first second.
    played.fetch("slow-start-server", "127.0.0.1:8080/healthz")
    assert played.inspect("slow-start-server")["RestartCount"] == 0


def env_plain(played: Played) -> None:
    printed = played.run("envars-envar", "printenv DEMO_GREETING DEMO_FAREWELL")
    assert printed == "Hello from the environment\nSuch a sweet sorrow\n"


def env_dependent(played: Played) -> None:
    log = played.log("dependent-envars-shower", "ESCAPED")
    assert log.split() == [
        "UNCHANGED_REFERENCE=$(PROTOCOL)://172.17.0.1:80",
        "SERVICE_ADDRESS=https://172.17.0.1:80",
        "ESCAPED_REFERENCE=$(PROTOCOL)://172.17.0.1:80",
    ]


def configmap_env(played: Played) -> None:
    assert played.ended("configmap-env-test-container") == "very INFO\n"


def configmap_envfrom(played: Played) -> None:
    found = set(played.ended("configmap-envfrom-test-container").splitlines())
    assert {"SPECIAL_LEVEL=very", "SPECIAL_TYPE=charm", "COPY_SPECIAL_TYPE=charm"} <= found


def configmap_volume(played: Played) -> None:
    printed = played.ended("configmap-volume-test-container").splitlines()
    assert printed[:3] == ["game.properties", "icon.bin", "ui.properties"]
    assert printed[3:5] == ["enemies=aliens", "lives=3"]
    assert printed[5].split() == ["89", "50", "4b", "c0", "00", "ff"]


def configmap_volume_key(played: Played) -> None:
    assert played.log("redis-redis", "lru") == "maxmemory 2mb\nmaxmemory-policy allkeys-lru\n"
    assert played.fetch("redis-redis", "127.0.0.1:6379/PING") == "PONG\n"
    assert played.run("redis-redis", "touch /redis-master/x; echo $?").strip() == "1"


def configmap_subpath(played: Played) -> None:
    pages = "cd /usr/share/nginx/html; cat index.html own.html"
    assert played.run("one-file-server", pages) == (
        "Welcome to nginx!\none file among the image's own\n"
    )


def secret_volume(played: Played) -> None:
    files = "cd /etc/secret-volume; cat username; echo; cat password; stat -c ' %a' password"
    assert played.run("secret-volume-test-container", files) == "my-app\n39528$vdg7Jb 400\n"


def secret_env(played: Played) -> None:
    printed = played.run("secret-env-main", "printenv BACKEND_USERNAME DB_USERNAME")
    assert printed == "backend-admin\ndb-admin\n"


def downward_env_pod(played: Played) -> None:
    node, names, address = played.ended("dapi-envars-fieldref-test-container").splitlines()
    assert node == platform.node()
    assert names == "dapi-envars-fieldref default default two"
    assert address.count(".") == 3


def downward_env_container(played: Played) -> None:
    printed = played.ended("dapi-envars-resourcefieldref-test-container")
    assert printed.split() == ["1", "1", str(32 << 20), str(64 << 20)]


def downward_volume(played: Played) -> None:
    assert played.ended("downward-volume-client-container") == (
        'cluster="test-cluster1"\nrack="rack-22"\nzone="us-est-coast"\n'
        'build="two"\nbuilder="john-doe"\n250'
    )


def projected_volume(played: Played) -> None:
    command = "cd /projected-volume; cat my-group/* labels; stat -c ' %a' my-group/my-username"
    printed = played.run("volume-test-container-test", command)
    assert printed == 'level: highadmintier="back" 777\n'


def lifecycle_hooks(played: Played) -> None:
    name = "lifecycle-demo-lifecycle-demo-container"
    assert played.run(name, "cat /usr/share/message") == "Hello from the postStart handler\n"
    played.daemon.hyper("kube", "down", str(played.file))
    look = ("run", "--rm", "-v", "farewells:/v", "busybox", "cat", "/v/farewell")
    assert played.daemon.hyper(*look).stdout == "leaving\n"
    played.daemon.hyper("volume", "rm", "farewells")


def security_context_pod(played: Played) -> None:
    name = "security-context-demo-sec-ctx-demo"
    user, group, *groups = played.run(name, "id -u; id -g; id -G").split()
    assert (user, group, set(groups)) == ("1000", "3000", {"3000", "4000", "2000"})
    made = "cd /data/demo && echo hello > testfile && stat -c '%u %g' testfile"
    assert played.run(name, made) == "1000 2000\n"
    assert played.status(name, "NoNewPrivs") == "1"


def security_context_container(played: Played) -> None:
    name = "security-context-demo-2-sec-ctx-demo-2"
    assert played.run(name, "id -u") == "2000\n"
    assert played.status(name, "Seccomp") == "2"


def security_context_capabilities(played: Played) -> None:
    added = int(played.status("security-context-demo-4-added", "CapEff"), 16)
    net_admin, sys_time = 1 << 12, 1 << 25  # linux/capability.h
    assert added & net_admin and added & sys_time
    assert int(played.status("security-context-demo-4-dropped", "CapEff"), 16) == 0
    assert (
        "Read-only"
        in played.daemon.hyper(
            "exec", "security-context-demo-4-dropped", "touch", "/x", status=1
        ).stderr
    )


def emptydir_memory(played: Played) -> None:
    mounted = played.run("test-pd-test-container", "grep ' /cache ' /proc/mounts")
    assert " tmpfs " in mounted and "size=8192k" in mounted


def claim_and_pod(played: Played) -> None:
    assert played.printed.lines[:2] == ["Volumes:", "task-pv-claim"]
    name = "task-pv-pod-task-pv-container"
    played.run(name, "echo kept > /usr/share/nginx/html/index.html; echo x > /etc/extra/y")
    again = ("play", "kube", "--replace", "-t", "0", "-")
    played.daemon.hyper(*again, input=played.file.read_text())
    assert played.fetch(name) == "kept\n"
    assert played.run(name, "ls /usr/share/nginx/html/deep/er") == "y\n"


def host_path(played: Played) -> None:
    assert played.ended("hostpath-example-example-container") == "from the host\n"
    assert (played.host / "made" / "back").read_text() == "from the pod\n"


def subpath_expression(played: Played) -> None:
    assert "Hello" in played.log("pod1-container1", "Hello")
    look = "cd /whole/pod1; until [ -s hello.txt ]; do sleep 0.1; done; head -n1 hello.txt"
    assert played.run("pod1-container1", look) == "Hello\n"


def deployment(played: Played) -> None:
    assert played.names() == {"nginx-deployment-0-nginx", "nginx-deployment-1-nginx"}
    assert len(played.daemon.vmms()) == 2
    for name in played.names():
        assert played.fetch(name) == "Welcome to nginx!\n"
    assert "spec.strategy: has no effect" in played.printed.stderr


def stateful_set(played: Played) -> None:
    assert played.names() == {"web-0-nginx", "web-1-nginx"}
    for number in (0, 1):
        played.run(f"web-{number}-nginx", "hostname > /usr/share/nginx/html/index.html")
        assert played.fetch(f"web-{number}-nginx") == f"web-{number}\n"
    volumes = played.daemon.hyper("volume", "ls", "-q").lines
    assert {"www-web-0", "www-web-1"} <= set(volumes)
    assert "nginx.default.svc.cluster.local" in played.run("web-0-nginx", "cat /etc/hosts")


def daemon_set(played: Played) -> None:
    assert played.log("collector-0-collector", "file") == "file\n"
    assert "spec.template.spec.tolerations: has no effect: there is one" in played.printed.stderr


def replication_controller(played: Played) -> None:
    assert played.names() == {"nginx-0-nginx", "nginx-1-nginx"}


def replica_set_list(played: Played) -> None:
    assert played.run("frontend-0-php-redis", "printenv TIER") == "frontend\n"
    assert played.fetch("frontend-0-php-redis", "127.0.0.1:8080") == "Hello, world!\n"


def job(played: Played) -> None:
    assert played.ended("pi-0-pi").startswith("3.14159265358979323846")
    assert leaks.settle(lambda: played.daemon.vmms(), limit_s=FARTHEST_S)


def job_indexed(played: Played) -> None:
    assert "kind Namespace: has no effect" in played.printed.stderr
    assert played.ended("words-0-worker") == "oof\nwords-0\n"
    assert played.ended("words-1-worker") == "rab\nwords-1\n"
    # One at a time.
    first, second = (played.inspect(f"words-{index}-worker")["State"] for index in range(2))
    assert isinstance(first, dict) and isinstance(second, dict)
    assert first["FinishedAt"] <= second["StartedAt"]


def job_retried(played: Played) -> None:
    assert played.log("stubborn-0-worker", "done") == "done\n"
    assert played.inspect("stubborn-0-worker")["RestartCount"] == 2


def share_process_namespace(played: Played) -> None:
    for program in ("httpd -f -p 80", "sleep 3600"):
        found = f"until ps -o args | grep -v grep | grep '{program}'; do sleep 0.1; done"
        assert program in played.run("shared-processes-shell", found)


def persistent_volume(played: Played) -> None:
    played.ended("task-pv-pod-task")
    assert (played.host / "made" / "file").read_text() == "from the pod\n"
    shown = json.loads(played.daemon.hyper("volume", "inspect", "task-pv-claim").stdout)[0]
    assert shown["Driver"] == "directory"


def host_aliases(played: Played) -> None:
    entries = [line.split() for line in played.ended("hostaliases-pod-cat-hosts").splitlines()]
    found = {(address, name) for address, *names in entries for name in names}
    assert {("127.0.0.1", "foo.local"), ("10.1.2.3", "bar.remote")} <= found


def custom_dns(played: Played) -> None:
    spec = played.inspect("dns-example-test")["HostConfig"]
    assert isinstance(spec, dict) and spec["Dns"] == ["192.0.2.1"]
    lines = played.run("dns-example-test", "cat /etc/resolv.conf").splitlines()
    # The name server is the network's resolver, which asks that one.
    assert {line for line in lines if not line.startswith("nameserver ")} == {
        "search ns1.svc.cluster-domain.example my.dns.search.suffix",
        "options ndots:2 edns0",
    }
    assert played.run("dns-example-test", "hostname") == "busybox-1\n"
    full = "busybox-1.busybox-subdomain.default.svc.cluster.local"
    assert full in played.run("dns-example-test", "cat /etc/hosts")


def resources_limits(played: Played) -> None:
    limits = "cd /sys/fs/cgroup; cat memory.max memory.low cpu.max; df -m / | tail -n1"
    found = played.run("resources-app", limits).split()
    assert found[:4] == [str(48 << 20), str(24 << 20), "70000", "100000"]
    assert int(found[5]) <= 64
    played.ended("resources-hungry")
    state = played.state("resources-hungry")
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    assert played.state("resources-app")["Running"] is True


def scheduling(played: Played) -> None:
    said = played.printed.stderr
    for field in ("affinity", "tolerations", "priorityClassName", "imagePullSecrets"):
        assert f'Pod "with-affinity": spec.{field}: has no effect: ' in said
    assert "automount" not in said and "schedulerName" not in said
    assert played.state("with-affinity-with-affinity")["Running"] is True


def host_port(played: Played) -> None:
    played.fetch("published-web")
    with urllib.request.urlopen(f"http://127.0.0.1:{played.port}/", timeout=60) as page:
        assert page.read() == b"Welcome to nginx!\n"


def service_headless(played: Played) -> None:
    for name in ("hello-0.backend", "hello-1.backend.default.svc.cluster.local"):
        assert played.fetch("client-client", name).strip() == name.partition(".")[0]
    answers = "for i in $(seq 40); do wget -qO- backend; done | sort -u"
    assert set(played.run("client-client", answers).split()) <= {"hello-0", "hello-1"}
    found = set(played.run("client-client", "nslookup backend").split())
    addresses = {played.run(f"hello-{number}-hello", "hostname -i").split()[0] for number in (0, 1)}
    assert addresses <= found


EFFECTS: dict[str, Callable[[Played], None]] = {
    check.__name__.replace("_", "-"): check
    for check in (
        pod_simple, pod_command_arguments, pod_two_containers, pod_init_containers,
        deployment_sidecar, job_sidecar, probe_exec, probe_http, probe_tcp, probe_startup,
        env_plain, env_dependent, configmap_env, configmap_envfrom, configmap_volume,
        configmap_volume_key, configmap_subpath, secret_volume, secret_env, downward_env_pod,
        downward_env_container, downward_volume, projected_volume, lifecycle_hooks,
        security_context_pod, security_context_container, security_context_capabilities,
        emptydir_memory, claim_and_pod, persistent_volume, host_path, subpath_expression,
        deployment, stateful_set,
        daemon_set, replication_controller, replica_set_list, job, job_indexed, job_retried,
        share_process_namespace, host_aliases, custom_dns, resources_limits, scheduling, host_port,
        service_headless,
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def images(module_daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    """Return the module's daemon with every image the manifests name."""
    archive = save_stand_ins(tmp_path_factory.mktemp("images") / "images.tar")
    module_daemon.hyper("load", "--quiet", "--input", str(archive))
    return module_daemon


def test_every_manifest_has_a_check() -> None:
    assert {path.stem for path in MANIFESTS.glob("*.yaml")} == set(EFFECTS)
    assert len(EFFECTS) >= 25


@pytest.mark.parametrize("name", EFFECTS)
def test_manifest(name: str, images: Daemon, tmp_path: Path) -> None:
    played = Played(images, name, tmp_path)
    try:
        played.play()
        EFFECTS[name](played)
    finally:
        played.down()
    assert images.hyper("ps", "--all", "--quiet").lines == []
    assert images.hyper("volume", "ls", "--quiet").lines == []
    assert leaks.settle(images.vmms)
