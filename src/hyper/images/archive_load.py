"""Images out of archives: what `docker save`, podman, skopeo and buildx write.

docker-save archives have manifest.json, OCI layouts index.json (OCI image-spec
"image-layout.md"); the files may come in any order, so they are first spooled, under names of
ours. Nothing is believed that is not verified: configs and manifests by their digests, layers by
their diff IDs.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hyper.core.errors import HyperError, Malformed, NotFound
from hyper.core.ids import short
from hyper.host import files, threads
from hyper.images import compression, reference
from hyper.images.blobs import digest_of
from hyper.images.catalog import Image
from hyper.images.feed import Abandoned, Feed
from hyper.images.intake import Expected
from hyper.images.layerfilter import clean_path
from hyper.images.layers import CHAIN_LIMIT
from hyper.images.manifest import (
    CONFIG_LIMIT_BYTES,
    MANIFEST_LIMIT_BYTES,
    Index,
    Json,
    Manifest,
    Platform,
    parse_config,
    parse_json,
    parse_manifest,
)
from hyper.images.shelf import Progress, Report, Shelf
from hyper.images.tarstream import Kind, TarReader

_ENTRIES = 100_000
_CHUNK = 1024 * 1024
_LINKS = 8
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image that was loaded, and the familiar names it got from the archive."""

    image: Image
    references: tuple[str, ...]

    @property
    def id(self) -> str:
        """The image's id."""
        return self.image.id

    @property
    def messages(self) -> tuple[str, ...]:
        """What Docker says about it."""
        named = tuple(f"Loaded image: {name}" for name in self.references)
        return named or (f"Loaded image ID: {self.id}",)


@dataclass(frozen=True, slots=True)
class _Archive:
    """A spooled archive: its files by clean name. `layout` is whether it has blobs by digest."""

    files: dict[bytes, Path] = field(default_factory=dict)
    links: dict[bytes, bytes] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return where a file was spooled, through links within the archive. Raises Malformed."""
        key = clean_path(name.encode())
        for _ in range(_LINKS):
            if key in self.files:
                return self.files[key]
            if key not in self.links:
                break
            key = self.links[key]
        raise Malformed(f"invalid archive: {name[:200]!r} is missing")

    def read(self, name: str, limit_bytes: int) -> bytes:
        """Return a small file. Raises Malformed."""
        with open(self.path(name), "rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise Malformed(f"invalid archive: {name[:200]!r} is larger than {limit_bytes} bytes")
        return data

    def blob(self, digest: str, limit_bytes: int) -> bytes:
        """Return a small blob of an OCI layout, verified. Raises Malformed."""
        data = self.read(_blob_name(digest), limit_bytes)
        if digest_of(data) != digest:
            raise Malformed(f"invalid archive: blob {digest} is damaged")
        return data


@dataclass(frozen=True, slots=True)
class _Item:
    """An image of an archive before its layers are in. Layers: file and digest, "" if unknown."""

    config: bytes
    layers: tuple[tuple[Path, str], ...]
    names: tuple[str, ...]
    manifest: bytes = b""


async def load(
    shelf: Shelf,
    source: AsyncIterator[bytes] | Path,
    report: Report,
    platform: Platform | None = None,
) -> list[Loaded]:
    """Load every image of an archive, compressed or not; those of several platforms in one.

    Raises Malformed, NotFound for an image of another platform than asked; then nothing is left.
    """
    chunks = _of_file(source) if isinstance(source, Path) else source
    async with shelf.transfer():
        with shelf.blobs.temporary() as directory:
            archive = await _spool(chunks, directory)
            wanted = platform or shelf.platform
            items = await threads.in_thread("load", lambda: list(_items(archive, wanted)))
            if platform is not None:
                for item in items:
                    _check_platform(item, platform)
            return [await _add(shelf, item, report) for item in items]


async def _spool(chunks: AsyncIterator[bytes], directory: Path) -> _Archive:
    async def fill(feed: Feed) -> None:
        with feed:
            async for chunk in chunks:
                await feed.put(chunk)
            feed.end()

    async def drain(feed: Feed) -> _Archive:
        try:
            return await threads.in_thread("load-spool", _unpack, feed, directory)
        finally:
            feed.abandon()

    feed = Feed()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fill(feed), name="load-source")
            spooled = tasks.create_task(drain(feed), name="load-spool")
    except BaseExceptionGroup as group:
        causes = [e for e in group.exceptions if not isinstance(e, Abandoned)]
        raise (causes or list(group.exceptions))[0] from None
    return spooled.result()


def _unpack(feed: Feed, directory: Path) -> _Archive:
    archive = _Archive()
    with files.disk_errors(directory, "write"):
        directory.mkdir()
        _, read = compression.unpacked(lambda _: feed.read())
        reader = TarReader(read)
        for count, entry in enumerate(reader):
            if count >= _ENTRIES:
                raise Malformed(f"invalid archive: more than {_ENTRIES} entries")
            name = clean_path(entry.path)
            if entry.kind is Kind.FILE:
                archive.files[name] = directory / str(count)
                with open(directory / str(count), "wb") as file:
                    for chunk in reader.content():
                        file.write(chunk)
            elif entry.kind is Kind.SYMLINK:
                archive.links[name] = clean_path(name.rpartition(b"/")[0] + b"/" + entry.link)
            elif entry.kind is Kind.HARDLINK:
                archive.links[name] = clean_path(entry.link)
        while read(_CHUNK):  # what follows the end of the archive, e.g. of tar's last record
            pass
    return archive


def _items(archive: _Archive, platform: Platform) -> Iterator[_Item]:
    if b"manifest.json" in archive.files:
        for raw in _docker_manifest(archive):
            config = archive.read(str(raw.get("Config")), CONFIG_LIMIT_BYTES)
            paths = tuple((archive.path(layer), "") for layer in _strings(raw, "Layers"))
            yield _Item(config, paths, _strings(raw, "RepoTags"))
        return
    if b"index.json" not in archive.files:
        raise Malformed("invalid archive: it has neither manifest.json nor index.json")
    index = archive.read("index.json", MANIFEST_LIMIT_BYTES)
    parsed = parse_manifest(index)
    if not isinstance(parsed, Index):
        raise Malformed("invalid archive: index.json is not an index")
    raws = parse_json(index, "index.json")["manifests"]
    pairs = list(zip(parsed.manifests, raws, strict=True))
    fitting = [pair for pair in pairs if len(pairs) == 1 or _is_for(pair[0].platform, platform)]
    if pairs and not fitting:
        raise NotFound("platform", str(platform))
    for descriptor, raw in fitting:
        yield _oci_item(archive, platform, descriptor.digest, _annotated_name(raw))


def _is_for(found: Platform | None, wanted: Platform) -> bool:
    """Tell whether one of several images is to be loaded: none that would take another's name."""
    return not found or (found.architecture == wanted.architecture and wanted.runs(found))


def _docker_manifest(archive: _Archive) -> list[Json]:
    data = archive.read("manifest.json", MANIFEST_LIMIT_BYTES)
    raw = parse_json(b'{"images":' + data + b"}", "manifest.json")["images"]
    if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
        raise Malformed("invalid archive: manifest.json is not a list of objects")
    return raw


def _strings(raw: Json, key: str) -> tuple[str, ...]:
    value = raw.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Malformed(f"invalid archive: manifest.json: {key} is not a list of strings")
    return tuple(value)


def _oci_item(archive: _Archive, platform: Platform, digest: str, names: tuple[str, ...]) -> _Item:
    data = archive.blob(digest, MANIFEST_LIMIT_BYTES)
    parsed = parse_manifest(data)
    if isinstance(parsed, Index):
        data = archive.blob(parsed.choose(platform).digest, MANIFEST_LIMIT_BYTES)
        parsed = parse_manifest(data)
    if not isinstance(parsed, Manifest):
        raise Malformed("invalid archive: indexes nested too deeply")
    layers = tuple((archive.path(_blob_name(d.digest)), d.digest) for d in parsed.layers)
    return _Item(archive.blob(parsed.config.digest, CONFIG_LIMIT_BYTES), layers, names, data)


def _check_platform(item: _Item, wanted: Platform) -> None:
    """Raise NotFound for an image of another platform."""
    found = parse_config(item.config).platform
    if not wanted.runs(found):
        name = item.names[0] if item.names else digest_of(item.config)
        raise NotFound("image for it", name, f"wanted {wanted}, actual: {found}")


def _annotated_name(raw: Json) -> tuple[str, ...]:
    """Return the name an index gives an image; a lone tag names nothing."""
    annotations = raw.get("annotations")
    for key in _NAMES:
        name = annotations.get(key) if isinstance(annotations, dict) else None
        if isinstance(name, str) and (":" in name or "/" in name):
            with contextlib.suppress(HyperError):
                return (reference.parse_tag(name).familiar(),)
    return ()


async def _add(shelf: Shelf, item: _Item, report: Report) -> Loaded:
    config = parse_config(item.config)
    if len(config.diff_ids) != len(item.layers):
        raise Malformed("invalid archive: the config and the manifest differ in their layers")
    names = [str(reference.parse_tag(name)) for name in item.names]
    for diff_id, (path, digest) in zip(config.diff_ids, item.layers, strict=True):
        if shelf.layers.find(diff_id) is None:
            await _take_layer(shelf, path, digest, diff_id, len(item.layers), report)
    await shelf.layers.chain(config.diff_ids)
    manifest = (
        await threads.in_thread("manifest", shelf.blobs.write, item.manifest)
        if item.manifest
        else ""
    )
    image_id = await shelf.add(item.config, manifest=manifest)
    for name in names:
        await shelf.name(name, image_id)
    return Loaded(shelf.image(image_id), tuple(reference.familiar(name) for name in names))


async def _take_layer(
    shelf: Shelf, path: Path, digest: str, diff_id: str, layers: int, report: Report
) -> None:
    size = os.path.getsize(path)  # noqa: ASYNC240

    async def source(feed: Feed) -> None:
        done = 0
        async for chunk in _of_file(path):
            done += len(chunk)
            report(Progress("Loading layer", short(diff_id), done, size))
            await feed.put(chunk)

    expected = Expected(digest, size, diff_id)
    await shelf.layers.take_in(expected, source, convert=layers <= CHAIN_LIMIT)


async def _of_file(path: Path) -> AsyncIterator[bytes]:
    with files.disk_errors(path, "read"):
        file = await threads.in_thread("load-open", open, path, "rb")
        with file:
            while chunk := await threads.in_thread("load-read", file.read, _CHUNK):
                yield chunk


def _blob_name(digest: str) -> str:
    return f"blobs/sha256/{reference.check_digest(digest)[7:]}"
