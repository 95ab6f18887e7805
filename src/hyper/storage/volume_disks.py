"""Named volumes that are disk images, and the snapshots of volumes: below <root>/<name>/.

An image is disk.raw or disk.qcow2; snapshots are whole copies without holes, snapshots/<name>.img
beside it. Never looks into an image; who uses one is the engine's.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from hyper.core.errors import Conflict, InvalidArgument, NotFound
from hyper.core.ids import check_name, check_short_name
from hyper.host.files import disk_errors, private_directory, sparse_copy, sync_directory
from hyper.host.threads import in_thread
from hyper.storage.disks import check_size, create_growable
from hyper.storage.qcow2 import check_size as check_qcow2_size
from hyper.storage.qcow2 import grow_qcow2, virtual_size, write_qcow2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a volume's image; `stored_bytes` is what it takes on the host."""

    name: str
    created_ns: int
    size_bytes: int
    stored_bytes: int


class VolumeDisks:
    """The images and snapshots below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def create(self, name: str, size_bytes: int, image_format: str) -> Path:
        """Make a volume's image, an empty ext4. Raises InvalidArgument, Unavailable."""
        size_bytes = check_size(size_bytes, f"create {name}: a volume")
        path = self._root / check_name(name, "volume") / f"disk.{image_format}"
        private_directory(self._root)
        private_directory(path.parent)
        if image_format == "raw":
            await create_growable(path, size_bytes)
        else:
            check_qcow2_size(size_bytes)
            raw = path.with_suffix(".new")
            try:
                await create_growable(raw, size_bytes)
                path.unlink(missing_ok=True)
                await in_thread("write image", write_qcow2, raw, path)
            finally:
                raw.unlink(missing_ok=True)
        sync_directory(path.parent)
        sync_directory(self._root)
        return path

    def size_after(self, path: Path, size_bytes: int, image_format: str) -> int:
        """Return the size an image can be given: whole sectors, and never less than it has.

        Raises InvalidArgument.
        """
        size_bytes = check_size(size_bytes, "a volume")
        if image_format == "qcow2":
            check_qcow2_size(size_bytes)
        return max(size_bytes, virtual_size(path, image_format))

    async def grow(self, path: Path, size_bytes: int, image_format: str) -> int:
        """Make an image larger and return its size; its file system follows when it is mounted."""
        size_bytes = self.size_after(path, size_bytes, image_format)
        if image_format == "qcow2":
            await in_thread("grow image", grow_qcow2, path, size_bytes)
        else:
            with disk_errors(path, "grow"):
                os.truncate(path, size_bytes)
        return size_bytes

    def snapshots(self, name: str, image_format: str) -> list[Snapshot]:
        """Return a volume's snapshots, oldest first."""
        found = []
        folder = self._folder(name)
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.suffix == ".img" and not entry.name.startswith("."):
                info = entry.stat()
                size_bytes = virtual_size(entry, image_format)
                found.append(
                    Snapshot(entry.stem, info.st_mtime_ns, size_bytes, info.st_blocks * 512)
                )
        return sorted(found, key=lambda snapshot: (snapshot.created_ns, snapshot.name))

    def snapshot_path(self, name: str, snapshot: str) -> Path:
        """Return where a snapshot is. Raises NotFound."""
        path = self._file(name, snapshot)
        if not path.exists():
            raise NotFound("snapshot", snapshot, f"volume {name}")
        return path

    def check_new(self, name: str, snapshot: str) -> None:
        """Check that a snapshot can have this name. Raises InvalidArgument, Conflict."""
        if self._file(name, snapshot).exists():
            raise Conflict(f"volume {name} has a snapshot named {snapshot!r} already")

    async def take(self, name: str, image: Path, snapshot: str) -> None:
        """Copy a volume's image, which nobody may write to meanwhile. Raises Unavailable."""
        path = self._file(name, snapshot)
        private_directory(self._root / name)
        private_directory(path.parent)
        await in_thread("snapshot volume", _copy_synced, image, path)

    async def restore(self, name: str, image: Path, snapshot: str, image_format: str) -> int:
        """Put a snapshot in place of a volume's image; return its size. Raises NotFound."""
        source = self.snapshot_path(name, snapshot)
        await in_thread("restore volume", _replace, source, image)
        return virtual_size(source, image_format)

    def remove(self, name: str, snapshot: str) -> None:
        """Delete a snapshot. Raises NotFound."""
        path = self.snapshot_path(name, snapshot)
        with disk_errors(path, "delete"):
            path.unlink()
            sync_directory(path.parent)

    def _folder(self, name: str) -> Path:
        return self._root / check_name(name, "volume") / "snapshots"

    def _file(self, name: str, snapshot: str) -> Path:
        if len(check_short_name(snapshot, "snapshot")) > 128:
            raise InvalidArgument(f"snapshot {snapshot[:40]}...: more than 128 characters")
        return self._folder(name) / f"{snapshot}.img"


def _copy_synced(source: Path, target: Path, mode: int = 0o600) -> None:
    sparse_copy(source, target, mode=mode)
    with disk_errors(target, "sync"):
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(target.parent)


def _replace(source: Path, image: Path) -> None:
    """Put a copy in place of an image, with its owner and mode."""
    before = image.stat()
    _copy_synced(source, image.resolve(), before.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(image, before.st_uid, before.st_gid)
