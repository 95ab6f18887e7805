"""The image `busybox` made from the distribution's busybox-static, for hosts that reach no
registry.

`python -m hyper.images.builtin ARCHIVE` writes it as an archive that `hyper load` and `docker load`
read. Its layout is that of the official image: hard links in /bin, the accounts root and nobody.
"""

import asyncio
import platform
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal

from hyper.core.errors import HyperError, Unavailable
from hyper.host import process
from hyper.images.build import Change
from hyper.images.catalog import Image
from hyper.images.manifest import Json
from hyper.images.store import ImageStore
from hyper.images.tarstream import END, Entry, Kind, header, padding

NAME = "busybox:latest"
_PLACES = ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static")
_PT_INTERP = 3  # elf.h: the file needs a dynamic linker
_CREATED = "1970-01-01T00:00:00Z"
_LAYER_COMMAND = "/bin/sh -c #(nop) ADD busybox-static in / "

_DIRECTORIES = (
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("lib", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/spool", 0o755),
    ("var/spool/mail", 0o755),
    ("var/www", 0o755),
)
_FILES = (
    (
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "bin:x:2:2:bin:/bin:/bin/false\n"
        "sys:x:3:3:sys:/dev:/bin/false\n"
        "sync:x:4:100:sync:/bin:/bin/sync\n"
        "mail:x:8:8:mail:/var/spool/mail:/bin/false\n"
        "www-data:x:33:33:www-data:/var/www:/bin/false\n"
        "operator:x:37:37:Operator:/var:/bin/false\n"
        "nobody:x:65534:65534:nobody:/home:/bin/false\n",
    ),
    (
        "etc/group",
        0o644,
        "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\n"
        "wheel:x:10:root\nwww-data:x:33:\nutmp:x:43:\nstaff:x:50:\nusers:x:100:\n"
        "nobody:x:65534:\n",
    ),
    (
        "etc/shadow",
        0o640,
        "root:*:10933:0:99999:7:::\ndaemon:*:10933:0:99999:7:::\nbin:*:10933:0:99999:7:::\n"
        "nobody:*:10933:0:99999:7:::\n",
    ),
    ("etc/hosts", 0o644, ""),
    ("etc/hostname", 0o644, ""),
    ("etc/resolv.conf", 0o644, ""),
    ("etc/nsswitch.conf", 0o644, "hosts: files dns\n"),
)


def find_busybox() -> Path:
    """Return the path of a statically linked busybox. Raises Unavailable."""
    for place in map(Path, _PLACES):
        if place.is_file() and _is_static(place.read_bytes()):
            return place
    raise Unavailable("a static busybox is missing: install the package busybox-static")


async def applets(busybox: Path) -> list[str]:
    """Return the names under which a busybox can be called."""
    listed = (await process.run([busybox, "--list"])).decode().split()
    return sorted(name for name in set(listed) - {"busybox"} if "/" not in name)


def rootfs(busybox: bytes, names: Sequence[str]) -> bytes:
    """Return the tar of a root file system with nothing but busybox; always the same."""
    parts: list[bytes] = []

    def add(entry: Entry, content: bytes = b"") -> None:
        parts.extend((header(entry), content, padding(len(content))))

    for path, mode in _DIRECTORIES:
        owner = 33 if path == "var/www" else 8 if path == "var/spool/mail" else 0
        add(Entry(path.encode(), Kind.DIRECTORY, mode=mode, uid=owner, gid=owner))
    add(Entry(b"bin/busybox", Kind.FILE, size=len(busybox), mode=0o755), busybox)
    for name in names:
        link = Entry(f"bin/{name}".encode(), Kind.HARDLINK, mode=0o755, link=b"bin/busybox")
        add(link)
    add(Entry(b"usr/bin/env", Kind.SYMLINK, mode=0o777, link=b"../../bin/env"))
    for path, mode, text in _FILES:
        content = text.encode()
        add(Entry(path.encode(), Kind.FILE, size=len(content), mode=mode), content)
    parts.append(END)
    return b"".join(parts)


async def make(store: ImageStore, name: str = NAME) -> Image:
    """Make the image in a store. Raises Unavailable when busybox-static is missing."""
    busybox = find_busybox()
    tar = rootfs(busybox.read_bytes(), await applets(busybox))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(tar), 1 << 20):
            yield tar[start : start + (1 << 20)]

    change = Change(_configure, created=_CREATED, created_by=_LAYER_COMMAND)
    return await store.create(chunks(), change, name=name)


async def write_archive(target: Path) -> None:
    """Write the image as an archive for `load`. Raises Unavailable, Failure."""
    with tempfile.TemporaryDirectory() as directory:
        store = ImageStore(Path(directory) / "images")
        await make(store)
        with open(target, "wb") as file:  # noqa: ASYNC230
            async for chunk in store.save([NAME]):
                file.write(chunk)


def _configure(config: Json) -> None:
    config["Env"] = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    config["Cmd"] = ["sh"]


def _is_static(elf: bytes) -> bool:
    """Tell whether a 64-bit ELF file asks for no dynamic linker (elf(5), program headers)."""
    if elf[:5] != b"\x7fELF\x02":
        return False
    order: Literal["little", "big"] = "little" if elf[5] == 1 else "big"
    offset = int.from_bytes(elf[32:40], order)
    size = int.from_bytes(elf[54:56], order)
    count = int.from_bytes(elf[56:58], order)
    starts = range(offset, offset + size * count, size or 1)
    return all(int.from_bytes(elf[start : start + 4], order) != _PT_INTERP for start in starts)


def main() -> int:
    """Write the archive named on the command line."""
    if len(sys.argv) != 2:
        print("usage: python -m hyper.images.builtin ARCHIVE", file=sys.stderr)
        return 2
    try:
        asyncio.run(write_archive(Path(sys.argv[1])))
    except HyperError as err:
        print(f"busybox image ({platform.machine()}): {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
