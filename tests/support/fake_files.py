"""Files of containers in memory, for the engine in `fake_engine`: one file, one change."""

import io
import stat
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from hyper.core.errors import InvalidArgument, NotFound
from hyper.engine.files import FileChange, FileStat
from tests.support.fake_images import make_image

PATH, CONTENT = "/etc/hostname", b"web\n"


class FakeFiles:
    """Every container has the one file PATH; `received` is what was sent to it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.received = b""

    def _check(self, reference: str, path: str) -> None:
        self._engine.containers.find(reference)
        if "\0" in path or not path:
            raise InvalidArgument(f"invalid path: {path!r}")
        if path.rstrip("/") not in ("", PATH, PATH.rpartition("/")[0]):
            raise NotFound("file", path)

    async def stat(self, reference: str, path: str) -> FileStat:
        self._check(reference, path)
        return FileStat("hostname", len(CONTENT), stat.S_IFREG | 0o644, 1, "")

    @asynccontextmanager
    async def archive(
        self, reference: str, path: str
    ) -> AsyncIterator[tuple[FileStat, AsyncIterator[bytes]]]:
        yield await self.stat(reference, path), _pieces()

    async def extract(
        self,
        reference: str,
        path: str,
        archive: AsyncIterator[bytes],
        *,
        keep_kinds: bool,
        own: bool,
    ) -> None:
        self._check(reference, path)
        self.received = b"".join([chunk async for chunk in archive])
        if self.received and len(self.received) % 512:
            raise InvalidArgument("tar: unexpected end of the archive")

    async def changes(self, reference: str) -> list[FileChange]:
        self._engine.containers.find(reference)
        return [FileChange("C", "/etc"), FileChange("A", PATH), FileChange("D", "/gone")]

    @asynccontextmanager
    async def export(self, reference: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self._engine.containers.find(reference)
        yield _pieces()

    async def commit(
        self,
        reference: str,
        name: str,
        configure: Callable[[dict[str, object]], None],
        *,
        comment: str = "",
        author: str = "",
        pause: bool = True,
    ) -> object:
        self._engine.containers.find(reference)
        configure({})
        return make_image(name or "committed:latest")


async def _pieces() -> AsyncIterator[bytes]:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo(PATH[1:])
        entry.size = len(CONTENT)
        tar.addfile(entry, io.BytesIO(CONTENT))
    yield data.getvalue()
