"""What the tests of images share: tars, layers and images made on the spot, disks read back."""

import io
import re
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hyper.images.build import Change
from hyper.images.catalog import Image
from hyper.images.feed import Feed
from hyper.images.intake import Expected
from hyper.images.layerfilter import Limits
from hyper.images.layers import Layer, LayerStore
from hyper.images.store import ImageStore

DIRECTORY, FILE, LINK, SYMLINK = (
    tarfile.DIRTYPE,
    tarfile.REGTYPE,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
)


@dataclass(frozen=True)
class Member:
    """A member of a tar under construction."""

    name: str
    type: bytes = FILE
    content: bytes = b""
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    device: tuple[int, int] = (0, 0)
    pax: dict[str, str] = field(default_factory=dict)


def tar(*members: Member | str) -> bytes:
    """Return a tar; a plain name is a file that holds its own name, or a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            if isinstance(member, str):
                if member.endswith("/"):
                    member = Member(member.rstrip("/"), DIRECTORY, mode=0o755)
                else:
                    member = Member(member, content=member.encode())
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname, info.mode = member.type, member.link, member.mode
            info.uid, info.size, info.pax_headers = member.uid, len(member.content), member.pax
            info.devmajor, info.devminor = member.device
            archive.addfile(info, io.BytesIO(member.content))
    return out.getvalue()


async def chunks(data: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    """Yield data in pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def take(
    layers: LayerStore, data: bytes, expected: Expected | None = None, *, convert: bool = True
) -> Layer:
    """Take a layer into a store."""

    async def source(feed: Feed) -> None:
        async for chunk in chunks(data):
            await feed.put(chunk)

    return await layers.take_in(expected or Expected(), source, convert=convert)


async def image(store: ImageStore, name: str, *layers: bytes) -> Image:
    """Make an image of some layers in a store."""
    made = await store.create(None, Change(), name=name) if not layers else None
    for number, layer in enumerate(layers, 1):
        last = number == len(layers)
        made = await store.create(
            chunks(layer), Change(), base=made.id if made else "", name=name if last else ""
        )
    assert made is not None
    return made


def listing(disk: Path) -> dict[str, str]:
    """Return what is in a squashfs: path to "mode owner size-or-device-or-target"."""
    text = subprocess.run(
        ["unsquashfs", "-lln", "-d", "", str(disk)], check=True, capture_output=True
    ).stdout.decode()
    found = {}
    for line in text.splitlines():
        mode, owner, rest = line.split(maxsplit=2)
        start = rest.index("/") if "/" in rest else len(rest)
        numbers = re.sub(r", +", ",", rest[:start]).split()
        path, _, target = rest[start:].partition(" -> ")
        found[path] = f"{mode} {owner} {target or numbers[0]}"
    return found


def content(disk: Path, path: str) -> bytes:
    """Return a file of a squashfs."""
    argv = ["unsquashfs", "-cat", str(disk), path]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def files_below(root: Path) -> list[str]:
    """Return the files of a store, except its catalog."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.name != "catalog.json"
    )


def small_limits() -> Limits:
    """Return limits that a test reaches quickly."""
    return Limits(unpacked_bytes=8 * 1024 * 1024, entries=1000)


def joined(parts: Iterable[bytes]) -> bytes:
    """Return the concatenation."""
    return b"".join(parts)
