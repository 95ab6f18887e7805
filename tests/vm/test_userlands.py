"""Images of real userlands, pulled from a real registry on loopback and run."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon
from tests.support.registry import Registry, start_registry
from tests.support.userland import ImageRecipe, alpine_layer, debian_tar, push, save
from tools.places import cache


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that takes everybody."""
    found, child = start_registry(tmp_path_factory.mktemp("registry"), "")
    yield found
    child.terminate()
    child.wait(60)


@pytest.fixture(scope="module")
def debian(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a Debian image in the registry."""
    try:
        layer = debian_tar(cache() / "images")
    except (OSError, subprocess.CalledProcessError) as error:
        text = f"no Debian userland: {error}"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    recipe = ImageRecipe("debian-ish:12", [layer], config={"Cmd": ["bash"]})
    archive = save([recipe], tmp_path_factory.mktemp("debian") / "debian.tar")
    return push(archive, "debian-ish:12", registry.host)


@pytest.fixture(scope="module")
def alpine(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of an Alpine-like image in the registry."""
    folder = tmp_path_factory.mktemp("alpine")
    archive = save([ImageRecipe("alpine-ish:3", [alpine_layer(folder)])], folder / "alpine.tar")
    return push(archive, "alpine-ish:3", registry.host)


def test_debian_from_a_registry(daemon: Daemon, debian: str) -> None:
    daemon.hyper("pull", debian)
    result = daemon.hyper("run", "--rm", debian, "sh", "-c", "uname -r; id; mount; ps ax")
    release, identity, *rest = result.lines
    assert release != os.uname().release
    assert identity == "uid=0(root) gid=0(root) groups=0(root)"
    assert any(" on / type overlay" in line for line in rest)
    assert rest[-1].split()[-2:] == ["ps", "ax"]
    script = ". /etc/os-release; echo $VERSION_ID; stat -c %u:%a /usr/bin/su"
    assert daemon.hyper("run", "--rm", debian, "bash", "-c", script).stdout == "12\n0:4755\n"
    daemon.hyper("rmi", debian)


def test_alpine_like_from_a_registry(daemon: Daemon, alpine: str) -> None:
    result = daemon.hyper("run", "--rm", alpine, "sh", "-c", "hello; cat /etc/alpine-release")
    assert result.stdout == "hello from musl\n3.20.0\n"
    daemon.hyper("rmi", alpine)


def test_registry_that_goes_away_leaves_the_image_usable(daemon: Daemon, alpine: str) -> None:
    daemon.hyper("pull", alpine)
    assert daemon.hyper("run", "--rm", "--pull", "missing", alpine, "true").status == 0
    daemon.hyper("rmi", alpine)
