"""Layers by diff ID: the blob as it came, and the read-only disk made from it while it came.

Decision: the compressed blob is kept. Docker throws it away and keeps tar-split data to rebuild
the tar from unpacked files; here the unpacked files are inside a squashfs that nothing on the
host mounts. Keeping the blob (about 0.8 times the disk's size) makes push and save byte-identical
to what was pulled, lets a manifest be pushed under its own digest, makes every disk a cache that
can be rebuilt (other block size, other file system, merged chains), and needs no code to rebuild
tars. What comes uncompressed (load, import, commit) is kept with zstd, several times faster than
gzip. Registries get such a layer as gzip, made at the first push and kept beside: engines before
Docker 23 do not read zstd.

Layout: blobs/sha256/<digest>, layers/<diff ID>.json (written last: what has it is complete),
layers/<diff ID>.squashfs, chains/<chain ID>.squashfs (layers merged, see `merge`).
"""

import asyncio
import collections
import contextlib
import functools
import json
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hyper.core.errors import Failure, NotFound
from hyper.host import files, threads
from hyper.images import compression, disks, gzipper
from hyper.images.blobs import BlobStore, digest_of
from hyper.images.feed import Abandoned, Feed
from hyper.images.intake import MEDIA_TYPES, Expected, Intake
from hyper.images.layerfilter import LayerFilter, Limits, Reordered, clean
from hyper.images.merge import Merger, OpenLayer
from hyper.images.reference import check_digest
from hyper.images.tarstream import Entry, TarReader

# Each layer costs a mount and a lookup in overlayfs; beyond this a chain is merged to one disk.
CHAIN_LIMIT = 6
_MERGE_ENTRIES = 2_000_000

Source = Callable[[Feed], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that is here: its blob, and what it unpacks to."""

    diff_id: str
    blob: str
    blob_bytes: int
    media_type: str
    tar_bytes: int
    content_bytes: int
    entries: int
    needs_merge: bool = False
    gzip: str = ""
    gzip_bytes: int = 0

    @property
    def blobs(self) -> tuple[str, ...]:
        """The digests of what is kept of it."""
        return (self.blob, self.gzip) if self.gzip else (self.blob,)


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """Return the names of a chain's prefixes (OCI image-spec config.md, "Layer ChainID")."""
    names = list(diff_ids[:1])
    for diff_id in diff_ids[1:]:
        names.append(digest_of(f"{names[-1]} {diff_id}".encode()))
    return names


class LayerStore:
    """The layers of all images. One writer per layer: who comes second finds it done."""

    def __init__(self, root: Path, blobs: BlobStore, limits: Limits) -> None:
        self._blobs = blobs
        self._limits = limits
        self._layers = root / "layers"
        self._chains = root / "chains"
        self._layers.mkdir(exist_ok=True)
        self._chains.mkdir(exist_ok=True)
        self._locks: collections.defaultdict[str, asyncio.Lock] = collections.defaultdict(
            asyncio.Lock
        )

    def get(self, diff_id: str) -> Layer:
        """Return what is known of a layer. Raises NotFound."""
        layer = self.find(diff_id)
        if layer is None:
            raise NotFound("layer", diff_id)
        return layer

    def find(self, diff_id: str) -> Layer | None:
        """Return the layer if it is here, complete."""
        try:
            return Layer(**json.loads(self._record(diff_id).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as err:
            raise Failure(f"{self._record(diff_id)} is damaged: {err}; remove it") from err

    async def take_in(self, expected: Expected, source: Source, *, convert: bool) -> Layer:
        """Take a layer that `source` puts into a feed; with `convert` make its disk on the way.

        Raises Failure on what is refused, and what `source` raises. Nothing is left then.
        """
        async with self._locks[expected.diff_id] if expected.diff_id else contextlib.nullcontext():
            layer = self.find(expected.diff_id) if expected.diff_id else None
            if layer is not None:
                return layer
            with (
                self._blobs.temporary() as blob,
                self._blobs.temporary(".squashfs") as disk,
                Feed() as feed,
            ):
                limits = self._limits_of(expected)
                intake = Intake(feed.read, blob, expected, limits.unpacked_bytes)
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(_fill(feed, source), name="layer-source")
                        job = tasks.create_task(
                            self._consume(feed, intake, limits, blob, disk if convert else None),
                            name="layer-intake",
                        )
                except BaseExceptionGroup as group:
                    raise _cause(group) from None
                finally:
                    intake.close()
                return await threads.in_thread(
                    "layer-keep", self._keep, intake, blob, disk, job.result()
                )

    async def chain(self, diff_ids: Sequence[str]) -> tuple[Path, ...]:
        """Return the disks of a chain, base first; makes what is missing, merges what is long.

        Raises NotFound when a layer is not here, Failure when a disk cannot be made.
        """
        names = chain_ids(diff_ids)
        merged = next(
            (n for n in range(len(names), 0, -1) if self._chain(names[n - 1]).exists()), 0
        )
        rest = [self.get(diff_id) for diff_id in diff_ids[merged:]]
        many = len(rest) + bool(merged) > CHAIN_LIMIT
        partial = any(layer.needs_merge for layer in (rest if merged else rest[1:]))
        layers = [self.get(diff_id) for diff_id in diff_ids]
        if not layers or (
            (many or partial) and sum(layer.entries for layer in layers) <= _MERGE_ENTRIES
        ):
            return (await self._merge(layers, names[-1] if names else digest_of(b"")),)
        base = (self._chain(names[merged - 1]),) if merged else ()
        return (*base, *[await self._ensure_disk(layer) for layer in rest])

    def open_blob(self, layer: Layer) -> BinaryIO:
        """Open the layer's blob as it is kept."""
        try:
            return open(self._blobs.path(layer.blob), "rb")
        except FileNotFoundError:
            raise NotFound("blob", layer.blob) from None

    def open_tar(self, layer: Layer) -> tuple[BinaryIO, compression.Read]:
        """Open the layer's blob; return it (to be closed) and a `read` of the tar in it."""
        file = self.open_blob(layer)
        return file, compression.unpacked(file.read)[1]

    async def as_gzip(self, diff_id: str) -> Layer:
        """Return a layer that has a gzip blob: its own, or one made now and kept beside it.

        Raises NotFound, Failure when the blob is damaged.
        """
        async with self._locks[diff_id]:
            layer = self.get(diff_id)
            if layer.gzip and self._blobs.exists(layer.gzip):
                return layer
            if layer.media_type == MEDIA_TYPES["gzip"]:
                return replace(layer, gzip=layer.blob, gzip_bytes=layer.blob_bytes)
            return await self._add_gzip(layer)

    def content_bytes(self, diff_ids: Collection[str]) -> int:
        """Return the lengths of all files in these layers, each counted once."""
        found = (self.find(diff_id) for diff_id in set(diff_ids))
        return sum(layer.content_bytes for layer in found if layer)

    def collect(self, chains: Sequence[Sequence[str]]) -> int:
        """Remove all layers, disks and merged chains that these chains do not need.

        Returns the bytes freed; blobs are the caller's.
        """
        layers = {diff_id for chain in chains for diff_id in chain}
        merged = {name for chain in chains for name in chain_ids(chain) or [digest_of(b"")]}
        freed = 0
        for directory, kept in ((self._layers, layers), (self._chains, merged)):
            for path in sorted(directory.iterdir()):  # .json before .squashfs: never a lone record
                if f"sha256:{path.name[:64]}" not in kept:
                    freed += path.stat().st_size
                    path.unlink()
        return freed

    async def _consume(
        self, feed: Feed, intake: Intake, limits: Limits, blob: Path, disk: Path | None
    ) -> "_Facts":
        try:
            if disk is None:
                return await threads.in_thread("layer-scan", _scan, intake, limits)
            layer_filter = LayerFilter()
            try:
                await disks.make(disk, functools.partial(_filter, intake, layer_filter, limits))
                return _Facts(
                    layer_filter.content_bytes, layer_filter.entries, layer_filter.needs_merge
                )
            except Reordered:
                merger = Merger([functools.partial(opened, blob)], [limits])
                await disks.make(disk, functools.partial(_rewrite, merger, keep_whiteouts=True))
                return _Facts(merger.content_bytes, merger.entries, merger.needs_merge)
        finally:
            feed.abandon()

    def _keep(self, intake: Intake, blob: Path, disk: Path, facts: "_Facts") -> Layer:
        known = self.find(intake.diff_id)
        if known is not None and self._blobs.exists(known.blob):
            # Its blob stays: the manifest of an image that was pulled names it.
            if disk.exists() and not self._disk(known.diff_id).exists():
                self._blobs.publish(disk, self._disk(known.diff_id))
            return known
        layer = Layer(
            intake.diff_id,
            intake.blob_digest,
            intake.blob_bytes,
            intake.media_type,
            intake.tar_bytes,
            *facts,
        )
        self._blobs.adopt(blob, layer.blob)
        if disk.exists():
            self._blobs.publish(disk, self._disk(layer.diff_id))
        self._write_record(layer)
        return layer

    def _write_record(self, layer: Layer) -> None:
        files.atomic_write(self._record(layer.diff_id), json.dumps(asdict(layer)).encode())

    async def _add_gzip(self, layer: Layer) -> Layer:
        source, read = self.open_tar(layer)
        with source, self._blobs.temporary() as path, files.disk_errors(path, "write"):
            with open(path, "wb") as out, gzipper.Packing(read, out) as packing:  # noqa: ASYNC230
                # Step by step: what nobody waits for any more ends soon.
                while await threads.in_thread("layer-gzip", packing.step):
                    pass
                await threads.in_thread("layer-gzip", _sync, out)
            packed = packing.packed
            if packed.tar_digest != layer.diff_id:
                raise Failure(f"layer {layer.diff_id} is damaged on disk: blob {layer.blob}")
            layer = replace(layer, gzip=packed.digest, gzip_bytes=packed.size_bytes)
            await threads.in_thread("layer-keep", self._keep_gzip, path, layer)
        return layer

    def _keep_gzip(self, path: Path, layer: Layer) -> None:
        self._blobs.adopt(path, layer.gzip)
        self._write_record(layer)

    async def _ensure_disk(self, layer: Layer) -> Path:
        path = self._disk(layer.diff_id)
        async with self._locks[layer.diff_id]:
            if not path.exists():
                with self._blobs.temporary(".squashfs") as disk:
                    merger = Merger([self._opener(layer)], [self._limits])
                    await disks.make(disk, functools.partial(_rewrite, merger, keep_whiteouts=True))
                    self._blobs.publish(disk, path)
        return path

    async def _merge(self, layers: Sequence[Layer], name: str) -> Path:
        path = self._chain(name)
        async with self._locks[f"chain {name}"]:
            if not path.exists():
                with self._blobs.temporary(".squashfs") as disk:
                    openers = [self._opener(layer) for layer in layers]
                    merger = Merger(openers, [self._limits] * len(layers))
                    produce = functools.partial(_rewrite, merger, keep_whiteouts=False)
                    await disks.make(disk, produce)
                    self._blobs.publish(disk, path)
        return path

    def _limits_of(self, expected: Expected) -> Limits:
        known = expected.size_bytes >= 0
        return self._limits.of_stored(expected.size_bytes) if known else self._limits

    def _opener(self, layer: Layer) -> OpenLayer:
        return functools.partial(opened, self._blobs.path(layer.blob))

    def _record(self, diff_id: str) -> Path:
        return self._layers / f"{check_digest(diff_id)[7:]}.json"

    def _disk(self, diff_id: str) -> Path:
        return self._layers / f"{check_digest(diff_id)[7:]}.squashfs"

    def _chain(self, name: str) -> Path:
        return self._chains / f"{check_digest(name)[7:]}.squashfs"


class _Facts(NamedTuple):
    content_bytes: int
    entries: int
    needs_merge: bool


@contextlib.contextmanager
def opened(blob: Path) -> Iterator[TarReader]:
    """Give the reader of a blob that was verified when it came."""
    with open(blob, "rb") as file:
        yield TarReader(compression.unpacked(file.read)[1])


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


async def _fill(feed: Feed, source: Source) -> None:
    with feed:
        await source(feed)
        feed.end()


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that made the others: not that of a side which found the other gone."""
    causes = [error for error in group.exceptions if not isinstance(error, Abandoned)]
    return (causes or list(group.exceptions))[0]


def _filter(intake: Intake, layer_filter: LayerFilter, limits: Limits, out: BinaryIO) -> None:
    """Write the safe form of a layer as it comes in, and verify it.

    Raises Reordered when it is here and verified, but one pass could not convert it.
    """
    reader = intake.reader()
    items = clean(reader, limits)
    try:
        entries = layer_filter.run(items)
        disks.write_tar(((e, reader.content() if e.size else ()) for e in entries), out)
    except Abandoned:
        raise
    except Failure:
        intake.verify_blob()  # of a damaged layer say that it is damaged, not how
        raise
    except Reordered:
        collections.deque(items, maxlen=0)
        intake.finish()
        raise
    intake.finish()


def _scan(intake: Intake, limits: Limits) -> "_Facts":
    """Check a layer whose disk is not made now."""
    layer_filter = LayerFilter()
    entries = content_bytes = 0
    items = clean(intake.reader(), limits)
    try:
        collections.deque(layer_filter.run(items), maxlen=0)
        needs_merge = layer_filter.needs_merge
    except Abandoned:
        raise
    except Failure:
        intake.verify_blob()
        raise
    except Reordered:
        needs_merge = True  # not known for sure; merging is never wrong
        for item in items:
            entries += 1
            content_bytes += item.length if isinstance(item, Entry) else 0
    intake.finish()
    return _Facts(
        layer_filter.content_bytes + content_bytes, layer_filter.entries + entries, needs_merge
    )


def _rewrite(merger: Merger, out: BinaryIO, *, keep_whiteouts: bool) -> None:
    disks.write_tar(merger.run(keep_whiteouts=keep_whiteouts), out)
