"""What is in the store: images, their names, and which blobs they need. One file, written whole.

The file names; it holds no content: everything it names is content-addressed and complete before
it is named, so a crash at any moment leaves the old or the new catalog and at worst garbage to
collect.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hyper.core.errors import Failure, NotFound
from hyper.host import files, threads
from hyper.images.manifest import ImageConfig, Json, Platform

VERSION = 1


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the store. `id` is the digest of its config; names are familiar ones.

    `size_bytes` is that of the files in all layers; `raw_config` is the config file as it came.
    """

    id: str
    references: tuple[str, ...]
    digests: tuple[str, ...]
    created: str
    size_bytes: int
    architecture: str
    os: str
    variant: str
    config: ImageConfig
    diff_ids: tuple[str, ...]
    history: tuple[Json, ...]
    raw_config: Json
    parent: str = ""
    comment: str = ""
    author: str = ""
    last_tagged_ns: int = 0

    @property
    def platform(self) -> Platform:
        """What it runs on."""
        return Platform(self.os, self.architecture, self.variant)

    def check_platform(self, wanted: Platform, reference: str) -> None:
        """Raise NotFound when somebody who found the image by `reference` wants another's."""
        if not wanted.runs(self.platform):
            detail = f"wanted {wanted}, actual: {self.platform}"
            raise NotFound("image for it", reference, detail)


@dataclass(frozen=True, slots=True)
class Record:
    """What the catalog knows of an image beyond its config.

    `manifest` is the image's own manifest where it came with one. A `hidden` image was removed by
    force while a container uses it: it has no names and is collected when the container is gone.
    """

    diff_ids: tuple[str, ...] = ()
    manifest: str = ""
    parent: str = ""
    last_tagged_ns: int = 0
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """The catalog at one moment. `references` and `digests` are full names to image ids."""

    images: Mapping[str, Record] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def with_image(self, image_id: str, record: Record) -> "State":
        """Return the state with an image added or brought back; its old names stay."""
        old = self.images.get(image_id)
        if old is not None:
            record = replace(
                record,
                manifest=record.manifest or old.manifest,
                parent=record.parent or old.parent,
                last_tagged_ns=old.last_tagged_ns,
            )
        return replace(self, images={**self.images, image_id: record})

    def with_name(self, name: str, image_id: str) -> "State":
        """Return the state with a full name (tag or digest) for an image."""
        if "@" in name:
            return replace(self, digests={**self.digests, name: image_id})
        record = replace(self.images[image_id], last_tagged_ns=time.time_ns())
        return replace(
            self,
            images={**self.images, image_id: record},
            references={**self.references, name: image_id},
        )

    def without_name(self, name: str) -> "State":
        """Return the state without a full name."""
        return replace(
            self,
            references={k: v for k, v in self.references.items() if k != name},
            digests={k: v for k, v in self.digests.items() if k != name},
        )

    def without_image(self, image_id: str, *, hide: bool) -> "State":
        """Return the state without an image and its names; hidden, it can still be run."""
        images = {k: v for k, v in self.images.items() if k != image_id}
        if hide:
            images[image_id] = replace(self.images[image_id], hidden=True)
        return State(
            images,
            {k: v for k, v in self.references.items() if v != image_id},
            {k: v for k, v in self.digests.items() if v != image_id},
        )

    def names_of(self, image_id: str) -> list[str]:
        """Return the full tagged names of an image, sorted."""
        return sorted(name for name, value in self.references.items() if value == image_id)

    def digests_of(self, image_id: str) -> list[str]:
        """Return the full digest names of an image, sorted."""
        return sorted(name for name, value in self.digests.items() if value == image_id)


class Catalog:
    """The one writer of the catalog's file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self.state = _load(path)

    async def update(self, change: Callable[[State], State]) -> State:
        """Apply a change and make it durable; nothing has changed if that fails."""
        async with self._lock:
            state = change(self.state)
            if state != self.state:
                data = json.dumps({"version": VERSION, **asdict(state)}, indent=1).encode()
                await threads.in_thread("catalog", files.atomic_write, self._path, data)
                self.state = state
            return state


def _load(path: Path) -> State:
    try:
        raw = json.loads(path.read_bytes())
        if raw["version"] != VERSION:
            raise Failure(f"{path} is of version {raw['version']}, this Hyper knows {VERSION}")
        images = {
            image_id: Record(**(record | {"diff_ids": tuple(record["diff_ids"])}))
            for image_id, record in raw["images"].items()
        }
        return State(images, raw["references"], raw["digests"])
    except FileNotFoundError:
        return State()
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise Failure(f"{path} is damaged: {err!r}; restore it or remove {path.parent}") from err
