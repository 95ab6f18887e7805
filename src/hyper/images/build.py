"""New images from old ones: import, commit, and every step of a build. Runs nothing.

A new image is its base's config changed, and at most one layer more. What a Dockerfile instruction
does to a config is in `changes`.
"""

import copy
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from hyper.images import reference
from hyper.images.catalog import Image
from hyper.images.feed import Feed
from hyper.images.intake import Expected
from hyper.images.manifest import CONFIG_LIMIT_BYTES, Json, encode, image_config, parse_json
from hyper.images.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Change:
    """What is new. `config` changes the base's `config` object, which has Docker's names."""

    config: Callable[[Json], None] | None = None
    comment: str = ""
    author: str = ""
    created_by: str = ""
    created: str = ""
    architecture: str = ""
    variant: str = ""


async def create(
    shelf: Shelf,
    layer: AsyncIterator[bytes] | None,
    change: Change,
    *,
    base: str,
    name: str,
) -> Image:
    """Make and return the image. Raises NotFound, InvalidArgument, Failure."""
    full_name = str(reference.parse_tag(name)) if name else ""
    parent = shelf.find(base)[0] if base else ""
    raw = _raw(shelf, parent)
    async with shelf.transfer():
        diff_id = await _take_layer(shelf, layer) if layer is not None else ""
        config = _changed(shelf, raw, change, diff_id)
        image_id = await shelf.add(encode(config), parent=parent)
        if full_name:
            await shelf.name(full_name, image_id)
        image = shelf.image(image_id)
        await shelf.layers.chain(image.diff_ids)
    return image


async def _take_layer(shelf: Shelf, chunks: AsyncIterator[bytes]) -> str:
    async def source(feed: Feed) -> None:
        async for chunk in chunks:
            await feed.put(chunk)

    return (await shelf.layers.take_in(Expected(), source, convert=True)).diff_id


def _raw(shelf: Shelf, parent: str) -> Json:
    if parent:
        return parse_json(shelf.blobs.read(parent, CONFIG_LIMIT_BYTES), "image config")
    return {}


def _changed(shelf: Shelf, raw: Json, change: Change, diff_id: str) -> Json:
    created = change.created or now()
    config = copy.deepcopy(raw.get("config") or {})
    if change.config is not None:
        change.config(config)
    image_config(config)  # what we write, we must be able to read
    rootfs = raw.get("rootfs") or {}
    history: Json = {"created": created, "created_by": change.created_by, "author": change.author}
    history |= {"comment": change.comment}
    kept = {key: value for key, value in history.items() if value}
    if not diff_id:
        kept["empty_layer"] = True
    platform = shelf.platform
    new = raw | {
        "architecture": change.architecture or raw.get("architecture") or platform.architecture,
        "os": "linux",
        "created": created,
        "config": config,
        "rootfs": {
            "type": "layers",
            "diff_ids": [*rootfs.get("diff_ids", []), *([diff_id] if diff_id else [])],
        },
        "history": [*(raw.get("history") or []), kept],
    }
    for key, value in (
        ("author", change.author),
        ("comment", change.comment),
        ("variant", change.variant),
    ):
        if value:
            new[key] = value
    for key in ("container", "container_config", "id", "parent", "Size"):
        new.pop(key, None)
    return new


def now() -> str:
    """Return the time as image configs write it (RFC 3339)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
