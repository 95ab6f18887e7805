"""Images and volumes in memory, for the engine in `fake_engine`."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from time import time_ns
from types import SimpleNamespace
from typing import Any

from hyper.core.errors import Conflict, Failure, NotFound, Unavailable
from hyper.core.ids import new_id
from hyper.engine.views import VolumeView
from hyper.images.catalog import Image
from hyper.images.http import Http, RegistryOptions, Traffic
from hyper.images.manifest import ImageConfig, Platform
from hyper.images.reference import parse


class FakeImages:
    """Images in a dictionary, by familiar name."""

    def __init__(self) -> None:
        self.all = [make_image("busybox:latest")]
        layers = SimpleNamespace(find=lambda diff_id: None, content_bytes=lambda diff_ids: 0)
        http = Http(RegistryOptions())  # for what asks registries and stores nothing
        http.traffic = Traffic(received_bytes=1234, sent_bytes=56)
        records = defaultdict(lambda: SimpleNamespace(parent=""))
        state = SimpleNamespace(images=records, references={})
        self.shelf = SimpleNamespace(
            http=http,
            options=http.options,
            layers=layers,
            image=self.get,
            catalog=SimpleNamespace(state=state),
            transfer=contextlib.nullcontext,
            platform=Platform(),
        )
        self.pulling: asyncio.Event | None = None
        self.cancelled = False

    def list(self) -> "list[Image]":
        return list(self.all)

    def get(self, name: str) -> Image:
        for image in self.all:
            digits = image.id.removeprefix("sha256:")
            if name == image.id or (len(name) >= 3 and digits.startswith(name)):
                return image
        wanted = parse(name).tagged().familiar()
        for image in self.all:
            if wanted in image.references:
                return image
        raise NotFound("image", wanted)

    async def pull(self, name: str, *, auth: Any, platform: str, progress: Any) -> Image:
        familiar = parse(name).familiar()
        if "missing" in name:
            raise NotFound("image", familiar)
        progress(_Progress(f"Pulling from {familiar}"))
        progress(_Progress("Downloading", "abc", 5, 10))
        if self.pulling is not None:
            try:
                await self.pulling.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if "broken" in name:
            raise Unavailable("registry: connection refused")
        image = make_image(familiar)
        self.all.append(image)
        return image

    async def tag(self, source: str, target: str) -> Image:
        image = self.get(source)
        self.all.remove(image)
        names = (*image.references, parse(target).tagged().familiar())
        self.all.append(replace(image, references=names))
        return self.all[-1]

    async def remove(self, name: str, *, force: bool, prune: bool, used_by: Any) -> "list[Any]":
        image = self.get(name)
        named = parse(name).tagged().familiar()
        if len(image.references) > 1 and named in image.references:
            self.all.remove(image)
            left = tuple(each for each in image.references if each != named)
            self.all.append(replace(image, references=left))
            return [_Removal({"Untagged": named})]
        if used_by.get(image.id):
            raise Conflict(f"conflict: unable to delete {name}")
        self.all.remove(image)
        return [_Removal({"Untagged": name}), _Removal({"Deleted": image.id})]

    async def prune(
        self, images: "list[Image]", *, dangling: bool, used_by: Any
    ) -> "tuple[list[Any], int]":
        removed: list[Any] = []
        for image in images:
            if not used_by.get(image.id) and not (dangling and image.references):
                removed += await self.remove(image.id, force=False, prune=True, used_by={})
        return removed, 1000 * len(removed)

    async def create(self, source: AsyncIterator[bytes], change: Any, *, name: str = "") -> Image:
        async for _ in source:
            pass
        self.all.append(make_image(parse(name).tagged().familiar() if name else "imported:latest"))
        return self.all[-1]

    async def save(self, names: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"tar" * 1000

    async def load(
        self, source: AsyncIterator[bytes], *, platform: Platform | None, progress: Any
    ) -> "list[Any]":
        size = 0
        async for chunk in source:
            size += len(chunk)
        if not size:
            raise Failure("tar: unexpected end of the archive")
        self.loaded_bytes = size
        loaded = self.get("busybox")
        return [SimpleNamespace(id=loaded.id, messages=("Loaded image: busybox:latest",))]


@dataclass(frozen=True, slots=True)
class _Removal:
    item: dict[str, str]

    def as_json(self) -> dict[str, str]:
        return self.item


@dataclass(frozen=True, slots=True)
class _Progress:
    status: str
    id: str = ""
    current: int = -1
    total: int = -1

    def as_json(self) -> dict[str, object]:
        shown: dict[str, object] = {"status": self.status}
        if self.id:
            shown |= {"id": self.id}
            shown["progressDetail"] = {"current": self.current, "total": self.total}
        return shown


def make_image(name: str) -> Image:
    """Return an image that runs `sh` and has a variable and a label."""
    config = ImageConfig(env=("PATH=/bin", "FROM=image"), cmd=("sh",), labels=(("made", "here"),))
    digest = f"{abs(hash(name)):x}".rjust(64, "0")
    return Image(
        id=f"sha256:{digest}",
        references=(name,),
        digests=(),
        created="2024-01-02T03:04:05.6Z",
        size_bytes=1000,
        architecture="amd64",
        os="linux",
        variant="",
        config=config,
        diff_ids=(f"sha256:{digest}",),
        history=({"created": "2024-01-02T03:04:05Z", "created_by": "ADD x /"},),
        raw_config={},
    )


class FakeVolumes:
    """Volumes in a dictionary."""

    def __init__(self) -> None:
        self.all: dict[str, VolumeView] = {}

    async def create(
        self, name: str = "", *, driver: str, labels: Any, options: Any, anonymous: bool = False
    ) -> VolumeView:
        name = name or new_id()
        volume = VolumeView(
            name, driver, f"/volumes/{name}/_data", time_ns(), labels, options, anonymous
        )
        return self.all.setdefault(name, volume)

    async def get(self, name: str) -> VolumeView:
        if name not in self.all:
            raise NotFound("volume", name)
        return self.all[name]

    async def list(self) -> "list[VolumeView]":
        return list(self.all.values())

    async def remove(self, name: str, force: bool = False) -> None:
        await self.get(name)
        del self.all[name]

    async def usage_bytes(self, name: str) -> int:
        return 4096
