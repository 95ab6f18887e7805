"""Images into an archive, as `docker save` writes it since Docker 25: an OCI layout with
manifest.json.

Layers are written uncompressed, byte for byte what their diff IDs say, so every docker load,
podman and skopeo reads the archive. It is the same for the same images.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from hyper.core.errors import InvalidArgument, NotFound
from hyper.host import threads
from hyper.images import reference
from hyper.images.blobs import digest_of
from hyper.images.intake import OCI_LAYER
from hyper.images.layers import Layer
from hyper.images.manifest import (
    CONFIG_LIMIT_BYTES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Json,
    encode,
    parse_config,
    write_manifest,
)
from hyper.images.shelf import Shelf
from hyper.images.tarstream import END, Entry, Kind, header, padding

_CHUNK = 1024 * 1024


@dataclass(slots=True)
class _Plan:
    """What the archive will hold; images by id, each with the names it is saved under."""

    names: dict[str, list[str]] = field(default_factory=dict)
    small: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)


async def save(shelf: Shelf, names: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield the archive of images given by name or id. Raises NotFound before the first byte."""
    async with shelf.transfer():
        plan = _Plan()
        for wanted in (each for name in names for each in expand(shelf, name)):
            image_id, found_by = shelf.find(wanted)
            known = plan.names.setdefault(image_id, [])
            if found_by and "@" not in found_by and found_by not in known:
                known.append(found_by)
        _describe(shelf, plan)
        for directory in ("blobs", "blobs/sha256"):
            yield header(Entry(directory.encode(), Kind.DIRECTORY, mode=0o755))
        for diff_id, layer in plan.layers.items():
            yield header(Entry(_blob(diff_id), Kind.FILE, size=layer.tar_bytes))
            async for chunk in _tar(shelf, layer):
                yield chunk
            yield padding(layer.tar_bytes)
        for path, data in plan.small.items():
            yield header(Entry(path.encode(), Kind.FILE, size=len(data))) + data
            yield padding(len(data))
        yield END


def expand(shelf: Shelf, name: str) -> list[str]:
    """Return the names that a name to save stands for: of a repository's, all its tags."""
    try:
        wanted = reference.parse(name)
    except InvalidArgument:
        return [name]
    if wanted.tag or wanted.digest:
        return [name]
    known = (reference.parse(full) for full in sorted(shelf.catalog.state.references))
    return [str(tag) for tag in known if tag.name == wanted.name] or [name]


def _describe(shelf: Shelf, plan: _Plan) -> None:
    """Write the archive's small files: configs, manifests, and both kinds of index."""
    docker: list[Json] = []
    manifests: list[Json] = []
    repositories: dict[str, dict[str, str]] = {}
    for image_id, names in plan.names.items():
        config = shelf.blobs.read(image_id, CONFIG_LIMIT_BYTES)
        diff_ids = parse_config(config).diff_ids
        for diff_id in diff_ids:
            plan.layers[diff_id] = shelf.layers.get(diff_id)
        manifest = write_manifest(
            Descriptor(OCI_CONFIG, image_id, len(config)),
            [Descriptor(OCI_LAYER, d, plan.layers[d].tar_bytes) for d in diff_ids],
        )
        digest = digest_of(manifest)
        plan.small[_blob(image_id).decode()] = config
        plan.small[_blob(digest).decode()] = manifest
        familiar = [reference.familiar(name) for name in names]
        docker.append(
            {
                "Config": _blob(image_id).decode(),
                "RepoTags": familiar or None,
                "Layers": [_blob(diff_id).decode() for diff_id in diff_ids],
            }
        )
        entry = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(manifest)}
        for name in names:
            tag = reference.parse(name)
            annotations = {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": tag.tag,
            }
            manifests.append(entry | {"annotations": annotations})
            if diff_ids:
                repositories.setdefault(tag.familiar_name, {})[tag.tag] = diff_ids[-1][7:]
        if not names:
            manifests.append(dict(entry))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    plan.small["index.json"] = encode(index)
    plan.small["manifest.json"] = encode(docker)
    plan.small["oci-layout"] = encode({"imageLayoutVersion": "1.0.0"})
    if repositories:
        plan.small["repositories"] = encode(repositories)


async def _tar(shelf: Shelf, layer: Layer) -> AsyncIterator[bytes]:
    file, read = shelf.layers.open_tar(layer)
    with file:
        left = layer.tar_bytes
        while left > 0:
            chunk = await threads.in_thread("save", read, _CHUNK)
            if not chunk:
                raise NotFound("layer", layer.diff_id, "its blob is damaged")
            yield chunk
            left -= len(chunk)


def _blob(digest: str) -> bytes:
    return f"blobs/sha256/{digest[7:]}".encode()
