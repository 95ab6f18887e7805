"""Layers become disks, whole and safe, or leave nothing behind."""

import asyncio
import contextlib
import functools
import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyper.core.errors import Failure, ProcessError
from hyper.images import disks, layers
from hyper.images.blobs import BlobStore, digest_of
from hyper.images.feed import Feed
from hyper.images.intake import Expected
from hyper.images.layerfilter import (
    OPAQUE,
    LayerFilter,
    Limits,
    Whiteout,
    clean,
    clean_path,
)
from hyper.images.layers import LayerStore, chain_ids
from hyper.images.merge import Merger
from hyper.images.tarstream import Entry, Kind, TarReader
from tests.images_support import (
    DIRECTORY,
    LINK,
    SYMLINK,
    Member,
    content,
    files_below,
    listing,
    small_limits,
    take,
    tar,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def store(root: Path) -> LayerStore:
    return LayerStore(root, BlobStore(root), small_limits())


def disk(root: Path, diff_id: str) -> Path:
    return root / "layers" / f"{diff_id[7:]}.squashfs"


async def test_a_layer_becomes_a_padded_disk_with_owners_modes_links_and_devices(
    root: Path, store: LayerStore
) -> None:
    data = tar(
        Member("d", DIRECTORY, mode=0o1777),
        Member("d/f", content=b"hello", mode=0o4755, uid=1234),
        Member("d/hard", LINK, link="d/f"),
        Member("d/soft", SYMLINK, link="../../etc/passwd"),
        Member("null", tarfile.CHRTYPE, device=(1, 3)),
        Member("fifo", tarfile.FIFOTYPE),
    )
    layer = await take(store, data)
    path = disk(root, layer.diff_id)
    found = listing(path)
    assert found["/d"].startswith("drwxrwxrwt 0/0")
    assert found["/d/f"] == found["/d/hard"] == "-rwsr-xr-x 1234/0 5"
    assert found["/d/soft"].endswith("../../etc/passwd")
    assert found["/null"].startswith("crw-r--r-- 0/0 1,3")
    assert found["/fifo"].startswith("prw-r--r--")
    assert path.stat().st_size % 4096 == 0
    assert layer.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert layer.content_bytes == 5 + len("../../etc/passwd") and not layer.needs_merge


@pytest.mark.parametrize("pack", [lambda d: d, gzip.compress, zstandard.compress])
async def test_compression_changes_the_blob_and_nothing_else(
    root: Path, store: LayerStore, pack: object
) -> None:
    data = tar("a/", "a/b")
    packed = pack(data)  # type: ignore[operator]
    layer = await take(store, packed, Expected(digest_of(packed), len(packed), digest_of(data)))
    assert (layer.blob, layer.blob_bytes) == (digest_of(packed), len(packed))
    assert layer.diff_id == digest_of(data) and layer.tar_bytes == len(data)
    assert content(disk(root, layer.diff_id), "/a/b") == b"a/b"
    file, read = store.open_tar(layer)
    with file:
        assert b"".join(iter(lambda: read(4096), b"")) == data


async def test_gzip_of_several_members_is_one_layer(store: LayerStore) -> None:
    data = tar("a", "b")
    packed = b"".join(gzip.compress(data[i : i + 300]) for i in range(0, len(data), 300))
    assert (await take(store, packed)).diff_id == digest_of(data)


async def test_what_comes_uncompressed_is_kept_small_and_gives_the_same_tar(
    root: Path, store: LayerStore
) -> None:
    data = tar(Member("zeros", content=bytes(1_000_000)))
    layer = await take(store, data)
    assert layer.blob_bytes < 10_000 and layer.media_type.endswith("+zstd")
    assert layer.diff_id == digest_of(data)


async def test_the_same_layer_gives_the_same_disk_at_any_time(
    root: Path, store: LayerStore
) -> None:
    data = tar(
        "x/", "x/y", Member("z", content=os.urandom(200_000)), *(f"f{n}" for n in range(900))
    )
    layer = await take(store, data)
    disk_ = disk(root, layer.diff_id)
    first = disk_.read_bytes()
    made = int(disk_.stat().st_mtime)
    while int(time.time()) == made:  # squashfs counts seconds
        await asyncio.sleep(0.05)
    disk_.unlink()
    await store.chain([layer.diff_id])
    assert disk_.read_bytes() == first
    shown = subprocess.run(["unsquashfs", "-lln", "-d", "", str(disk_)], capture_output=True).stdout
    assert b"1970-01-01 00:00" in shown.splitlines()[0]


async def test_two_pulls_of_one_layer_convert_it_once(store: LayerStore) -> None:
    data = tar("a")
    expected = Expected(diff_id=digest_of(data))
    async with asyncio.TaskGroup() as tasks:
        one = tasks.create_task(take(store, data, expected))
        two = tasks.create_task(take(store, data, expected))
    assert one.result() == two.result()


async def test_whiteouts_become_those_of_overlayfs(root: Path, store: LayerStore) -> None:
    layer = await take(
        store, tar("d/", "d/.wh.gone", "o/", "o/.wh..wh..opq", "o/new", "p/", "p/.wh..wh.plnk")
    )
    found = listing(disk(root, layer.diff_id))
    assert found["/d/gone"].startswith("c---------") and found["/d/gone"].endswith("0,0")
    assert not any(".wh." in path for path in found)
    assert b"overlay.opaque" in _uncompressed_xattrs(disk(root, layer.diff_id))


def _uncompressed_xattrs(path: Path) -> bytes:
    argv = ["unsquashfs", "-stat", str(path)]
    assert b"Xattrs are compressed" in subprocess.run(argv, capture_output=True).stdout
    return path.read_bytes()


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


HOSTILE = {
    "leaves the root": (tar("../../etc/passwd"), "is outside of the image"),
    "leaves the root on the way": (tar("a/../../x"), "is outside of the image"),
    "absolute and out": (tar("/../x"), "is outside of the image"),
    "hard link out": (tar(Member("x", LINK, link="../../etc/shadow")), "outside of the image"),
    "hard link to nothing": (tar(Member("x", LINK, link="/etc/shadow")), "not in the same layer"),
    "hard link forward": (tar(Member("x", LINK, link="y"), "y"), "not in the same layer"),
    "hard link to itself": (tar(Member("x", LINK, link="x")), "not in the same layer"),
    "hard link to a directory": (tar("d/", Member("x", LINK, link="d")), "is a directory"),
    "through a symlink": (
        tar(Member("a", SYMLINK, link="/etc"), "a/passwd"),
        "is not a directory",
    ),
    "through a file": (tar("f", "f/x"), "is not a directory"),
    "whiteout of dot": (tar(".wh.."), "invalid whiteout"),
    "whiteout of dotdot": (tar("d/.wh..."), "invalid whiteout"),
    "whiteout of nothing": (tar("d/.wh."), "invalid whiteout"),
    "below a whiteout": (tar(".wh.a/b"), "below a whiteout"),
    "name too long": (tar("x" * 256), "file name too long"),
    "path too long": (tar("/".join(["y" * 200] * 21)), "path too long"),
    "root is a file": (
        tar(Member("./", content=b"x", type=tarfile.CHRTYPE, device=(1, 1))),
        "root",
    ),
    "empty symlink": (tar(Member("s", SYMLINK)), "empty or too long target"),
    "too many entries": (tar(*(f"f{i}" for i in range(1001))), "more than 1000 entries"),
    "too large": (tar(Member("z", content=bytes(9_000_000))), "unpacks to more than"),
    "owner out of range": (tar(Member("f", uid=2**33)), "out of range"),
    "device out of range": (
        tar(Member("f", tarfile.BLKTYPE, device=(5000, 1))),
        "out of range",
    ),
    "attribute too large": (
        tar(Member("f", pax={"SCHILY.xattr.user.x": "y" * 70_000})),
        "extended attribute",
    ),
    "unknown type": (tar(Member("f", b"Q")), "unsupported type"),
    "no tar": (b"this is not a tar archive " * 100, "tar:"),
    "damaged gzip": (
        flipped(gzip.compress(tar(Member("x", content=os.urandom(5000)))), 3000),
        "gzip: ",
    ),
    "truncated gzip": (gzip.compress(tar("x"))[:-20], "gzip: unexpected end"),
    "damaged zstd": (flipped(zstandard.compress(tar(*"abcdefgh")), 30), "zstd: |tar: "),
    "truncated zstd": (zstandard.compress(tar(*"abcdefgh"))[:-4], "zstd: unexpected end"),
    "truncated": (tar(Member("f", content=b"x" * 5000))[:2000], "unexpected end"),
}


@pytest.mark.parametrize("convert", [True, False])
@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_layer_is_refused_with_a_reason_and_leaves_nothing(
    root: Path, store: LayerStore, case: str, convert: bool
) -> None:
    data, message = HOSTILE[case]
    if not convert and message == "is not a directory":
        pytest.skip("found when the chain is merged")
    with pytest.raises(Failure, match=message):
        await take(store, data, convert=convert)
    assert files_below(root) == []


async def test_a_sparse_bomb_is_refused_at_its_header(root: Path, tmp_path: Path) -> None:
    with open(tmp_path / "bomb", "wb") as file:
        file.truncate(10 * 1024**3)
    for form in (["gnu"], *(["pax", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))):
        argv = ["tar", "-S", f"--format={form[0]}", *form[1:], "-C", str(tmp_path), "-c", "bomb"]
        data = subprocess.run(argv, check=True, capture_output=True).stdout
        store = LayerStore(root, BlobStore(root), Limits())
        with pytest.raises(Failure, match="unpacks to more than"):
            await take(store, data, Expected(size_bytes=len(data)))
        assert files_below(root) == []


async def test_a_bomb_of_compressed_zeros_is_refused_while_small(
    root: Path, store: LayerStore
) -> None:
    packed = zstandard.compress(bytes(300_000_000))  # zeros alone: two blocks end a tar
    with pytest.raises(Failure, match="unpacks to more than"):
        await take(store, packed)
    assert files_below(root) == []


async def test_a_layer_that_is_not_what_was_promised_is_refused(
    root: Path, store: LayerStore
) -> None:
    data = gzip.compress(tar("x"))
    good, diff_id = digest_of(data), digest_of(tar("x"))
    other = "sha256:" + "0" * 64
    for expected, message in (
        (Expected(other, len(data), diff_id), f"verification failed for digest {other}"),
        (Expected(good, len(data), other), "don't match image configuration"),
        (Expected(good, len(data) + 1, diff_id), "truncated"),
        (Expected(good, len(data) - 1, diff_id), "larger than the"),
    ):
        with pytest.raises(Failure, match=message):
            await take(store, data, expected)
        assert files_below(root) == []


async def test_a_damaged_layer_is_said_to_be_damaged_not_hostile(store: LayerStore) -> None:
    data = bytearray(gzip.compress(tar(Member("x", content=os.urandom(20_000)))))
    good = digest_of(bytes(data))
    data[5000] ^= 0xFF
    with pytest.raises(Failure, match="layer verification failed"):
        await take(store, bytes(data), Expected(good, len(data)))


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_cancelled_or_broken_download_leaves_nothing(
    root: Path, store: LayerStore, after: int
) -> None:
    data = tar(Member("x", content=os.urandom(3_000_000)))

    async def breaks(feed: Feed) -> None:
        for number in range(after):
            await feed.put(data[number * 900_000 : (number + 1) * 900_000])
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await store.take_in(Expected(), breaks, convert=True)
    assert files_below(root) == []

    started = asyncio.Event()

    async def hangs(feed: Feed) -> None:
        await feed.put(data[:900_000])
        started.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(store.take_in(Expected(), hangs, convert=True))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files_below(root) == []


async def test_a_failing_sqfstar_is_reported_with_its_words(
    root: Path, store: LayerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "_COMMAND", ("sh", "-c", "echo no space left >&2; exit 3"))
    with pytest.raises(ProcessError, match="no space left"):
        await take(store, tar(Member("x", content=os.urandom(3_000_000))))
    assert files_below(root) == []


async def test_stale_files_are_removed_when_the_store_is_opened(
    root: Path, store: LayerStore
) -> None:
    (root / "temp" / "half").write_bytes(b"x" * 100)
    LayerStore(root, BlobStore(root), Limits())
    assert files_below(root) == []


async def test_the_last_of_two_entries_of_one_name_counts(root: Path, store: LayerStore) -> None:
    layer = await take(
        store,
        tar("d/", Member("d/f", content=b"one"), Member("d/f", content=b"second"), ".wh.gone"),
    )
    found = disk(root, layer.diff_id)
    assert content(found, "/d/f") == b"second"
    assert listing(found)["/gone"].startswith("c---------")


async def test_a_path_through_a_symlink_of_the_layer_is_where_the_link_leads(
    root: Path, store: LayerStore
) -> None:
    """As when dockerd unpacks it, in a root of its own; Bazel and `tar -r` write such layers."""
    layer = await take(
        store,
        tar(
            *("usr/", "usr/lib/", "usr/lib/a"),
            Member("lib", SYMLINK, link="usr/lib"),
            Member("up", SYMLINK, link="/../.././usr/../lib"),
            *("lib/b", "up/sub/c"),
            Member("hard", LINK, link="up/a"),
        ),
    )
    found = disk(root, layer.diff_id)
    assert {path for path in listing(found) if path} == {
        *("/usr", "/usr/lib", "/usr/lib/a", "/usr/lib/b", "/usr/lib/sub", "/usr/lib/sub/c"),
        *("/lib", "/up", "/hard"),
    }
    assert content(found, "/usr/lib/b") == b"lib/b" and content(found, "/hard") == b"usr/lib/a"


async def test_symlinks_that_lead_nowhere_or_round_are_no_way(store: LayerStore) -> None:
    for links in ({"a": "b", "b": "a"}, {"a": "a"}, {"a": "gone/x"}, {"a": "../f"}):
        members = [Member(name, SYMLINK, link=link) for name, link in links.items()]
        with pytest.raises(Failure, match="is not a directory"):
            await take(store, tar("f", *members, "a/x"))


async def test_a_layer_that_comes_again_keeps_its_blob(root: Path, store: LayerStore) -> None:
    """The manifest of the image that was pulled names it: a push goes under the same digest."""
    data = tar("a")
    packed = gzip.compress(data)
    pulled = await take(store, packed, Expected(digest_of(packed)), convert=False)
    imported = await take(store, data)
    assert imported == pulled == store.get(pulled.diff_id)
    assert imported.blob == digest_of(packed) and content(disk(root, imported.diff_id), "/a")


def test_forged_overlay_attributes_are_dropped_and_capabilities_kept() -> None:
    pax = {
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.security.capability": "\x01",
        "SCHILY.xattr.security.selinux": "x",
        "SCHILY.xattr.user.mine": "1",
    }
    [entry] = _filtered(tar(Member("f", pax=pax)))
    assert entry.xattrs == ((b"security.capability", b"\x01"), (b"user.mine", b"1"))


def test_a_forged_whiteout_device_is_a_whiteout() -> None:
    data = tar(Member("f", tarfile.CHRTYPE, device=(0, 0)))
    assert list(clean(_reader(data), Limits())) == [Whiteout(b"f")]


def test_a_whiteout_never_hides_an_entry_of_its_own_layer() -> None:
    for members in (("f", ".wh.f", "d/", "d/x", ".wh.d"), (".wh.d", ".wh.f", "f", "d/", "d/x")):
        entries = {entry.path: entry for entry in _filtered(tar(*members))}
        assert entries[b"f"].kind is Kind.FILE
        assert OPAQUE in entries[b"d"].xattrs and b"d/x" in entries


def _reader(data: bytes) -> TarReader:
    return TarReader(io.BytesIO(data).read)


def _filtered(data: bytes) -> list[Entry]:
    return list(LayerFilter().run(clean(_reader(data), Limits())))


@given(st.binary(max_size=60))
def test_any_name_is_refused_or_stays_inside(name: bytes) -> None:
    try:
        path = clean_path(name)
    except Failure:
        return
    assert not path.startswith(b"/") and b"\0" not in path
    assert not {b"", b".", b".."} & set(path.split(b"/") if path else [])
    assert clean_path(path) == path


# --- merged chains -----------------------------------------------------------------------------

_PATHS = st.sampled_from(["a", "b", "a/x", "a/y", "b/x", "a/x/1", "c/d/e"])
_MEMBERS = st.one_of(
    _PATHS.map(lambda p: p + "/"),
    _PATHS,
    _PATHS.map(lambda p: _beside(p, ".wh." + p.rpartition("/")[2])),
    _PATHS.map(lambda p: _beside(p, ".wh..wh..opq")),
)
_LAYERS = st.lists(st.lists(_MEMBERS, max_size=6, unique=True), min_size=1, max_size=4)


def _beside(path: str, name: str) -> str:
    parent = path.rpartition("/")[0]
    return f"{parent}/{name}" if parent else name


class Impossible(Exception):
    """A layer that no tree is like."""


def model(layers_: list[list[str]]) -> dict[str, str]:
    """Return what a container sees of layers: path to "dir", or the layer a file is of."""
    tree: dict[str, str] = {}
    for number, members in enumerate(layers_):
        own: dict[str, str] = {}
        for member in members:
            base = member.rstrip("/").rpartition("/")[2]
            parent = member.rpartition("/")[0] if not member.endswith("/") else ""
            if base == ".wh..wh..opq":
                tree = {p: k for p, k in tree.items() if parent and not p.startswith(parent + "/")}
            elif base.startswith(".wh."):
                gone = _beside(member, base[4:])
                tree = {
                    p: k for p, k in tree.items() if p != gone and p[: len(gone) + 1] != gone + "/"
                }
        for member in members:
            path = member.rstrip("/")
            names = path.split("/")
            parents = ["/".join(names[:i]) for i in range(1, len(names))]
            if any(own.get(p, "dir") != "dir" for p in parents):
                raise Impossible
            own |= dict.fromkeys(parents, "dir")
            if ".wh." in path:
                continue
            kind = "dir" if member.endswith("/") else f"layer {number}"
            if kind != "dir":
                own = {p: k for p, k in own.items() if not p.startswith(path + "/")}
            own[path] = kind
        for path, kind in own.items():
            if kind != "dir" or tree.get(path, "dir") != "dir":
                tree = {
                    p: k for p, k in tree.items() if p != path and p[: len(path) + 1] != path + "/"
                }
            tree[path] = kind
    return tree


def merged(layers_: list[list[str]]) -> dict[str, str]:
    @contextlib.contextmanager
    def opened(number: int, members: list[str]) -> Iterator[TarReader]:
        data = tar(
            *(m if m.endswith("/") else Member(m, content=str(number).encode()) for m in members)
        )
        yield _reader(data)

    openers = [functools.partial(opened, n, m) for n, m in enumerate(layers_)]
    result = {}
    for entry, chunks in Merger(openers, [Limits()] * len(openers)).run(keep_whiteouts=False):
        data = b"".join(chunks).decode()
        result[entry.path.decode()] = "dir" if entry.kind is Kind.DIRECTORY else f"layer {data}"
    return result


@given(_LAYERS)
@example([["b/x/"], ["b", "b/"]])
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=400, deadline=None)
def test_a_merged_chain_is_what_a_container_sees(layers_: list[list[str]]) -> None:
    try:
        expected = model(layers_)
    except Impossible:
        with pytest.raises(Failure):
            merged(layers_)
        return
    assert merged(layers_) == expected


async def test_a_hard_link_survives_the_loss_of_its_first_name(
    root: Path, store: LayerStore
) -> None:
    base = await take(
        store, tar("a", Member("b", LINK, link="a"), Member("c", LINK, link="b"), "d/")
    )
    tops = [await take(store, tar(".wh.a", f"d/{n}")) for n in range(layers.CHAIN_LIMIT)]
    [path] = await store.chain([layer.diff_id for layer in (base, *tops)])
    found = listing(path)
    assert "/a" not in found and content(path, "/b") == content(path, "/c") == b"a"


async def test_a_long_chain_is_one_disk_and_a_short_one_its_layers(
    root: Path, store: LayerStore
) -> None:
    ids = []
    for number in range(layers.CHAIN_LIMIT + 3):
        layer = await take(store, tar("d/", f"d/{number}"), convert=False)
        ids.append(layer.diff_id)
    short = await store.chain(ids[: layers.CHAIN_LIMIT])
    assert [path.parent.name for path in short] == ["layers"] * layers.CHAIN_LIMIT
    [one] = await store.chain(ids)
    assert sorted(listing(one)) == ["", "/d", *(f"/d/{n}" for n in range(len(ids)))]
    extra = await take(store, tar("d/", "d/extra"))
    assert await store.chain([*ids, extra.diff_id]) == (one, disk(root, extra.diff_id))


async def test_an_image_without_layers_has_an_empty_disk(store: LayerStore) -> None:
    [path] = await store.chain([])
    assert list(listing(path)) == [""]


async def test_a_layer_that_implies_directories_keeps_the_attributes_below(
    store: LayerStore,
) -> None:
    base = await take(store, tar(Member("tmp", DIRECTORY, mode=0o1777)))
    top = await take(store, tar("tmp/file"))
    assert top.needs_merge
    [path] = await store.chain([base.diff_id, top.diff_id])
    assert listing(path)["/tmp"].startswith("drwxrwxrwt")


async def test_what_no_chain_needs_is_collected(root: Path, store: LayerStore) -> None:
    kept = await take(store, tar("a"))
    await take(store, tar("b"))
    assert store.collect([[kept.diff_id]]) > 0
    assert store.find(kept.diff_id) == kept
    assert [name for name in files_below(root) if name.startswith("layers")] == [
        f"layers/{kept.diff_id[7:]}.json",
        f"layers/{kept.diff_id[7:]}.squashfs",
    ]


def test_chain_ids_are_those_of_the_specification() -> None:
    a, b = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    assert chain_ids([a, b]) == [a, digest_of(f"{a} {b}".encode())]


@pytest.mark.root
async def test_overlayfs_shows_a_chain_as_the_merged_disk_has_it(
    root: Path, store: LayerStore, tmp_path: Path
) -> None:
    """In a mount namespace of its own: the kernel's view is what the merge is measured against."""
    datas = [
        tar("etc/", "etc/a", "etc/b", "var/", "var/log/", "var/log/x", "usr/", "usr/f", "gone/"),
        tar("etc/", "etc/.wh.a", "var/", "var/log/", "var/log/.wh..wh..opq", "var/log/new"),
        tar(".wh.gone", "usr", "new/", Member("new/s", SYMLINK, link="x")),
    ]
    ids = [(await take(store, data)).diff_id for data in datas]
    chain = await store.chain(ids)
    assert len(chain) == 3
    whole = await store._merge([store.get(i) for i in ids], digest_of(b"test"))
    script = "set -e; cd $1; shift; n=0; lower=; for f; do mkdir l$n; mount -o loop,ro $f l$n; "
    script += "lower=l$n${lower:+:$lower}; n=$((n+1)); done; mkdir all; "
    script += "mount -t overlay overlay -o lowerdir=$lower all; find all -printf '%P %y %m %l\\n'"

    def seen(*paths: Path) -> list[str]:
        place = tmp_path / f"mounts{len(paths)}"
        place.mkdir()
        argv = ["unshare", "-m", "sh", "-c", script, "sh", str(place), *map(str, paths)]
        return sorted(
            subprocess.run(argv, check=True, capture_output=True).stdout.decode().splitlines()
        )

    empty = await store._merge([], digest_of(b"empty"))
    assert seen(*chain) == seen(empty, whole)
