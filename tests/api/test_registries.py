"""Clients and a registry that wants credentials: login, push, pull, distribution, logout."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator

import docker
import docker.errors
import pytest

from tests.support import specification
from tests.support.daemon import Daemon, Result
from tests.support.registry import PASSWORD, USER, Registry, start_private_registry

needs_docker = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")
pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that takes only USER with PASSWORD."""
    found, child = start_private_registry(tmp_path_factory.mktemp("private"))
    yield found
    child.terminate()
    child.wait(60)


@pytest.fixture
def docker_py(module_daemon: Daemon) -> Iterator[docker.DockerClient]:
    """Return docker-py, with no credentials of its own."""
    made = docker.DockerClient(base_url=f"unix://{module_daemon.socket}", version="1.50")
    made.api._auth_configs = docker.auth.AuthConfig({"auths": {}})
    yield made
    made.close()


def _docker(daemon: Daemon, *arguments: str, input: str | None = None) -> Result:
    done = subprocess.run(
        ["docker", *arguments],
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        env=daemon.environment_of_commands(),
        timeout=60,
    )
    return Result(("docker", *arguments), done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("program", ["hyper", pytest.param("docker", marks=needs_docker)])
def test_login_push_pull_and_logout(program: str, registry: Registry, module_image: Daemon) -> None:
    daemon = module_image

    def run(*arguments: str, input: str | None = None) -> Result:
        if program == "hyper":
            return daemon.hyper(*arguments, input=input, status=None)
        return _docker(daemon, *arguments, input=input)

    host, name = registry.host, f"{registry.host}/{program}/busybox:1"
    assert run("tag", "busybox", name).status == 0
    refused = run("push", name)
    assert refused.status == 1
    assert "no basic auth credentials" in refused.stderr

    wrong = run("login", "--username", USER, "--password-stdin", host, input="wrong")
    assert wrong.status == 1
    assert "401 Unauthorized" in wrong.stderr
    config = daemon.folder / "docker" / "config.json"
    assert not config.exists() or host not in config.read_text(), "wrong credentials were kept"

    good = run("login", "--username", USER, "--password-stdin", host, input=PASSWORD)
    assert good.status == 0, good.stderr
    assert "Login Succeeded" in good.stdout
    kept = json.loads(config.read_text())["auths"][host]["auth"]
    assert base64.b64decode(kept).decode() == f"{USER}:{PASSWORD}"

    assert run("push", name).status == 0
    assert run("rmi", name).status == 0
    assert run("pull", name).status == 0
    assert run("rmi", name).status == 0
    assert run("logout", host).status == 0
    assert host not in json.loads(config.read_text()).get("auths", {})
    assert run("pull", name).status == 1


def test_docker_py_logs_in_and_asks_what_a_name_stands_for(
    docker_py: docker.DockerClient, registry: Registry, module_image: Daemon
) -> None:
    name = f"{registry.host}/py/busybox"
    with pytest.raises(docker.errors.APIError) as refused:
        docker_py.login(USER, "wrong", registry=registry.host)
    assert refused.value.status_code == 401
    with pytest.raises(docker.errors.APIError) as refused:
        docker_py.images.get_registry_data(name)
    assert refused.value.status_code == 401

    answer = docker_py.login(USER, PASSWORD, registry=registry.host)
    specification.check_reply("SystemAuth", 200, answer)
    docker_py.images.get("busybox").tag(name, "1")
    pushed = list(docker_py.images.push(name, "1", stream=True, decode=True))
    digest = next(line["aux"]["Digest"] for line in pushed if "aux" in line)
    shown = docker_py.api.inspect_distribution(f"{name}:1")
    specification.check_reply("DistributionInspect", 200, shown)
    assert shown["Descriptor"]["digest"] == digest
    assert shown["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    with pytest.raises(docker.errors.NotFound):
        docker_py.api.inspect_distribution(f"{name}:2")
    docker_py.images.remove(f"{name}:1")


@needs_docker
def test_docker_manifest_inspect_of_what_was_pushed(
    registry: Registry, module_image: Daemon
) -> None:
    name = f"{registry.host}/manifest/busybox:1"
    login = ("login", "--username", USER, "--password-stdin", registry.host)
    assert _docker(module_image, *login, input=PASSWORD).status == 0
    assert _docker(module_image, "tag", "busybox", name).status == 0
    assert _docker(module_image, "push", name).status == 0
    shown = _docker(module_image, "manifest", "inspect", "--insecure", name)
    assert shown.status == 0, shown.stderr
    assert json.loads(shown.stdout)["schemaVersion"] == 2
    assert _docker(module_image, "rmi", name).status == 0
    assert _docker(module_image, "logout", registry.host).status == 0
