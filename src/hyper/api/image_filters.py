"""Owns the filters of `docker images` and `docker image prune` (moby daemon/images/images.go)."""

import fnmatch
from dataclasses import replace
from typing import TYPE_CHECKING

from hyper.api.filters import Filters, excludes_labels, flag, matches_labels, until_ns
from hyper.api.render.images import created_ns
from hyper.images.catalog import Image
from hyper.images.reference import parse

if TYPE_CHECKING:
    from hyper.engine.engine import Engine

ALLOWED = frozenset({"dangling", "label", "label!", "before", "since", "reference", "until"})
PRUNE_ALLOWED = frozenset({"dangling", "label", "label!", "until"})


class ImageFilter:
    """The filters of one list, checked and ready to be asked about each image."""

    def __init__(self, filters: Filters, engine: "Engine | None" = None) -> None:
        """Raise InvalidArgument or NotFound for filters that cannot be."""
        self._filters = filters
        self._dangling = flag(filters, "dangling") if "dangling" in filters else None
        self._before_ns = _created(filters, "before", engine)
        self._since_ns = _created(filters, "since", engine)
        self._until_ns = until_ns(filters)

    def matches(self, image: Image) -> bool:
        """Return whether an image is to be listed."""
        labels = dict(image.config.labels)
        created = created_ns(image)
        return (
            (self._dangling is None or self._dangling is not bool(image.references))
            and matches_labels(self._filters, labels)
            and not excludes_labels(self._filters, labels)
            and (self._before_ns is None or created < self._before_ns)
            and (self._since_ns is None or created > self._since_ns)
            and (self._until_ns is None or created < self._until_ns)
            and self._named(image)
        )

    def _named(self, image: Image) -> bool:
        patterns = self._filters.get("reference")
        return not patterns or any(
            _matches(pattern, name)
            for pattern in patterns
            for name in (*image.references, *image.digests)
        )

    def shown(self, image: Image) -> Image:
        """Return an image with those of its names that were asked for."""
        patterns = self._filters.get("reference")
        if not patterns:
            return image

        def asked(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(n for n in names if any(_matches(p, n) for p in patterns))

        return replace(image, references=asked(image.references), digests=asked(image.digests))


def _matches(pattern: str, name: str) -> bool:
    """Return whether a name, with or without its tag, fits a pattern (reference.FamiliarMatch)."""
    familiar = parse(name)
    return any(
        fnmatch.fnmatchcase(text, pattern) and text.count("/") == pattern.count("/")
        for text in (familiar.familiar(), familiar.familiar_name)
    )


def _created(filters: Filters, name: str, engine: "Engine | None") -> int | None:
    references = filters.get(name, ())
    if not references or engine is None:
        return None
    return created_ns(engine.images.get(references[-1]))
