"""Manifests, indexes and configs: checked on the way in, frozen afterwards. No I/O.

OCI image-spec v1.1 "manifest.md", "image-index.md", "config.md"; Docker's "image manifest version
2, schema 2". Everything here was written by strangers: sizes, types and digests are checked
before use.
"""

import json
import platform as host_platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyper.core import gojson
from hyper.core.errors import Failure, InvalidArgument, NotFound
from hyper.images.reference import is_digest

MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024  # what registries accept
CONFIG_LIMIT_BYTES = 8 * 1024 * 1024
_LAYERS_LIMIT = 500  # lower directories of one overlayfs: far more than 127, Docker's bound
_BLOB_LIMIT_BYTES = 2**50

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ACCEPTED = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)
_LAYER_TYPES = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i686": "386",
    "armhf": "arm",
    "armv7l": "arm",
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on: linux/amd64, linux/arm/v7."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Return the platform of linux/arm64, arm64 or linux/arm/v7. Raises InvalidArgument."""
        parts = text.lower().split("/")
        if not all(part.replace("_", "").replace("-", "").isalnum() for part in parts):
            raise InvalidArgument(f'"{text}" is an invalid component of a platform')
        if len(parts) == 1:
            parts = (
                ["linux", parts[0]] if parts[0] != "linux" else [*parts, cls.host().architecture]
            )
        if len(parts) > 3:
            raise InvalidArgument(f'"{text}": cannot parse platform specifier: invalid argument')
        architecture = _ARCHITECTURES.get(parts[1], parts[1])
        variant = parts[2] if len(parts) == 3 else ""
        return cls(
            parts[0], architecture, "" if (architecture, variant) == ("arm64", "v8") else variant
        )

    @classmethod
    def host(cls) -> "Platform":
        """Return the platform of this host's processor, always with Linux: that is the guest."""
        machine = host_platform.machine()
        return cls("linux", _ARCHITECTURES.get(machine, machine))

    def runs(self, other: "Platform") -> bool:
        """Tell whether an image for `other` is what someone who asks for this platform wants."""
        if self.os != other.os:
            return False
        if self.architecture != other.architecture:
            # as with dockerd: every x86-64 processor runs them, and so does the guest's kernel
            return (self.architecture, other.architecture) == ("amd64", "386")
        return not self.variant or not other.variant or other.variant <= self.variant


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob or manifest somewhere, by digest."""

    media_type: str
    digest: str
    size_bytes: int
    platform: Platform | None = None

    def as_json(self) -> Json:
        """Return the descriptor as manifests write it."""
        return {"mediaType": self.media_type, "size": self.size_bytes, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its config and its layers, base first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """Manifests by platform."""

    manifests: tuple[Descriptor, ...]

    def choose(self, wanted: Platform) -> Descriptor:
        """Return the manifest for a platform, the best variant first. Raises NotFound.

        One that says nothing of its platform fits, as with dockerd, where none does that says it.
        """
        fitting = [m for m in self.manifests if not m.platform or wanted.runs(m.platform)]
        if not fitting:
            raise NotFound("platform", str(wanted))
        return max(fitting, key=lambda m: _rank(m.platform, wanted))


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a container of the image gets unless it is told otherwise. `healthcheck` is Docker's."""

    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    user: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    healthcheck: Json | None = None
    shell: tuple[str, ...] | None = None
    onbuild: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """An image's config file, parsed; `raw` is the file as it came, parsed as JSON."""

    platform: Platform
    created: str
    author: str
    comment: str
    config: ImageConfig
    diff_ids: tuple[str, ...]
    history: tuple[Json, ...]
    raw: Json


def parse_json(data: bytes, what: str) -> Json:
    """Return a JSON object. Raises Failure naming `what` when it is none.

    What no JSON of ours could say again is not in it: half a character (a lone surrogate) is
    U+FFFD, as Go reads it, and numbers are finite.
    """
    try:
        value = gojson.loads(data, dict)
    except (ValueError, RecursionError) as err:
        raise Failure(f"{what} is not valid JSON: {type(err).__name__}") from err
    if not isinstance(value, dict):
        raise Failure(f"{what} is not a JSON object")
    return value


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """Return a manifest or index. Raises Failure on what is malformed or of an unknown kind."""
    raw = parse_json(data, "manifest")
    stated = raw.get("mediaType")
    kind = stated if isinstance(stated, str) and stated else media_type.partition(";")[0].strip()
    if raw.get("schemaVersion") == 1:
        raise Failure(
            "Docker Image manifest version 2, schema 1 is not supported: push the image again "
            "with a current tool"
        )
    if kind in (OCI_INDEX, DOCKER_LIST) or (kind not in ACCEPTED and "manifests" in raw):
        return Index(tuple(_descriptor(m) for m in _list(raw, "manifests", 1000)))
    if kind not in (OCI_MANIFEST, DOCKER_MANIFEST) and not ("config" in raw and "layers" in raw):
        raise Failure(f"unsupported manifest media type {kind or 'unknown'!r}")
    config = _descriptor(raw.get("config"))
    if config.media_type not in (OCI_CONFIG, DOCKER_CONFIG, "application/octet-stream"):
        raise Failure(
            f"unsupported config media type {config.media_type!r}: the artifact is not an image"
        )
    layers = tuple(_descriptor(layer) for layer in _list(raw, "layers", _LAYERS_LIMIT))
    for layer in layers:
        if not layer.media_type.startswith(_LAYER_TYPES):
            raise Failure(f"unsupported layer media type {layer.media_type!r}")
    return Manifest(kind if kind in ACCEPTED else OCI_MANIFEST, config, layers)


def parse_config(data: bytes) -> Config:
    """Return an image's config. Raises Failure when it is malformed or not for Linux."""
    raw = parse_json(data, "image config")
    os = _text(raw, "os") or "linux"
    if os != "linux":
        raise Failure(f'image operating system "{os}" cannot be used on this platform')
    rootfs = raw.get("rootfs")
    diff_ids = _strings(rootfs, "diff_ids") if isinstance(rootfs, dict) else ()
    if len(diff_ids) > _LAYERS_LIMIT:
        raise Failure(f"image config: more than {_LAYERS_LIMIT} layers")
    for diff_id in diff_ids:
        if not is_digest(diff_id):
            raise Failure(f"image config: {diff_id[:80]!r} is not a sha256 digest")
    history = raw.get("history")
    return Config(
        Platform(os, _text(raw, "architecture"), _text(raw, "variant")),
        _text(raw, "created"),
        _text(raw, "author"),
        _text(raw, "comment"),
        image_config(raw.get("config") or {}),
        diff_ids,
        tuple(h for h in history if isinstance(h, dict)) if isinstance(history, list) else (),
        raw,
    )


def image_config(raw: object) -> ImageConfig:
    """Return the `config` part of a config file, with Docker's field names. Raises Failure."""
    if not isinstance(raw, dict):
        raise Failure("image config: config is not an object")
    labels = raw.get("Labels") or {}
    if not isinstance(labels, dict):
        raise Failure("image config: Labels is not an object")
    healthcheck = raw.get("Healthcheck")
    return ImageConfig(
        _strings(raw, "Env"),
        _strings(raw, "Entrypoint") or None,
        _strings(raw, "Cmd") or None,
        _text(raw, "WorkingDir"),
        _text(raw, "User"),
        tuple((str(key), str(value)) for key, value in labels.items()),
        _keys(raw, "ExposedPorts"),
        _keys(raw, "Volumes"),
        _text(raw, "StopSignal"),
        healthcheck if isinstance(healthcheck, dict) else None,
        _strings(raw, "Shell") or None,
        _strings(raw, "OnBuild"),
    )


def write_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """Return a manifest as JSON: OCI's if any layer is, else Docker's, known everywhere.

    Docker's in the form of its own encoder (moby distribution/manifest/schema2): `docker manifest
    push` before 23 encodes again what it read, and the digest must come out the same.
    """
    oci = any(".oci." in layer.media_type for layer in layers)
    kind, config_kind = (OCI_MANIFEST, OCI_CONFIG) if oci else (DOCKER_MANIFEST, DOCKER_CONFIG)
    value = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": config.as_json() | {"mediaType": config_kind},
        "layers": [layer.as_json() for layer in layers],
    }
    return encode(value) if oci else json.dumps(value, indent=3, ensure_ascii=False).encode()


def encode(value: Mapping[str, object] | Sequence[object]) -> bytes:
    """Return JSON without blanks, in the order given: the same value gives the same digest."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _rank(candidate: Platform | None, wanted: Platform) -> tuple[bool, bool, bool, str]:
    """Order platforms that all fit: the variant asked for, else the highest below it."""
    if candidate is None:
        return (False, False, False, "")
    variant = candidate.variant
    return (True, candidate.architecture == wanted.architecture, variant == wanted.variant, variant)


def _descriptor(raw: object) -> Descriptor:
    if not isinstance(raw, dict):
        raise Failure("manifest: a descriptor is not an object")
    digest, size = _text(raw, "digest"), raw.get("size")
    if not is_digest(digest):
        raise Failure(f"manifest: {digest[:80]!r} is not a sha256 digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _BLOB_LIMIT_BYTES:
        raise Failure(f"manifest: the size of {digest} is missing or absurd")
    platform = raw.get("platform")
    return Descriptor(
        _text(raw, "mediaType"),
        digest,
        size,
        Platform(_text(platform, "os"), _text(platform, "architecture"), _text(platform, "variant"))
        if isinstance(platform, dict) and platform
        else None,
    )


def _list(raw: Json, key: str, limit: int) -> list[object]:
    value = raw.get(key)
    if not isinstance(value, list):
        raise Failure(f"manifest: {key} is missing")
    if len(value) > limit:
        raise Failure(f"manifest: more than {limit} {key}")
    return value


def _text(raw: Json, key: str) -> str:
    value = raw.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Failure(f"{key} is not a string")
    return value


def _strings(raw: Json, key: str) -> tuple[str, ...]:
    value = raw.get(key)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Failure(f"{key} is not a list of strings")
    return tuple(value)


def _keys(raw: Json, key: str) -> tuple[str, ...]:
    value = raw.get(key)
    return tuple(sorted(map(str, value))) if isinstance(value, dict) else ()
