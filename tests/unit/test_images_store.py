"""Names, images and archives: what the engine and the API rely on."""

import asyncio
import base64
import io
import json
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyper.core.errors import Conflict, Failure, InvalidArgument, NotFound, Unavailable
from hyper.images import builtin, changes, credentials, usage
from hyper.images.blobs import digest_of
from hyper.images.build import Change
from hyper.images.credentials import Credentials
from hyper.images.manifest import (
    Index,
    Json,
    Manifest,
    Platform,
    encode,
    parse_config,
    parse_manifest,
)
from hyper.images.removal import ImageUse
from hyper.images.store import ImageStore
from tests.images_support import (
    SYMLINK,
    Member,
    chunks,
    content,
    files_below,
    image,
    joined,
    listing,
    tar,
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ImageStore]:
    opened = ImageStore(tmp_path / "images")
    yield opened
    await opened.close()


async def saved(store: ImageStore, *names: str) -> bytes:
    return joined([chunk async for chunk in store.save(names)])


async def test_an_image_is_found_by_name_id_and_beginning(store: ImageStore) -> None:
    made = await image(store, "app:1", tar("a"))
    await store.tag("app:1", "other/app")
    digits = made.id.removeprefix("sha256:")
    for name in ("app:1", "other/app:latest", made.id, digits, digits[:12], made.id[:15]):
        assert store.get(name).id == made.id
    assert store.get("app:1").references == ("app:1", "other/app:latest")
    for name, shown in (("app", "app:latest"), ("app:2", "app:2"), ("!!", "!!"), ("", "")):
        with pytest.raises(NotFound, match=f"No such image: {shown}"):
            store.get(name)


async def test_a_tag_moves_and_leaves_a_dangling_image(store: ImageStore) -> None:
    first = await image(store, "app", tar("a"))
    second = await image(store, "app", tar("b"))
    assert store.get("app").id == second.id
    assert store.get(first.id).references == ()


async def test_the_store_survives_being_opened_again(tmp_path: Path, store: ImageStore) -> None:
    made = await image(store, "app", tar("a"))
    again = ImageStore(tmp_path / "images")
    assert again.get("app") == store.get("app") == made
    assert await again.chain(made) == await store.chain(made)


def test_a_damaged_catalog_is_named(tmp_path: Path) -> None:
    ImageStore(tmp_path)
    for text in ("{", "{}", '{"version": 99, "images": {}}', "[]", '{"version": 1, "images": 3}'):
        (tmp_path / "catalog.json").write_text(text)
        with pytest.raises(Failure, match=r"catalog\.json is"):
            ImageStore(tmp_path)


async def test_the_last_name_takes_the_image_and_its_files_along(
    tmp_path: Path, store: ImageStore
) -> None:
    made = await image(store, "app", tar("a"))
    await store.tag("app", "app:2")
    assert [r.as_json() for r in await store.remove("app:2")] == [{"Untagged": "app:2"}]
    removals = [removal.as_json() for removal in await store.remove("app")]
    assert removals[:2] == [{"Untagged": "app:latest"}, {"Deleted": made.id}]
    with pytest.raises(NotFound):
        store.get(made.id)
    assert files_below(tmp_path / "images") == []


async def test_layers_live_as_long_as_an_image_needs_them(store: ImageStore) -> None:
    base = await image(store, "base", tar("a"))
    child = await store.create(chunks(tar("b")), Change(), base="base", name="child")
    with pytest.raises(Conflict, match="image has dependent child images"):
        await store.remove(base.id, force=True)
    await store.remove("child")
    assert len(await store.chain(store.get("base"))) == 1
    assert child.parent == base.id


async def test_removal_obeys_containers_in_dockers_words(store: ImageStore) -> None:
    made = await image(store, "app", tar("a"))
    short = made.id[7:19]
    stopped = {made.id: [ImageUse("c" * 64, running=False)]}
    running = {made.id: [ImageUse("d" * 64, running=True)]}
    with pytest.raises(
        Conflict,
        match=rf'unable to remove repository reference "app" \(must force\) - container c{{12}} '
        rf"is using its referenced image {short}",
    ):
        await store.remove("app", used_by=stopped)
    with pytest.raises(Conflict, match=r"\(must be forced\) - image is being used by stopped"):
        await store.remove(made.id, used_by=stopped)
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image is being used by running"):
        await store.remove(made.id, force=True, used_by=running)
    await store.tag("app", "elsewhere/app")
    with pytest.raises(Conflict, match="image is referenced in multiple repositories"):
        await store.remove(made.id)
    await store.remove("elsewhere/app")
    await store.remove("app", force=True, used_by=stopped)
    assert list(store.list()) == []
    assert store.shelf.image(made.id).id == made.id and await store.chain(made)
    await store.collect_garbage(in_use=stopped)
    with pytest.raises(Failure):
        await store.load(chunks(b"junk" * 1000))  # and a failure collects what came in, no more
    assert await store.chain(made)
    assert await store.collect_garbage() > 0
    with pytest.raises(NotFound):
        store.shelf.image(made.id)


async def test_prune_takes_what_has_no_name_or_no_use(store: ImageStore) -> None:
    await image(store, "app", tar("a"))
    used = await image(store, "used", tar("u"))
    await image(store, "app", tar("b"))
    users = {used.id: [ImageUse("c" * 64, running=False)]}
    removals, freed = await store.prune(store.list(), used_by=users)
    assert freed == 1 and any(r.deleted for r in removals)
    assert {i.references for i in store.list()} >= {("app:latest",), ("used:latest",)}
    await store.prune(store.list(), dangling=False, used_by=users)
    assert [i.references for i in store.list() if i.references] == [("used:latest",)]


async def test_nothing_is_collected_while_a_transfer_runs(store: ImageStore) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        data = tar("new")
        yield data[:600]
        started.set()
        await go.wait()
        yield data[600:]

    await image(store, "old", tar("old"))
    task = asyncio.create_task(store.create(slow(), Change(), name="new"))
    await started.wait()
    await store.remove("old")
    assert await store.collect_garbage() == 0
    go.set()
    made = await task
    assert len(await store.chain(made)) == 1
    assert len(list(store.shelf.layers._layers.glob("*.json"))) == 1


# --- archives ----------------------------------------------------------------------------------


async def test_what_is_saved_is_loaded_with_the_same_ids(tmp_path: Path, store: ImageStore) -> None:
    one = await image(store, "one:1", tar("etc/", "etc/a"), tar("etc/", "etc/.wh.a", "b"))
    two = await image(store, "two:2", tar("etc/", "etc/a"))
    await store.tag("one:1", "again/one:1")
    data = await saved(store, "one:1", "again/one:1", "two:2")
    assert data == await saved(store, "one:1", "again/one:1", "two:2")
    other = ImageStore(tmp_path / "other")
    (tmp_path / "archive.tar").write_bytes(data)
    found = await other.load(tmp_path / "archive.tar")
    assert [x.messages for x in found] == [
        ("Loaded image: one:1", "Loaded image: again/one:1"),
        ("Loaded image: two:2",),
    ]
    assert other.get("again/one:1").id == one.id and other.get("two:2").id == two.id
    for made in (one, two):
        assert [p.read_bytes() for p in await store.chain(made)] == [
            p.read_bytes() for p in await other.chain(other.get(made.id))
        ]
    by_id = await saved(store, two.id)
    assert (await other.load(chunks(by_id)))[0].messages == (f"Loaded image ID: {two.id}",)


def _repacked(data: bytes, keep: object, extra: dict[str, bytes] | None = None) -> bytes:
    members = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            file = archive.extractfile(info)
            if file is not None and keep(info.name):  # type: ignore[operator]
                members.append(Member(info.name, content=file.read()))
    return tar(*members, *(Member(k, content=v) for k, v in (extra or {}).items()))


def _with_manifest(data: bytes, **changed: object) -> bytes:
    """Return an archive whose manifest.json has other fields."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile("manifest.json")
        assert file is not None
        [manifest] = json.load(file)
    other = json.dumps([manifest | changed]).encode()
    return _repacked(data, lambda name: name != "manifest.json", {"manifest.json": other})


def _for_others(data: bytes) -> bytes:
    """Return an OCI layout with images of other platforms alone."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile("index.json")
        assert file is not None
        [item] = json.load(file)["manifests"]
    platforms = [{"os": "linux", "architecture": name} for name in ("arm64", "386")]
    index = {"schemaVersion": 2, "manifests": [item | {"platform": p} for p in platforms]}
    kept = ("index.json", "manifest.json")
    return _repacked(data, lambda name: name not in kept, {"index.json": encode(index)})


async def test_an_oci_layout_and_the_old_form_with_links_are_loaded(
    tmp_path: Path, store: ImageStore
) -> None:
    made = await image(store, "app:1", tar("a"), tar("b"))
    data = await saved(store, "app:1")
    layout = ImageStore(tmp_path / "layout")
    found = await layout.load(chunks(_repacked(data, lambda n: n != "manifest.json")))
    assert [x.messages for x in found] == [("Loaded image: app:1",)] and found[
        0
    ].image.id == made.id
    config = store.shelf.blobs.read(made.id, 1 << 20)
    manifest = [
        {"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["x/layer.tar", "y/layer.tar"]}
    ]
    old = tar(
        Member("x/layer.tar", SYMLINK, link="../z/layer.tar"),
        Member("y/layer.tar", content=tar("b")),
        Member("z/layer.tar", content=tar("a")),
        Member("c.json", content=config),
        Member("manifest.json", content=encode(manifest)),
    )
    other = ImageStore(tmp_path / "old")
    assert (await other.load(chunks(old)))[0].image.id == made.id


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: _repacked(d, lambda n: "json" not in n), "neither manifest.json nor index"),
        (lambda d: _repacked(d, lambda n: n.endswith("json")), "is missing"),
        (lambda d: _repacked(d, lambda n: "manifest" not in n and "blobs" not in n), "is missing"),
        (lambda d: d[:3000], "unexpected end"),
        (lambda d: b"junk" * 1000, "tar:"),
        (lambda d: b"", "neither"),
        (lambda d: _repacked(d, lambda n: True, {"manifest.json": b'[{"Config": 5}]'}), "missing"),
        (lambda d: _repacked(d, lambda n: True, {"manifest.json": b"{}"}), "not a list"),
        (lambda d: _repacked(d, lambda n: True, {"manifest.json": b"[" * 50_000}), "JSON"),
        (lambda d: _with_manifest(d, Config="\ud800"), "is missing"),
        (lambda d: _with_manifest(d, RepoTags=5), "RepoTags is not a list of strings"),
        (lambda d: _with_manifest(d, RepoTags="app:1"), "RepoTags is not a list of strings"),
        (lambda d: _with_manifest(d, Layers=[5]), "Layers is not a list of strings"),
        (lambda d: _for_others(d), "no matching manifest for linux/amd64"),
        (lambda d: _repacked(d, lambda n: True, {"../evil": b"x"}), "outside of the image"),
    ],
)
async def test_a_bad_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, store: ImageStore, damage: object, message: str
) -> None:
    await image(store, "app:1", tar("a"))
    data = damage(await saved(store, "app:1"))  # type: ignore[operator]
    other = ImageStore(tmp_path / "other")
    with pytest.raises((Failure, NotFound), match=message):
        await other.load(chunks(data))
    assert files_below(tmp_path / "other") == [] and list(other.list()) == []


async def test_a_layer_that_is_not_the_configs_is_refused(
    tmp_path: Path, store: ImageStore
) -> None:
    made = await image(store, "app:1", tar("a"))
    name = f"blobs/sha256/{made.diff_ids[0][7:]}"
    data = _repacked(await saved(store, "app:1"), lambda n: n != name, {name: tar("b")})
    other = ImageStore(tmp_path / "other")
    with pytest.raises(Failure, match="don't match image configuration"):
        await other.load(chunks(data))
    assert files_below(tmp_path / "other") == []


async def test_skopeo_reads_what_we_save(tmp_path: Path, store: ImageStore) -> None:
    if not Path("/usr/bin/skopeo").exists():
        pytest.skip("skopeo is missing")
    made = await image(store, "app:1", tar("a"), tar("b"))
    (tmp_path / "a.tar").write_bytes(await saved(store, "app:1"))
    for kind in ("docker-archive", "oci-archive"):
        argv = ["skopeo", "inspect", "--config", f"{kind}:{tmp_path / 'a.tar'}"]
        config = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        assert config["rootfs"]["diff_ids"] == list(made.diff_ids)


# --- new images --------------------------------------------------------------------------------


async def test_import_and_commit_make_images_with_history(store: ImageStore) -> None:
    def configure(config: Json) -> None:
        changes.apply(config, ['CMD ["sh"]', "ENV A=1"])

    first = await store.create(
        chunks(tar("a")), Change(configure, comment="Imported from -"), name="imported"
    )
    assert first.config.cmd == ("sh",) and first.config.env == ("A=1",)
    change = Change(lambda c: changes.apply(c, ["USER me"]), author="I", created_by="RUN x")
    second = await store.create(chunks(tar("bb")), change, base="imported", name="committed")
    third = await store.create(None, Change(created_by="LABEL y"), base="committed")
    assert second.config.user == "me" and second.config.cmd == ("sh",)
    assert third.diff_ids == second.diff_ids and third.parent == second.id
    steps = usage.history(store.shelf, third)
    assert [(s.created_by, s.size_bytes) for s in steps] == [("LABEL y", 0), ("RUN x", 2), ("", 1)]
    assert [s.id for s in steps] == [third.id, second.id, first.id]
    assert steps[1].tags == ("committed:latest",) and steps[2].comment == "Imported from -"


async def test_usage_counts_shared_layers(store: ImageStore) -> None:
    base = await image(store, "base", tar(Member("a", content=bytes(1000))))
    child = await store.create(
        chunks(tar(Member("b", content=bytes(50)))), Change(), base="base", name="child"
    )
    found = {u.image_id: u for u in usage.usage(store.shelf, [base, child])}
    assert (found[base.id].size_bytes, found[base.id].unique_bytes) == (1000, 0)
    assert (found[child.id].size_bytes, found[child.id].unique_bytes) == (1050, 50)
    assert usage.layers_bytes(store.shelf, [base, child]) == 1050


async def test_busybox_of_the_distribution_is_an_image(store: ImageStore) -> None:
    try:
        made = await builtin.make(store)
    except Unavailable as err:
        pytest.skip(str(err))
    assert made.references == ("busybox:latest",) and made.config.cmd == ("sh",)
    [path] = await store.chain(made)
    found = listing(path)
    assert found["/tmp"].startswith("drwxrwxrwt 0/0") and found["/root"].startswith("drwx------")
    assert found["/bin/sh"] == found["/bin/busybox"]
    assert b"nobody:x:65534" in content(path, "/etc/passwd")
    assert (await builtin.make(store)).id == made.id


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("CMD echo hi", "Cmd", ["/bin/sh", "-c", "echo hi"]),
        ('entrypoint ["/x", "y"]', "Entrypoint", ["/x", "y"]),
        ("ENV A=1 B='2 3'", "Env", ["A=1", "B=2 3"]),
        ("ENV A b c", "Env", ["A=b c"]),
        ("EXPOSE 80 90-91/udp", "ExposedPorts", {"80/tcp": {}, "90/udp": {}, "91/udp": {}}),
        ("LABEL a=b", "Labels", {"a": "b"}),
        ("VOLUME /a /b", "Volumes", {"/a": {}, "/b": {}}),
        ("WORKDIR x/../y", "WorkingDir", "/y"),
        ("STOPSIGNAL SIGQUIT", "StopSignal", "SIGQUIT"),
        ("ONBUILD RUN x", "OnBuild", ["RUN x"]),
        ('SHELL ["/bin/bash", "-c"]', "Shell", ["/bin/bash", "-c"]),
        (
            "HEALTHCHECK --interval=5s --retries=2 CMD true",
            "Healthcheck",
            {"Interval": 5 * 10**9, "Retries": 2, "Test": ["CMD-SHELL", "true"]},
        ),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
    ],
)
def test_instructions_change_a_config(line: str, key: str, value: object) -> None:
    config: Json = {}
    changes.apply(config, [line])
    assert config == {key: value}


@pytest.mark.parametrize(
    "line",
    [
        "RUN x",
        "",
        "STOPSIGNAL nosuch",
        "EXPOSE 99999",
        "ENV",
        "LABEL x",
        "SHELL x",
        "HEALTHCHECK x",
        "USER",
    ],
)
def test_wrong_instructions_are_refused(line: str) -> None:
    with pytest.raises(InvalidArgument):
        changes.apply({}, [line])


# --- small parts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm/v7", "linux/arm/v7"),
    ],
)
def test_platforms_are_normalised(text: str, shown: str) -> None:
    assert str(Platform.parse(text)) == shown


@pytest.mark.parametrize("text", ["a/b/c/d", "linux//x", "", "li nux"])
def test_impossible_platforms_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Platform.parse(text)


@pytest.mark.parametrize(
    "raw",
    [
        {"rootfs": {"diff_ids": ["md5:1"]}},
        {"rootfs": {"diff_ids": [f"sha256:{'../' * 21}a"]}},
        {"rootfs": {"diff_ids": 5}},
        {"config": [1]},
        {"config": {"Env": [1]}},
        {"config": {"Labels": [1]}},
        {"os": "windows"},
        {"os": 7},
    ],
)
def test_malformed_configs_are_refused(raw: Json) -> None:
    with pytest.raises(Failure):
        parse_config(encode(raw))


def test_what_no_answer_could_carry_is_not_taken_from_a_config() -> None:
    """One such image made every list of images fail."""
    config = parse_config(
        rb'{"author": "\ud83d\ude00 \udc00", "config": {"Labels": {"\ud800": "x"}}}'
    )
    assert config.author == "\U0001f600 \ufffd" and config.config.labels == (("\ufffd", "x"),)
    assert parse_config(encode(config.raw)) == config
    for number in ("NaN", "-Infinity", "1e999"):
        with pytest.raises(Failure, match="not valid JSON"):
            parse_config(b'{"config": {"Healthcheck": {"Interval": %s}}}' % number.encode())


def _index(*platforms: object) -> Index:
    """Return an index of manifests that are as large as their number."""
    kind = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest_of(b"")}
    entries = [kind | {"size": n, "platform": each} for n, each in enumerate(platforms)]
    parsed = parse_manifest(encode({"manifests": entries}))
    assert isinstance(parsed, Index)
    return parsed


def test_of_an_index_the_best_manifest_that_runs_is_chosen() -> None:
    def linux(architecture: str, variant: str = "") -> Json:
        return {"os": "linux", "architecture": architecture, "variant": variant}

    other = [{"os": "windows", "architecture": "amd64"}, linux("arm64"), linux("unknown")]
    for platforms, chosen in (
        ([*other, None], 3),
        ([*other, {}], 3),
        ([*other, None, linux("386")], 4),
        ([*other, linux("386"), linux("amd64")], 4),
        ([*other, linux("amd64", "v2"), linux("amd64"), linux("386"), None], 4),
    ):
        assert _index(*platforms).choose(Platform()).size_bytes == chosen
    for wanted in (Platform(architecture="386"), Platform(architecture="arm")):
        with pytest.raises(NotFound):
            _index(*other, linux("amd64")).choose(wanted)


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_layers_that_should_not_be_distributed_are_layers(kind: str) -> None:
    blob = {"size": 2, "digest": digest_of(b"{}")}
    config = blob | {"mediaType": "application/vnd.oci.image.config.v1+json"}
    parsed = parse_manifest(encode({"config": config, "layers": [blob | {"mediaType": kind}]}))
    assert isinstance(parsed, Manifest) and parsed.layers[0].media_type == kind


def test_malformed_manifests_are_refused() -> None:
    good = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
    good |= {"digest": digest_of(b"{}")}
    for raw in (
        {},
        {"config": good},
        {"config": good | {"size": -1}, "layers": []},
        {"config": good | {"size": True}, "layers": []},
        {"config": good | {"digest": "sha256:../../x"}, "layers": []},
        {"config": good | {"mediaType": "application/vnd.helm"}, "layers": []},
        {"config": good, "layers": [good]},
        {"config": good, "layers": [good] * 501},
        {"manifests": 5},
    ):
        with pytest.raises(Failure):
            parse_manifest(encode(raw))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"username": "u", "password": "p"}, Credentials("u", "p")),
        ({"identitytoken": "t"}, Credentials(identity_token="t")),
        ({"auth": "dTpw"}, Credentials("u", "p")),
        ({}, None),
    ],
)
def test_the_header_of_the_docker_client_is_read(raw: Json, expected: Credentials | None) -> None:
    value = base64.urlsafe_b64encode(json.dumps(raw).encode()).decode()
    assert credentials.from_header(value) == expected
    assert credentials.from_header(value.rstrip("=")) == expected


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("u", "secret", "secret", "secret"))
    assert credentials.from_header("bnVsbA==") is None  # null
    for value in ("!!!", "AAAA", "W10=", "eyJ1c2VybmFtZSI6NX0="):
        with pytest.raises(InvalidArgument):
            credentials.from_header(value)


def test_text_of_a_config_can_be_shown_whatever_it_is() -> None:
    raw = {"author": "\ud800", "config": {"Labels": {"a": "\udcff"}}}
    config = parse_config(json.dumps(raw).encode())
    assert (config.author, dict(config.config.labels)) == ("\ufffd", {"a": "\ufffd"})
    assert json.loads(encode(config.raw))["author"] == "\ufffd"
    assert changes.command({}, r'["\ud800"]') == ["\ufffd"]
