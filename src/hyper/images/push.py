"""Images to registries: `docker push`.

An image goes as it came: with its own manifest, so under its own digest, when its blobs are those
the manifest names; otherwise with a new one. Layers made here (load, import, commit) go as the
zstd blobs they are kept as, which OCI registries and every current engine take. Blobs that
another repository of the same registry holds are mounted instead of sent.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

from hyper.core.errors import Failure, NotFound, Unavailable
from hyper.core.ids import short
from hyper.host import threads
from hyper.images import reference
from hyper.images.blobs import digest_of
from hyper.images.credentials import Credentials
from hyper.images.manifest import (
    CONFIG_LIMIT_BYTES,
    DOCKER_CONFIG,
    MANIFEST_LIMIT_BYTES,
    OCI_CONFIG,
    Descriptor,
    Manifest,
    parse_manifest,
    write_manifest,
)
from hyper.images.pull import configured
from hyper.images.reference import Reference
from hyper.images.registry import Repository, Response
from hyper.images.shelf import Progress, Report, Shelf, silent

_CHUNK = 1024 * 1024
_ATTEMPTS = 3
_ERROR_LIMIT = 64 * 1024


async def push(
    shelf: Shelf, name: str, *, auth: Credentials | None = None, progress: Report = silent
) -> str:
    """Push an image under one of its names; return the manifest's digest.

    Raises NotFound, Unauthorized, Unavailable, Failure.
    """
    target = reference.parse_tag(name)
    image_id = shelf.catalog.state.references.get(str(target))
    if image_id is None:
        raise NotFound("image", target.familiar())
    auth = auth or await configured(shelf, target)
    progress(Progress(f"The push refers to repository [{target.name}]"))
    async with shelf.transfer():
        repository = Repository(shelf.http, target, auth)
        source = _sibling(shelf, image_id, target)
        repository.for_push(source)
        manifest, parsed = _manifest(shelf, image_id)
        uploads = asyncio.Semaphore(max(1, shelf.options.max_concurrent_uploads))
        upload = _Upload(repository, uploads, source, progress)
        try:
            async with asyncio.TaskGroup() as tasks:
                for layer in {d.digest: d for d in parsed.layers}.values():
                    path = shelf.blobs.path(layer.digest)
                    tasks.create_task(upload.blob(layer, path), name=f"push-{short(layer.digest)}")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        await upload.blob(parsed.config, shelf.blobs.path(parsed.config.digest), shown=False)
        digest = digest_of(manifest)
        response = await repository.request(
            "PUT",
            repository.path("manifests", target.tag),
            {"Content-Type": parsed.media_type},
            manifest,
        )
        if response.status not in (200, 201, 202):
            raise repository.error(response)
        await shelf.name(str(target.with_digest(digest)), image_id)
    progress(Progress(f"{target.tag}: digest: {digest} size: {len(manifest)}"))
    progress(Progress("", aux={"Tag": target.tag, "Digest": digest, "Size": len(manifest)}))
    return digest


class _Upload:
    """Blobs on their way to one repository."""

    def __init__(
        self, repository: Repository, slots: asyncio.Semaphore, source: str, report: Report
    ) -> None:
        self._repository = repository
        self._slots = slots
        self._source = source
        self._report = report

    async def blob(self, blob: Descriptor, path: Path, *, shown: bool = True) -> None:
        """Make sure that the registry has a blob."""
        report, name = self._report if shown else silent, short(blob.digest)
        report(Progress("Preparing", name))
        async with self._slots:
            if await self._exists(blob):
                report(Progress("Layer already exists", name))
                return
            for attempt in range(_ATTEMPTS):
                try:
                    mounted = await self._send(blob, path, report)
                    break
                except Unavailable:
                    if attempt == _ATTEMPTS - 1:
                        raise
        report(Progress(f"Mounted from {self._source}" if mounted else "Pushed", name))

    async def _exists(self, blob: Descriptor) -> bool:
        path = self._repository.path("blobs", blob.digest)
        response = await self._repository.request("HEAD", path)
        if response.status in (200, 404):
            return response.status == 200
        raise self._repository.error(response)

    async def _send(self, blob: Descriptor, path: Path, report: Report) -> bool:
        """Send a blob; return whether the registry had it elsewhere and mounted it."""
        start = self._repository.path("blobs", "uploads") + "/"
        query = {"mount": blob.digest, "from": self._source} if self._source else {}
        if query:
            start += "?" + urlencode(query)
        response = await self._repository.request("POST", start, data=b"")
        if response.status == 201:
            return True
        if response.status != 202:
            raise self._repository.error(response)
        location = self._repository.absolute(response.headers.get("Location", ""))
        location += ("&" if "?" in location else "?") + urlencode({"digest": blob.digest})
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(blob.size_bytes),
        }
        data = _content(path, blob, report)
        async with self._repository.exchange("PUT", location, headers, data) as answer:
            body = await answer.whole(_ERROR_LIMIT)
            if answer.status not in (201, 204):
                raise self._repository.error(Response(answer.status, answer.headers, body))
        return False


async def _content(path: Path, blob: Descriptor, report: Report) -> AsyncIterator[bytes]:
    done = 0
    with open(path, "rb") as file:  # noqa: ASYNC230
        while chunk := await threads.in_thread("push-read", file.read, _CHUNK):
            yield chunk
            done += len(chunk)
            report(Progress("Pushing", short(blob.digest), done, blob.size_bytes))


def _manifest(shelf: Shelf, image_id: str) -> tuple[bytes, Manifest]:
    """Return the manifest to push: the image's own if we have all it names."""
    own = shelf.catalog.state.images[image_id].manifest
    if own:
        data = shelf.blobs.read(own, MANIFEST_LIMIT_BYTES)
        parsed = parse_manifest(data)
        if isinstance(parsed, Manifest) and all(
            shelf.blobs.exists(d.digest) for d in (parsed.config, *parsed.layers)
        ):
            return data, parsed
    layers = [shelf.layers.get(diff_id) for diff_id in shelf.config(image_id).diff_ids]
    size = len(shelf.blobs.read(image_id, CONFIG_LIMIT_BYTES))
    config = Descriptor(OCI_CONFIG if layers else DOCKER_CONFIG, image_id, size)
    data = write_manifest(config, [Descriptor(x.media_type, x.blob, x.blob_bytes) for x in layers])
    parsed = parse_manifest(data)
    if not isinstance(parsed, Manifest):
        raise Failure("a manifest of ours is no manifest")
    return data, parsed


def _sibling(shelf: Shelf, image_id: str, target: Reference) -> str:
    """Return another repository of the same registry that has layers of this image, or ""."""
    state = shelf.catalog.state
    wanted = set(state.images[image_id].diff_ids)
    for name, other in sorted(state.digests.items()):
        known = reference.parse(name)
        if known.domain == target.domain and known.path != target.path:
            if wanted & set(state.images[other].diff_ids):
                return known.path
    return ""
