"""Owns the record of finished steps: a step is skipped while the hash of its inputs is the same."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_GENERATED = {"__pycache__", "build"}


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        found
        for found in path.rglob("*")
        if found.is_file() and not _GENERATED.intersection(found.relative_to(path).parts)
    )


def fingerprint(paths: Iterable[Path], *facts: str) -> str:
    """Return a hash of the names and contents of all files below `paths`, and of `facts`."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(f"{len(fact)}:{fact}".encode())
    for top in paths:
        for path in _files(top):
            content = path.read_bytes()
            digest.update(f"{path}:{len(content)}:".encode())
            digest.update(content)
    return digest.hexdigest()


def is_done(stamp: Path, inputs: str, *products: Path) -> bool:
    """Tell whether the step was finished with these inputs and its products are there."""
    try:
        return stamp.read_text() == inputs and all(product.exists() for product in products)
    except OSError:
        return False


def mark_done(stamp: Path, inputs: str) -> None:
    """Record that the step behind `stamp` is finished."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(inputs)
