"""The parts of an image store and what they do together: adding, finding, collecting images.

Used by the modules that bring images in or out; `store.ImageStore` is the face for the rest of
Hyper.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyper.core.errors import InvalidArgument, NotFound
from hyper.core.units import human_size
from hyper.host import threads
from hyper.images import reference
from hyper.images.blobs import BlobStore
from hyper.images.catalog import Catalog, Image, Record, State
from hyper.images.http import Http, RegistryOptions
from hyper.images.layerfilter import Limits
from hyper.images.layers import LayerStore
from hyper.images.manifest import (
    CONFIG_LIMIT_BYTES,
    Config,
    Platform,
    parse_config,
)


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a transfer, in the shape of Docker's progress messages; -1 is no number."""

    status: str
    id: str = ""
    current: int = -1
    total: int = -1
    aux: Mapping[str, object] | None = None

    def as_json(self) -> dict[str, object]:
        """Return Docker's message: status, id, progressDetail, progress."""
        if self.aux is not None:  # for programs: Docker's message about a result
            return {"progressDetail": {}, "aux": dict(self.aux)}
        message: dict[str, object] = {"status": self.status}
        if self.id:
            message["id"] = self.id
        if self.current < 0:
            return message | ({"progressDetail": {}} if self.id else {})
        detail = {"current": self.current} | ({"total": self.total} if self.total > 0 else {})
        return message | {"progressDetail": detail, "progress": self._bar()}

    def _bar(self) -> str:
        if self.total <= 0:
            return f"{human_size(self.current):>8}"
        filled = min(50, self.current * 50 // self.total)
        head = "=" * filled + ">" if filled < 50 else "=" * 50
        size = f"{human_size(self.current):>8}/{human_size(self.total)}"
        return f"[{head:<50}] {size}"


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""


class Shelf:
    """One image store's parts. Transfers hold it open: nothing is collected while one runs."""

    def __init__(
        self, root: Path, platform: Platform, options: RegistryOptions, limits: Limits
    ) -> None:
        self.platform = platform
        self.options = options
        self.blobs = BlobStore(root)
        self.layers = LayerStore(root, self.blobs, limits)
        self.catalog = Catalog(root / "catalog.json")
        self.http = Http(options)
        self.downloads = asyncio.Semaphore(max(1, options.max_concurrent_downloads))
        self._gate = asyncio.Lock()
        self._transfers = 0
        self._due = False
        self._in_use: Collection[str] | None = None

    @contextlib.asynccontextmanager
    async def transfer(self) -> AsyncIterator[None]:
        """Keep what comes in meanwhile from being collected; after a failure collect it."""
        async with self._gate:  # not while something is being collected
            self._transfers += 1
        try:
            yield
        except BaseException:
            self._due = True
            raise
        finally:
            self._transfers -= 1
            if self._due and not self._transfers:
                await self.collect(self._in_use)

    async def collect(self, in_use: Collection[str] | None) -> int:
        """Remove what no image needs; return the bytes freed. Put off while transfers run.

        `in_use` are the ids of images that containers use: hidden ones among them stay. All hidden
        ones stay where that is not known (None).
        """
        async with self._gate:
            if self._transfers:
                self._due, self._in_use = True, in_use
                return 0
            self._due, self._in_use = False, None
            hidden = [k for k, r in self.catalog.state.images.items() if r.hidden]
            for image_id in hidden if in_use is not None else ():
                if image_id in (in_use or ()):
                    continue
                await self.catalog.update(
                    functools.partial(State.without_image, image_id=image_id, hide=False)
                )
            return await threads.in_thread("collect", self._collect, self.catalog.state)

    async def add(self, config: bytes, *, manifest: str = "", parent: str = "") -> str:
        """Add an image whose layers are here; return its id."""
        image_id = await threads.in_thread("config", self.blobs.write, config)
        record = Record(parse_config(config).diff_ids, manifest, parent)
        await self.catalog.update(
            functools.partial(State.with_image, image_id=image_id, record=record)
        )
        return image_id

    async def name(self, full_name: str, image_id: str) -> None:
        """Give an image a name, taking it from the one that had it."""
        await self.catalog.update(
            functools.partial(State.with_name, name=full_name, image_id=image_id)
        )

    def config(self, image_id: str) -> Config:
        """Return an image's config. Raises NotFound, Failure."""
        return parse_config(self.blobs.read(image_id, CONFIG_LIMIT_BYTES))

    def image(self, image_id: str) -> Image:
        """Return an image by its full id, also a hidden one. Raises NotFound."""
        state = self.catalog.state
        record = state.images.get(image_id)
        if record is None:
            raise NotFound("image", image_id)
        config = self.config(image_id)
        layers = [self.layers.find(diff_id) for diff_id in config.diff_ids]
        return Image(
            id=image_id,
            references=_familiar(state.names_of(image_id)),
            digests=_familiar(state.digests_of(image_id)),
            created=config.created,
            size_bytes=sum(layer.content_bytes for layer in layers if layer),
            architecture=config.platform.architecture,
            os=config.platform.os,
            variant=config.platform.variant,
            config=config.config,
            diff_ids=config.diff_ids,
            history=config.history,
            raw_config=config.raw,
            parent=record.parent,
            comment=config.comment,
            author=config.author,
            last_tagged_ns=record.last_tagged_ns,
        )

    def find(self, name: str) -> tuple[str, str]:
        """Return an image's id and the full name it was found by, "" for an id or its prefix.

        Raises NotFound, InvalidArgument.
        """
        state = self.catalog.state
        digits = name.removeprefix("sha256:")
        if reference.is_digest(f"sha256:{digits}") and f"sha256:{digits}" in state.images:
            return f"sha256:{digits}", ""
        if not name.startswith("sha256:"):
            with contextlib.suppress(InvalidArgument):
                wanted = reference.parse(name).tagged()
                for full in (str(wanted), str(wanted.with_digest(wanted.digest))):
                    found = state.references.get(full) or state.digests.get(full)
                    if found:
                        return found, full
        if digits and all(c in "0123456789abcdef" for c in digits):
            prefix = f"sha256:{digits}"
            ids = [k for k, r in state.images.items() if k.startswith(prefix) and not r.hidden]
            if len(ids) == 1:
                return ids[0], ""
        raise NotFound("image", _shown(name))

    def _collect(self, state: State) -> int:
        kept = {digest for r in state.images.values() for digest in (r.manifest,) if digest}
        kept |= set(state.images)
        chains: list[Sequence[str]] = [record.diff_ids for record in state.images.values()]
        freed = self.layers.collect(chains)
        for chain in chains:
            layers = (self.layers.find(diff_id) for diff_id in chain)
            kept |= {blob for layer in layers if layer for blob in layer.blobs}
        return freed + sum(
            self.blobs.remove(d) for d in list(self.blobs.digests()) if d not in kept
        )


def _familiar(names: list[str]) -> tuple[str, ...]:
    return tuple(reference.familiar(name) for name in names)


def _shown(name: str) -> str:
    """Return a name as Docker's error shows it: with the tag it was looked up by."""
    try:
        return reference.parse(name).tagged().familiar()
    except InvalidArgument:
        return name[:300]
