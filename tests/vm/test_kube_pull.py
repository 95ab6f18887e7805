"""A play pulls what its pods need: when the policy says so, as who the user is logged in as."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.daemon import Daemon, Result
from tests.support.registry import PASSWORD, USER, Registry, start_private_registry

Hyper = Callable[..., Result]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that wants to know who asks."""
    found, child = start_private_registry(tmp_path_factory.mktemp("registry"))
    yield found
    child.kill()
    child.wait()


@pytest.fixture
def image(hyper: Hyper, registry: Registry) -> Iterator[str]:
    """Return the name of an image that only the registry has; the user is logged in there."""
    name = f"{registry.host}/box:1"
    hyper("login", "--username", USER, "--password-stdin", registry.host, input=PASSWORD)
    hyper("tag", "busybox", name)
    hyper("push", "--quiet", name)
    hyper("rmi", name)
    yield name
    hyper("logout", registry.host)
    hyper("rmi", name, status=None)


def _pod(image: str, policy: str = "") -> str:
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: pulled}}
spec:
  containers:
  - {{name: one, image: '{image}'{policy}}}
"""


def test_a_missing_image_is_pulled_with_the_users_credentials(
    daemon: Daemon, hyper: Hyper, registry: Registry, image: str
) -> None:
    never = hyper("play", "kube", "-", input=_pod(image, ", imagePullPolicy: Never"), status=1)
    assert f"No such image: {image}" in never.error
    played = hyper("play", "kube", "--start=false", "-", input=_pod(image))
    assert f"Pulling {image}\n" in played.stderr
    again = hyper("play", "kube", "--start=false", "--replace", "-", input=_pod(image))
    assert again.stderr == ""  # it is there
    always = _pod(image, ", imagePullPolicy: Always")
    asked = hyper("play", "kube", "--start=false", "--replace", "-", input=always)
    assert f"Pulling {image}\n" in asked.stderr
    hyper("logout", registry.host)
    refused = hyper("play", "kube", "--start=false", "--replace", "-", input=always, status=1)
    assert "no basic auth credentials" in refused.stderr
    assert hyper("ps", "-aq").lines != []  # what could not be replaced is still there
    hyper("kube", "down", "-", input=always)
