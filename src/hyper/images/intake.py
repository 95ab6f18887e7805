"""One layer's bytes on their way into the store: hashed, kept, unpacked, hashed again, in one pass.

All of it runs in a thread. Nothing read here is believed before `finish` has verified it.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zstandard

from hyper.core.errors import Failure
from hyper.core.units import human_size
from hyper.host import files
from hyper.images import compression
from hyper.images.feed import Abandoned
from hyper.images.tarstream import TarReader

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
MEDIA_TYPES = {"": OCI_LAYER, "gzip": f"{OCI_LAYER}+gzip", "zstd": f"{OCI_LAYER}+zstd"}
_STEP = 256 * 1024
_ZSTD_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a layer before it comes; "" and -1 are unknown.

    A layer of unknown digest may be kept in another compression than it came in.
    """

    digest: str = ""
    size_bytes: int = -1
    diff_id: str = ""


class Intake:
    """Takes chunks from `source` (b"" at the end), keeps them in `blob`, unpacks them."""

    def __init__(
        self, source: Callable[[], bytes], blob: Path, expected: Expected, unpacked_limit: int
    ) -> None:
        self._source = source
        self._expected = expected
        self._tar_limit = 2 * unpacked_limit  # contents are limited exactly where they are known
        self._came = hashlib.sha256()
        self._came_bytes = 0
        self._kept = self._came
        self._kept_bytes = 0
        self._tar = hashlib.sha256()
        self.tar_bytes = 0
        self.media_type = ""
        with files.disk_errors(blob, "write"):
            self._file = open(blob, "wb", buffering=0)
        self._compressor: zstandard.ZstdCompressionObj | None = None
        self._unpacked: compression.Read | None = None
        self._held: list[bytes] | None = []

    def reader(self) -> TarReader:
        """Return the reader of the layer's entries."""
        return TarReader(self._read_tar)

    def finish(self) -> None:
        """Take what is left, verify all, and make the blob durable. Raises Failure."""
        try:
            while self._read_tar(_STEP):
                pass
        except Abandoned:
            raise
        except Failure:
            self.verify_blob()  # of a damaged layer say that it is damaged, not how
            raise
        self.verify_blob()
        if self._expected.diff_id not in ("", self.diff_id):
            raise Failure(
                f"layers from manifest don't match image configuration: {self._expected.diff_id} "
                f"unpacks to {self.diff_id}"
            )
        with files.disk_errors(Path(self._file.name), "write"):
            if self._compressor is not None:
                self._write(self._compressor.flush())
            os.fsync(self._file.fileno())
        self.close()

    def verify_blob(self) -> None:
        """Take what is left and compare size and digest with what was expected. Raises Failure."""
        while self._take(_STEP):
            pass
        expected, name = self._expected, self._expected.digest or "layer"
        if expected.size_bytes >= 0 and self._came_bytes != expected.size_bytes:
            raise Failure(f"{name}: truncated: {self._came_bytes} of {expected.size_bytes} bytes")
        if expected.digest not in ("", _name(self._came)):
            raise Failure(f"filesystem layer verification failed for digest {expected.digest}")

    def close(self) -> None:
        """Close the blob's file, finished or not."""
        self._file.close()

    @property
    def diff_id(self) -> str:
        """The digest of the tar, once it was read to its end."""
        return _name(self._tar)

    @property
    def blob_digest(self) -> str:
        """The digest of the kept blob, once finished."""
        return _name(self._kept)

    @property
    def blob_bytes(self) -> int:
        """The size of the kept blob, once finished."""
        return self._kept_bytes

    def _read_tar(self, size: int) -> bytes:
        if self._unpacked is None:
            name, self._unpacked = compression.unpacked(self._take)
            recompress = not self._expected.digest and name not in ("gzip", "zstd")
            if recompress:
                self._compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
                self._kept = hashlib.sha256()
            self.media_type = MEDIA_TYPES.get("zstd" if recompress else name, OCI_LAYER)
            held, self._held = self._held or [], None
            if not recompress:
                for chunk in held:
                    self._write(chunk)
        data = self._unpacked(size)
        self._tar.update(data)
        self.tar_bytes += len(data)
        if self.tar_bytes > self._tar_limit:
            raise Failure(f"the layer unpacks to more than {human_size(self._tar_limit)}")
        if self._compressor is not None and data:
            self._write(self._compressor.compress(data))
        return data

    def _take(self, _size: int) -> bytes:
        chunk = self._source()
        self._came_bytes += len(chunk)
        limit = self._expected.size_bytes
        if 0 <= limit < self._came_bytes:
            raise Failure(
                f"{self._expected.digest or 'layer'}: larger than the {limit} bytes expected"
            )
        self._came.update(chunk)
        if self._held is not None:
            self._held.append(chunk)
        elif self._compressor is None:
            self._write(chunk)
        return chunk

    def _write(self, data: bytes) -> None:
        if self._kept is not self._came:
            self._kept.update(data)
        self._kept_bytes += len(data)
        with files.disk_errors(Path(self._file.name), "write"):
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) or 0 :]


def _name(digest: "hashlib._Hash") -> str:
    return "sha256:" + digest.hexdigest()
