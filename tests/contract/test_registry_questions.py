"""Questions to a real registry: are credentials good, what does a name stand for."""

import json

import pytest

from hyper.core.errors import InvalidArgument, NotFound, Unauthorized, Unavailable
from hyper.images import remote
from hyper.images.blobs import digest_of
from hyper.images.credentials import Credentials
from hyper.images.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_MANIFEST, Platform
from hyper.images.push import push
from hyper.images.reference import parse
from hyper.images.registry import Repository
from hyper.images.store import ImageStore
from tests.contract.conftest import IDENTITY, Gate
from tests.images_support import image, tar
from tests.support.ports import free_port
from tests.support.registry import PASSWORD, USER, Registry

GOOD = Credentials(USER, PASSWORD)


@pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/v2/", "https://{}/v1/"])
async def test_good_credentials_are_accepted(
    private_registry: Registry, store: ImageStore, form: str
) -> None:
    assert await remote.login(store.shelf, form.format(private_registry.host), GOOD) == ""


async def test_wrong_credentials_are_refused_in_dockers_words(
    private_registry: Registry, store: ImageStore
) -> None:
    host = private_registry.host
    text = f"login attempt to http://{host}/v2/ failed with status: 401 Unauthorized"
    with pytest.raises(Unauthorized, match=f"^{text}$"):
        await remote.login(store.shelf, host, Credentials(USER, "wrong"))
    with pytest.raises(Unauthorized, match="no basic auth credentials"):
        await remote.login(store.shelf, host, Credentials())


async def test_an_identity_token_of_a_token_service_is_kept(gate: Gate, store: ImageStore) -> None:
    gate.tokens = True
    assert await remote.login(store.shelf, gate.host, GOOD) == IDENTITY
    with pytest.raises(Unauthorized, match="incorrect username or password"):
        await remote.login(store.shelf, gate.host, Credentials(USER, "wrong"))


async def test_a_login_needs_a_registry_that_answers(store: ImageStore) -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=rf"dial tcp 127.0.0.1:{port}: connect: connection ref"):
        await remote.login(store.shelf, f"127.0.0.1:{port}", GOOD)
    for address in ("a b\n", "::::", "ftp://x.y/", "https://", "http://[x"):
        with pytest.raises(InvalidArgument, match="invalid registry address"):
            await remote.login(store.shelf, address, GOOD)


def test_a_password_goes_to_the_host_it_is_for_and_no_other() -> None:
    for address, host in (
        ("", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry", "registry"),  # as an image's name that would be a folder of Docker Hub
        ("http://registry/v2/", "registry"),
        ("localhost:5000", "localhost:5000"),
    ):
        assert remote._registry(address).domain == host


async def test_a_manifest_is_described_with_its_platform(
    private_registry: Registry, store: ImageStore, other: ImageStore
) -> None:
    name = f"{private_registry.host}/described:1"
    await image(store, name, tar("a"))
    digest = await push(store.shelf, name, auth=GOOD)
    found = await remote.inspect(other.shelf, name, GOOD)
    assert found.digest == digest
    assert found.media_type in (OCI_MANIFEST, DOCKER_MANIFEST)
    assert found.platforms == (Platform.host(),)
    by_digest = await remote.inspect(
        other.shelf, f"{private_registry.host}/described@{digest}", GOOD
    )
    assert by_digest == found
    assert other.list() == [], "nothing is taken into the store"
    with pytest.raises(Unauthorized, match="no basic auth credentials"):
        await remote.inspect(other.shelf, name, None)
    with pytest.raises(NotFound, match="not found"):
        await remote.inspect(other.shelf, f"{private_registry.host}/described:2", GOOD)


async def test_an_index_is_described_with_all_its_platforms(
    registry: Registry, store: ImageStore
) -> None:
    name = f"{registry.host}/many:1"
    await image(store, name, tar("a"))
    digest = await push(store.shelf, name)
    repository = Repository(store.shelf.http, parse(name), None)
    data, kind = await repository.manifest("1")
    entries = [
        {"mediaType": kind, "digest": digest, "size": len(data), "platform": platform}
        for platform in (
            {"os": "linux", "architecture": "amd64"},
            {"os": "linux", "architecture": "arm", "variant": "v7"},
        )
    ]
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries}
    ).encode()
    answer = await repository.request(
        "PUT", repository.path("manifests", "all"), {"Content-Type": DOCKER_LIST}, index
    )
    assert answer.status == 201
    found = await remote.inspect(store.shelf, f"{registry.host}/many:all", None)
    assert (found.media_type, found.digest) == (DOCKER_LIST, digest_of(index))
    assert found.size_bytes == len(index)
    assert [str(item) for item in found.platforms] == ["linux/amd64", "linux/arm/v7"]
