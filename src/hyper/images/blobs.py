"""Content-addressed files: manifests, configs and layers as they came, below blobs/sha256.

A blob's name is its digest, so what exists is complete: it was written elsewhere, synced, renamed.
Everything unfinished is in temp/, which is emptied when the store is opened.
"""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from hyper.core.errors import Failure, NotFound
from hyper.host import files
from hyper.images.reference import check_digest


def digest_of(data: bytes) -> str:
    """Return the sha256 digest of `data` in the form registries use."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class BlobStore:
    """Blobs by digest. All methods block for as long as the disk does."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs" / "sha256"
        self._temporary = root / "temp"
        files.private_directory(root)
        self._blobs.mkdir(parents=True, exist_ok=True)
        files.remove_tree(self._temporary)
        self._temporary.mkdir()

    def path(self, digest: str) -> Path:
        """Return where the blob is or would be."""
        return self._blobs / check_digest(digest).partition(":")[2]

    def exists(self, digest: str) -> bool:
        """Tell whether the blob is here, complete."""
        return self.path(digest).exists()

    def read(self, digest: str, limit_bytes: int) -> bytes:
        """Return a small blob, verified. Raises NotFound, Failure (damaged, too large)."""
        try:
            with open(self.path(digest), "rb") as file:
                data = file.read(limit_bytes + 1)
        except FileNotFoundError:
            raise NotFound("blob", digest) from None
        if len(data) > limit_bytes:
            raise Failure(f"blob {digest} is larger than {limit_bytes} bytes")
        if digest_of(data) != digest:
            raise Failure(f"blob {digest} is damaged on disk: {self.path(digest)}")
        return data

    def write(self, data: bytes) -> str:
        """Keep a small blob; return its digest."""
        digest = digest_of(data)
        if not self.exists(digest):
            files.atomic_write(self.path(digest), data)
        return digest

    def adopt(self, temporary: Path, digest: str) -> Path:
        """Make a finished, verified and synced file the blob `digest`."""
        return self.publish(temporary, self.path(digest))

    def publish(self, temporary: Path, target: Path) -> Path:
        """Rename a finished, synced file to its name for good, surviving a crash."""
        with files.disk_errors(target, "write"):
            os.rename(temporary, target)
            files.sync_directory(target.parent)
        return target

    @contextlib.contextmanager
    def temporary(self, suffix: str = "") -> Iterator[Path]:
        """Give a path for a file under construction; what is left there is removed."""
        path = self._temporary / (secrets.token_hex(8) + suffix)
        try:
            yield path
        finally:
            files.remove_tree(path)

    def digests(self) -> Iterator[str]:
        """Yield the digest of every blob."""
        for name in os.listdir(self._blobs):
            if len(name) == 64:
                yield f"sha256:{name}"

    def remove(self, digest: str) -> int:
        """Remove a blob; return the bytes this freed, 0 if it was not there."""
        path = self.path(digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size
