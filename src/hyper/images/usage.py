"""What images are made of and what they take: `docker history` and `docker system df`. Reads
only."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hyper.images.catalog import Image
from hyper.images.shelf import Shelf

MISSING = "<missing>"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A step in an image's making, newest first; `id` is an image's or `<missing>`."""

    id: str
    created_s: int
    created_by: str
    size_bytes: int
    tags: tuple[str, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class ImageUsage:
    """What an image takes: all of it, and how much of that other images share."""

    image_id: str
    size_bytes: int
    shared_bytes: int

    @property
    def unique_bytes(self) -> int:
        """What removing the image alone would make unneeded."""
        return self.size_bytes - self.shared_bytes


def history(shelf: Shelf, image: Image) -> list[HistoryEntry]:
    """Return the steps an image was made in, newest first, as `docker history` shows them."""
    ids = _ancestors(shelf, image)
    diff_ids = iter(image.diff_ids)
    entries: list[HistoryEntry] = []
    steps = image.history or tuple({} for _ in image.diff_ids)
    for depth, step in zip(range(len(steps) - 1, -1, -1), steps, strict=True):
        layer = None
        if not step.get("empty_layer"):
            diff_id = next(diff_ids, None)
            layer = shelf.layers.find(diff_id) if diff_id else None
        owner = shelf.image(ids[depth]) if depth < len(ids) else None
        entries.append(
            HistoryEntry(
                owner.id if owner else MISSING,
                seconds(step.get("created")),
                str(step.get("created_by", "")),
                layer.content_bytes if layer else 0,
                owner.references if owner else (),
                str(step.get("comment", "")),
            )
        )
    return entries[::-1]


def usage(shelf: Shelf, images: Sequence[Image]) -> list[ImageUsage]:
    """Return what each image takes and shares with the others, in the same order."""
    users = Counter(diff_id for image in images for diff_id in set(image.diff_ids))
    result: list[ImageUsage] = []
    for image in images:
        sizes = {d: layer.content_bytes for d in image.diff_ids if (layer := shelf.layers.find(d))}
        shared = sum(size for diff_id, size in sizes.items() if users[diff_id] > 1)
        result.append(ImageUsage(image.id, sum(sizes.values()), shared))
    return result


def layers_bytes(shelf: Shelf, images: Sequence[Image]) -> int:
    """Return the size of the layers of all images, each counted once."""
    return shelf.layers.content_bytes({d for image in images for d in image.diff_ids})


def seconds(created: object) -> int:
    """Return the Unix time of an RFC 3339 time, 0 when it is none."""
    text = str(created or "")
    try:
        # Go writes nanoseconds; Python 3.11 reads at most microseconds.
        whole, dot, rest = text.partition(".")
        zone = rest.lstrip("0123456789") if dot else ""
        return int(datetime.fromisoformat((whole + zone).replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError):
        return 0


def _ancestors(shelf: Shelf, image: Image) -> list[str]:
    """Return the ids of the image and of those it was made from here, newest first."""
    images = shelf.catalog.state.images
    ids = [image.id]
    while (parent := images[ids[-1]].parent) in images and parent not in ids:
        ids.append(parent)
    return ids
