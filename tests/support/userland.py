"""Owns the images of the tests: busybox, Alpine-like and Debian, made on this machine.

An image is written as a `docker save` archive: a manifest, one config, one tar per layer.
"""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.turns import alone

BUSYBOX = Path("/bin/busybox")
_APPLETS_DIR = "bin"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder (data None) or symbolic link (target) of a layer."""

    name: str
    data: bytes | None = None
    target: str = ""
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """What an image's config says, and its layers: entries, or finished tar archives."""

    reference: str
    layers: Sequence[Sequence[Entry] | Path]
    config: dict[str, object] = field(default_factory=dict)
    architecture: str = "amd64"


def layer_tar(entries: Sequence[Entry]) -> bytes:
    """Return an uncompressed tar of `entries`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.mode = entry.mode
            info.uid, info.gid = entry.owner
            if entry.target:
                info.type, info.linkname = tarfile.SYMTYPE, entry.target
                tar.addfile(info)
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(entry.data)
                tar.addfile(info, io.BytesIO(entry.data))
    return buffer.getvalue()


def _applets() -> list[str]:
    done = subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split() if name != "busybox"]


def busybox_layer() -> list[Entry]:
    """Return the files of a busybox image: one static program, its names, accounts, folders."""
    folders = ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"]
    entries = [Entry(name, mode=0o1777 if name == "tmp" else 0o755) for name in folders]
    entries.append(Entry("bin/busybox", BUSYBOX.read_bytes()))
    entries += [Entry(f"{_APPLETS_DIR}/{name}", target="busybox") for name in _applets()]
    accounts = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    accounts += (
        "www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
    )
    groups = "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nusers:x:100:www-data\nnogroup:x:65534:\n"
    entries.append(Entry("etc/passwd", accounts.encode(), mode=0o644))
    entries.append(Entry("etc/group", groups.encode(), mode=0o644))
    return entries


def save(recipes: Sequence[ImageRecipe], path: Path) -> Path:
    """Write a `docker save` archive of `recipes` to `path` and return it."""
    manifest = []
    written: set[str] = set()
    with tarfile.open(path, "w") as archive:
        for recipe in recipes:
            names, digests = [], []
            for layer in recipe.layers:
                data = layer.read_bytes() if isinstance(layer, Path) else layer_tar(layer)
                digest = hashlib.sha256(data).hexdigest()
                digests.append(f"sha256:{digest}")
                names.append(f"{digest}/layer.tar")
                _add(archive, names[-1], data, written)
            config = {
                "architecture": recipe.architecture,
                "os": "linux",
                "created": "2024-01-01T00:00:00Z",
                "config": {"Cmd": ["sh"], "Env": [_PATH], **recipe.config},
                "rootfs": {"type": "layers", "diff_ids": digests},
                "history": [{"created": "2024-01-01T00:00:00Z"} for _ in digests],
            }
            encoded = json.dumps(config).encode()
            config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
            _add(archive, config_name, encoded, written)
            manifest.append(
                {"Config": config_name, "RepoTags": [recipe.reference], "Layers": names}
            )
        _add(archive, "manifest.json", json.dumps(manifest).encode(), written)
    return path


_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _add(archive: tarfile.TarFile, name: str, data: bytes, written: set[str]) -> None:
    if name in written:
        return
    written.add(name)
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def save_busybox(path: Path) -> Path:
    """Write an archive of an image named busybox and return its path."""
    return save([ImageRecipe("busybox:latest", [busybox_layer()])], path)


_MUSL_LOADER = Path("/lib/ld-musl-x86_64.so.1")
_HELLO = '#include <stdio.h>\nint main(void) { puts("hello from musl"); return 0; }\n'


def alpine_layer(folder: Path) -> list[Entry]:
    """Return an Alpine-like userland: busybox, musl's loader, a program linked with it."""
    source, program = folder / "hello.c", folder / "hello"
    source.write_text(_HELLO)
    subprocess.run(["musl-gcc", "-o", str(program), str(source)], check=True)
    musl = [
        Entry("lib"),
        Entry("lib/ld-musl-x86_64.so.1", _MUSL_LOADER.read_bytes()),
        Entry("etc/alpine-release", b"3.20.0\n", mode=0o644),
        Entry("usr/bin/hello", program.read_bytes()),
    ]
    return [*busybox_layer(), *musl]


def debian_tar(folder: Path) -> Path:
    """Return a tar of a small Debian 12 with ps and mount, made once in `folder`.

    Raises CalledProcessError when no package source is in reach.
    """
    return debian(folder, "small", ["--variant=essential", "--include=procps,mount"])


def debian(folder: Path, name: str, options: Sequence[str]) -> Path:
    """Return a tar of a Debian 12, made by mmdebstrap once in `folder`; the options name it too.

    Raises CalledProcessError when no package source is in reach.
    """
    key = hashlib.sha256("\0".join(options).encode()).hexdigest()[:12]
    tar = folder / f"debian-12-{name}-{key}.tar"
    with alone(tar.with_suffix(".lock")):
        if not tar.exists():
            partial = folder / f"{tar.stem}.partial.tar"
            argv = ["mmdebstrap", "--quiet", *options, "bookworm", str(partial)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
            partial.rename(tar)
    return tar


def push(archive: Path, reference: str, registry: str) -> str:
    """Copy an image of a `docker save` archive into a loopback registry; return its name there."""
    program = shutil.which("skopeo") or "skopeo"
    name = f"{registry}/{reference}"
    source = f"docker-archive:{archive}:{reference}"
    options = ["--dest-tls-verify=false", "--insecure-policy", "--quiet"]
    argv = [program, "copy", *options, source, f"docker://{name}"]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return name
