"""Pulling from and pushing to a real registry, and one that does what others do."""

import asyncio
import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest

from hyper.core.errors import Failure, HyperError, NotFound, Unauthorized, Unavailable
from hyper.images import gzipper
from hyper.images.blobs import digest_of
from hyper.images.credentials import Credentials
from hyper.images.http import Http, RegistryOptions
from hyper.images.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    encode,
    parse_manifest,
)
from hyper.images.pull import pull_all
from hyper.images.push import push
from hyper.images.reference import parse
from hyper.images.registry import Repository
from hyper.images.shelf import Progress
from hyper.images.store import ImageStore
from tests.contract.conftest import PASSWORD, USER, Gate, Ranges
from tests.images_support import Member, content, files_below, image, listing, tar
from tests.support.ports import free_port
from tests.support.registry import Registry

GOOD = Credentials(USER, PASSWORD)
BIG = os.urandom(3_000_000)


async def pushed(store: ImageStore, name: str, *layers: bytes) -> str:
    await image(store, name, *(layers or (tar("etc/", "etc/a"), tar(Member("big", content=BIG)))))
    return await push(store.shelf, name)


async def put_manifest(registry: Registry, name: str, data: bytes, media_type: str) -> None:
    http = Http(RegistryOptions())
    repository = Repository(http, parse(name), None)
    repository.for_push()
    path = repository.path("manifests", parse(name).tag)
    response = await repository.request("PUT", path, {"Content-Type": media_type}, data)
    await http.close()
    assert response.status == 201, response.body


async def test_what_was_pushed_is_pulled_with_the_same_digest_config_and_disks(
    registry: Registry, store: ImageStore, other: ImageStore
) -> None:
    name = f"{registry.host}/team/app:v1"
    digest = await pushed(store, name)
    steps: list[Progress] = []
    pulled = await other.pull(name, progress=steps.append)
    original = store.get(name)
    assert pulled.id == original.id and pulled.references == (name,)
    assert pulled.digests == (f"{registry.host}/team/app@{digest}",)
    paths = await other.chain(pulled)
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in await store.chain(original)]
    assert content(paths[1], "/big") == BIG
    texts = [step.status for step in steps]
    assert texts[0] == "Pulling from team/app" and steps[0].id == "v1"
    assert texts.count("Pull complete") == 2 and "Downloading" in texts
    assert texts[-2:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}"]
    steps.clear()
    await other.pull(name, progress=steps.append)
    assert [s.status for s in steps][1:-2] == [], "nothing about layers of what is here"
    assert steps[-1].status == f"Status: Image is up to date for {name}"


async def test_an_image_made_here_is_pushed_as_docker_before_23_reads_it(
    registry: Registry, store: ImageStore, tmp_path: Path
) -> None:
    name = f"{registry.host}/old/engines:1"
    big = tar(Member("zeros", content=bytes(3_000_000)), Member("big", content=BIG))
    made = await image(store, name, tar("a"), big, tar("a"))
    config = store.shelf.blobs.read(made.id, 1 << 20)
    digest = await push(store.shelf, name)
    repository = Repository(store.shelf.http, parse(name), None)
    data, media_type = await repository.manifest(digest)
    manifest = parse_manifest(data)
    assert isinstance(manifest, Manifest) and media_type == DOCKER_MANIFEST
    assert manifest.media_type == DOCKER_MANIFEST
    assert manifest.config.media_type == DOCKER_CONFIG
    assert manifest.config.digest == made.id == digest_of(config)
    assert {layer.media_type for layer in manifest.layers} == {DOCKER_LAYER}
    assert len(manifest.layers) == 3 and manifest.layers[0] == manifest.layers[2]
    for layer, tar_bytes in zip(manifest.layers, (tar("a"), big), strict=False):
        blob = b"".join([c async for c in repository.blob(layer.digest, layer.size_bytes)])
        assert (digest_of(blob), len(blob)) == (layer.digest, layer.size_bytes)
        assert gzip.decompress(blob) == tar_bytes and blob[4:8] == bytes(4), "no time in it"
    assert [digest_of(tar("a")), digest_of(big), digest_of(tar("a"))] == list(made.diff_ids)


async def test_the_gzip_of_a_layer_is_made_once_and_goes_with_the_image(
    registry: Registry, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{registry.host}/once:1"
    digest = await pushed(store, name)
    blobs = [store.shelf.layers.get(d).gzip for d in store.get(name).diff_ids]
    await store.collect_garbage()
    assert all(store.shelf.blobs.exists(blob) for blob in blobs)

    def never(*_: object) -> None:
        raise AssertionError("compressed twice")

    monkeypatch.setattr(gzipper.Packing, "step", never)
    assert await push(store.shelf, name) == digest
    await store.remove(name)
    assert not any(store.shelf.blobs.exists(blob) for blob in blobs)


async def test_a_layer_that_is_damaged_on_disk_is_not_pushed(
    registry: Registry, store: ImageStore, tmp_path: Path
) -> None:
    name = f"{registry.host}/damaged:1"
    made = await image(store, name, tar(Member("big", content=BIG)))
    other = await image(store, "other", tar(Member("big", content=BIG[::-1])))
    layer, wrong = (store.shelf.layers.get(i.diff_ids[0]) for i in (made, other))
    store.shelf.blobs.path(layer.blob).write_bytes(store.shelf.blobs.path(wrong.blob).read_bytes())
    with pytest.raises(Failure, match=f"layer {layer.diff_id} is damaged on disk"):
        await push(store.shelf, name)
    assert store.shelf.layers.get(layer.diff_id).gzip == ""


async def test_a_pull_by_digest_gives_the_image_a_digest_and_no_tag(
    registry: Registry, store: ImageStore, other: ImageStore
) -> None:
    """Nor the tag beside the digest: what that stands for at the registry was not asked."""
    digest = await pushed(store, f"{registry.host}/by/digest:x")
    for name in (f"{registry.host}/by/digest@{digest}", f"{registry.host}/by/digest:y@{digest}"):
        pulled = await other.pull(name)
        assert pulled.references == ()
        assert pulled.digests == (f"{registry.host}/by/digest@{digest}",)
        assert other.get(name).id == pulled.id


async def test_a_second_repository_of_the_registry_mounts_the_blobs(
    registry: Registry, store: ImageStore
) -> None:
    await pushed(store, f"{registry.host}/mount/one:x", tar(Member("r", content=os.urandom(9000))))
    await store.tag(f"{registry.host}/mount/one:x", f"{registry.host}/mount/two:x")
    steps: list[Progress] = []
    await push(store.shelf, f"{registry.host}/mount/two:x", progress=steps.append)
    assert "Mounted from mount/one" in [step.status for step in steps]


async def test_skopeo_and_hyper_read_each_others_images(
    registry: Registry, store: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    if not Path("/usr/bin/skopeo").exists():
        pytest.skip("skopeo is missing")
    await image(store, "exchange:1", tar("a/", "a/b"), tar("c"))
    archive = tmp_path / "image.tar"
    with open(archive, "wb") as file:
        async for chunk in store.save(["exchange:1"]):
            file.write(chunk)
    target = f"docker://{registry.host}/skopeo/x:1"
    argv = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false"]
    subprocess.run([*argv, f"docker-archive:{archive}", target], check=True, capture_output=True)
    pulled = await other.pull(f"{registry.host}/skopeo/x:1")
    assert pulled.diff_ids == store.get("exchange:1").diff_ids
    assert await push(other.shelf, f"{registry.host}/skopeo/x:1") in pulled.digests[0]
    argv = ["skopeo", "inspect", "--tls-verify=false", f"docker://{registry.host}/skopeo/x:1"]
    assert json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)["Os"] == "linux"


@pytest.mark.parametrize("kind", [DOCKER_LIST, OCI_INDEX])
async def test_a_manifest_list_is_resolved_by_platform(
    registry: Registry, store: ImageStore, other: ImageStore, kind: str
) -> None:
    base = f"{registry.host}/multi/{kind[-9:-5].strip('.')}"
    entries = []
    for architecture in ("amd64", "arm64"):
        name = f"{base}:{architecture}"
        digest = await pushed(store, name, tar(architecture))
        data, _ = await Repository(store.shelf.http, parse(name), None).manifest(digest)
        entries.append(
            {
                "mediaType": DOCKER_MANIFEST,
                "digest": digest,
                "size": len(data),
                "platform": {"os": "linux", "architecture": architecture},
            }
        )
    attestation = entries[0] | {"platform": {"os": "unknown", "architecture": "unknown"}}
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": [attestation, *entries]}
    await put_manifest(registry, f"{base}:all", encode(index), kind)
    for store_, architecture in ((store, "amd64"), (other, "arm64")):
        if architecture == "arm64":
            # The test image's config says amd64, whatever the list says: that is found out.
            steps: list[Progress] = []
            await store_.pull(f"{base}:all", platform="linux/arm64", progress=steps.append)
            words = "does not match the specified platform: wanted linux/arm64, actual: linux/amd64"
            assert steps[-1].status.startswith("WARNING: ") and words in steps[-1].status
        else:
            pulled = await store_.pull(f"{base}:all", platform=f"linux/{architecture}")
            [path] = await store_.chain(pulled)
            assert f"/{architecture}" in listing(path)
            assert pulled.digests[-1].endswith(digest_of(encode(index))) or any(
                digest_of(encode(index)) in d for d in pulled.digests
            )
    with pytest.raises(NotFound, match="no matching manifest for linux/riscv64 in the manifest"):
        await other.pull(f"{base}:all", platform="linux/riscv64")


async def test_all_tags_are_pulled_and_pushed(
    registry: Registry,
    store: ImageStore,
    other: ImageStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = f"{registry.host}/tags"
    for tag in ("one", "three", "two"):
        await image(store, f"{base}:{tag}", tar(tag))
    steps: list[Progress] = []
    digest = await push(store.shelf, base, progress=steps.append)
    pushed_tags = [str(step.aux["Tag"]) for step in steps if step.aux]
    assert pushed_tags == ["one", "three", "two"]
    steps.clear()
    pulled = await pull_all(other.shelf, base, None, "", steps.append)
    assert {each.references for each in pulled} == {(f"{base}:{tag}",) for tag in pushed_tags}
    assert (f"{base}@{digest}",) in {each.digests for each in pulled}
    assert {s.id for s in steps if s.status == "Pulling from tags"} == set(pushed_tags)
    statuses = [step.status for step in steps if step.status.startswith("Status: ")]
    assert statuses == [f"Status: Downloaded newer image for {base}"]
    steps.clear()
    await pull_all(other.shelf, base, None, "", steps.append)
    assert steps[-1].status == f"Status: Image is up to date for {base}"
    with pytest.raises(NotFound):
        await pull_all(other.shelf, f"{registry.host}/no/such", None, "", steps.append)
    whole = Repository.path  # page by page, as a registry with many tags has them listed
    monkeypatch.setattr(
        Repository, "path", lambda self, *p: whole(self, *p) + ("?n=1" if p[0] == "tags" else "")
    )
    assert len(await Repository(store.shelf.http, parse(base), None).tags()) == 3


async def test_what_was_pulled_goes_back_under_its_digest_though_a_layer_was_known(
    registry: Registry, store: ImageStore, other: ImageStore
) -> None:
    name = f"{registry.host}/back:1"
    digest = await pushed(store, name, tar("a"))
    await image(other, "mine", tar("a"))  # the same layer, kept as another blob
    await other.pull(name)
    assert await push(other.shelf, name) == digest


async def test_unknown_images_are_not_found_in_dockers_words(
    registry: Registry, store: ImageStore
) -> None:
    await pushed(store, f"{registry.host}/known:x")
    with pytest.raises(NotFound, match=r"manifest for .*/known:nope not found: manifest unknown"):
        await store.pull(f"{registry.host}/known:nope")
    with pytest.raises(NotFound, match=r"(not found|pull access denied)"):
        await store.pull(f"{registry.host}/unknown")
    with pytest.raises(NotFound, match="does not exist locally with the tag: nothing"):
        await push(store.shelf, "nothing:here")
    with pytest.raises(NotFound, match=r"tag does not exist: .*/known:there"):
        await push(store.shelf, f"{registry.host}/known:there")


async def test_a_registry_that_is_down_is_unavailable_in_go_words(store: ImageStore) -> None:
    port = free_port()
    with pytest.raises(
        Unavailable,
        match=rf'Get "http://127.0.0.1:{port}/v2/": dial tcp 127.0.0.1:{port}: '
        "connect: connection refused",
    ):
        await store.pull(f"127.0.0.1:{port}/x")


async def test_basic_authentication(
    private_registry: Registry, store: ImageStore, other: ImageStore
) -> None:
    name = f"{private_registry.host}/private/x:1"
    await image(store, name, tar("a"))
    with pytest.raises(Unauthorized, match="no basic auth credentials"):
        await push(store.shelf, name)
    with pytest.raises(Unauthorized, match="unauthorized"):
        await push(store.shelf, name, auth=Credentials(USER, "wrong"))
    await push(store.shelf, name, auth=GOOD)
    with pytest.raises(Unauthorized, match="no basic auth credentials"):
        await other.pull(name)
    assert (await other.pull(name, auth=GOOD)).references == (name,)


@pytest.mark.parametrize("kind", ["auths", "credsStore", "credHelpers"])
async def test_credentials_of_dockers_configuration(
    private_registry: Registry, store: ImageStore, tmp_path: Path, kind: str
) -> None:
    host = private_registry.host
    name = f"{host}/configured/{kind.lower()}:1"
    await image(store, name, tar("a"))
    await push(store.shelf, name, auth=GOOD)
    helper = tmp_path / "docker-credential-test"
    answer = json.dumps({"ServerURL": host, "Username": USER, "Secret": PASSWORD})
    helper.write_text(
        f"#!/bin/sh\nread key; [ $1 = get ] && [ $key = {host} ] && echo '{answer}'\n"
    )
    helper.chmod(0o755)
    config = tmp_path / "config.json"
    pair = "dGVzdGVyOnNlY3JldA=="  # base64 of tester:secret
    known = {
        "auths": {"auths": {host: {"auth": pair}}},
        "credsStore": {"credsStore": "test"},
        "credHelpers": {"credHelpers": {host: "test"}},
    }
    config.write_text(json.dumps(known[kind]))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    options = RegistryOptions(config_file=config, helper_environment=environment)
    mine = ImageStore(tmp_path / "mine", options=options)
    assert (await mine.pull(name)).references == (name,)
    await mine.close()


async def test_tokens_are_fetched_and_used(
    gate: Gate, store: ImageStore, other: ImageStore
) -> None:
    gate.tokens = True
    name = f"{gate.host}/token/x:1"
    await image(store, name, tar("a"))
    await push(store.shelf, name, auth=GOOD)
    assert (await other.pull(name)).references == (name,)
    assert sum(path == "/token" for _, path, _, _ in gate.seen) == 2
    with pytest.raises(Unauthorized, match="unauthorized"):
        await other.pull(name, auth=Credentials(USER, "wrong"))


async def test_redirects_are_followed_without_our_token(
    gate: Gate, store: ImageStore, other: ImageStore
) -> None:
    name = f"{gate.host}/redirect/x:1"
    await pushed(store, name)
    gate.tokens = gate.redirect_blobs = True
    gate.seen.clear()
    pulled = await other.pull(name)
    assert pulled.id == store.get(name).id
    blobs = [auth for _, path, auth, _ in gate.seen if "/blobs/sha256" in path]
    assert len(blobs) == 6 and blobs.count("") == 3


@pytest.mark.parametrize("ranges", ["taken", "ignored", "refused"])
async def test_a_broken_transfer_is_resumed(
    gate: Gate, store: ImageStore, other: ImageStore, ranges: Ranges
) -> None:
    name = f"{gate.host}/broken/x:1"
    await pushed(store, name)
    gate.ranges, gate.cuts_left, gate.cut_after_bytes = ranges, 3, 1_000_000
    gate.seen.clear()
    pulled = await other.pull(name)
    assert content((await other.chain(pulled))[1], "/big") == BIG
    assert any(asked.startswith("bytes=") for _, _, _, asked in gate.seen)


async def test_a_busy_registry_is_asked_again(
    gate: Gate, store: ImageStore, other: ImageStore
) -> None:
    name = f"{gate.host}/busy/x:1"
    await pushed(store, name)
    await other.shelf.http.close()
    gate.refuse = [503, 429]
    assert (await other.pull(name)).references == (name,)


async def test_what_is_not_what_was_promised_is_refused_and_leaves_nothing(
    gate: Gate, store: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    name = f"{gate.host}/lying/x:1"
    digest = await pushed(store, name, tar("a"))
    blob = store.shelf.layers.get(store.get(name).diff_ids[0]).gzip
    config = store.get(name).id
    body = store.shelf.blobs.path(blob).read_bytes()
    for path, data, message in (
        (f"blobs/{blob}", body[:-1] + b"x", "verification failed"),
        (f"blobs/{blob}", body[:-5], "truncated"),
        (f"blobs/{blob}", body + bytes(100), "larger than"),
        (f"blobs/{config}", b"{}", "config verification failed"),
        ("manifests/1", b'{"schemaVersion": 1}', "schema 1 is not supported"),
        ("manifests/1", b"[" * 100_000, "not valid JSON|not a JSON"),
        ("manifests/1", b'{"schemaVersion":2,"layers":[],"config":{}}', "not a sha256 digest"),
        ("manifests/1", b" " * 5_000_000, "larger than 4194304 bytes"),
        (f"manifests/{digest}", b"{}", "manifest verification failed"),
    ):
        gate.replace = {path: data}
        wanted = f"{gate.host}/lying/x@{digest}" if digest in path else name
        with pytest.raises(Failure, match=message):
            await other.pull(wanted)
        assert files_below(tmp_path / "other") == []
        assert list(other.list()) == []


async def test_a_cancelled_pull_leaves_nothing(
    gate: Gate, store: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    name = f"{gate.host}/cancel/x:1"
    await pushed(store, name)
    gate.hang = asyncio.Event()
    config = store.get(name).id
    other.shelf.blobs.write(store.shelf.blobs.read(config, 1 << 20))  # so that layers hang
    task = asyncio.create_task(other.pull(name))
    async with asyncio.timeout(60):
        while not list((tmp_path / "other" / "temp").iterdir()):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files_below(tmp_path / "other") == []


async def test_a_mirror_is_asked_first_for_docker_hub_only(
    gate: Gate, registry: Registry, store: ImageStore, tmp_path: Path
) -> None:
    await pushed(store, f"{registry.host}/library/mirrored:1", tar("m"))
    options = RegistryOptions(mirrors=(f"http://{gate.host}",))
    mine = ImageStore(tmp_path / "mine", options=options)
    assert (await mine.pull("mirrored:1")).references == ("mirrored:1",)
    seen = len(gate.seen)
    await mine.pull(f"{registry.host}/library/mirrored:1")
    assert len(gate.seen) == seen
    await mine.close()


async def test_plain_http_is_for_loopback_and_what_is_configured() -> None:
    http = Http(RegistryOptions(insecure=("registry.lan:5000", "10.0.0.0/8")))
    for host in ("127.0.0.1:5000", "localhost", "[::1]:5000", "registry.lan:5000", "10.1.2.3:80"):
        assert http.is_insecure(host), host
    for host in ("example.com", "192.168.1.1:5000", "registry.lan:5001"):
        assert not http.is_insecure(host), host


async def test_a_hostile_layer_from_a_registry_is_refused_and_leaves_nothing(
    registry: Registry, store: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    # No client of ours would push it: it is put together by hand.
    layer = tar("../../../tmp/escaped")
    config = encode(
        {
            "architecture": store.shelf.platform.architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
        }
    )
    name = parse(f"{registry.host}/hostile/x:1")
    repository = Repository(store.shelf.http, name, None)
    for data in (layer, config):
        response = await repository.request(
            "POST", repository.path("blobs", "uploads") + "/", data=b""
        )
        location = repository.absolute(response.headers["Location"]) + f"&digest={digest_of(data)}"
        kind = {"Content-Type": "application/octet-stream"}
        assert (await repository.request("PUT", location, kind, data)).status == 201
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest_of(layer),
                "size": len(layer),
            }
        ],
    }
    await put_manifest(registry, str(name), encode(manifest), OCI_MANIFEST)
    with pytest.raises(HyperError, match="is outside of the image"):
        await other.pull(str(name))
    assert files_below(tmp_path / "other") == []
