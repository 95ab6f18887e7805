"""Images to registries: `docker push`.

An image goes as it came: with its own manifest, so under its own digest, when its blobs are those
the manifest names. One made here (load, import, commit, build) gets a manifest of Docker's schema 2
with gzip layers, which every engine pulls: Docker before 23 reads no zstd. Blobs that another
repository of the same registry holds are mounted instead of sent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlencode

from hyper.core.errors import NotFound, Unavailable
from hyper.core.ids import short
from hyper.host import threads
from hyper.images import reference
from hyper.images.blobs import digest_of
from hyper.images.credentials import Credentials
from hyper.images.manifest import (
    CONFIG_LIMIT_BYTES,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    MANIFEST_LIMIT_BYTES,
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
    """Push the image of a name, without a tag all of the repository; return the last's digest.

    Raises NotFound, Unauthorized, Unavailable, Failure.
    """
    wanted = reference.parse_repository(name)
    progress(Progress(f"The push refers to repository [{wanted.name}]"))
    state = shelf.catalog.state
    here = [
        tag for tag in map(reference.parse, sorted(state.references)) if tag.name == wanted.name
    ]
    targets = [tag for tag in here if wanted.tag in ("", tag.tag)]
    if not here:
        raise NotFound("repository to push", wanted.familiar_name)
    if not targets:
        raise NotFound("tag to push", wanted.familiar())
    auth = auth or await configured(shelf, wanted)
    digest = ""
    for target in targets:
        async with shelf.transfer():
            digest = await _push_one(shelf, target, auth, progress)
    return digest


async def _push_one(
    shelf: Shelf, target: Reference, auth: Credentials | None, progress: Report
) -> str:
    image_id = shelf.catalog.state.references.get(str(target), "")
    if not image_id:  # it was removed meanwhile
        raise NotFound("tag to push", target.familiar())
    repository = Repository(shelf.http, target, auth)
    source = _sibling(shelf, image_id, target)
    repository.for_push(source)
    uploads = asyncio.Semaphore(max(1, shelf.options.max_concurrent_uploads))
    upload = _Upload(shelf, repository, uploads, source, progress)
    manifest, parsed = await _send(shelf, image_id, upload)
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


async def _send(shelf: Shelf, image_id: str, upload: "_Upload") -> tuple[bytes, Manifest]:
    """Make sure that the registry has an image's blobs; return the manifest that names them."""
    own = await _own_manifest(shelf, image_id, upload)
    diff_ids = shelf.config(image_id).diff_ids
    known = dict(zip(diff_ids, own[1].layers, strict=True)) if own else {}
    try:
        async with asyncio.TaskGroup() as tasks:
            sent = {  # the last layer first, as dockerd; the same layer twice goes once
                diff_id: tasks.create_task(
                    upload.layer(diff_id, known.get(diff_id)), name=f"push-{short(diff_id)}"
                )
                for diff_id in dict.fromkeys(reversed(diff_ids))
            }
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    if own:
        data, parsed = own
    else:
        size = len(shelf.blobs.read(image_id, CONFIG_LIMIT_BYTES))
        config = Descriptor(DOCKER_CONFIG, image_id, size)
        parsed = Manifest(DOCKER_MANIFEST, config, tuple(sent[each].result() for each in diff_ids))
        data = write_manifest(config, parsed.layers)
    await upload.blob(parsed.config)
    return data, parsed


async def _own_manifest(
    shelf: Shelf, image_id: str, upload: "_Upload"
) -> tuple[bytes, Manifest] | None:
    """Return the manifest an image came with, if all it names is here or at the registry.

    A layer that was here before, from elsewhere, may be kept as another blob than it names.
    """
    own = shelf.catalog.state.images[image_id].manifest
    if not own:
        return None
    data = shelf.blobs.read(own, MANIFEST_LIMIT_BYTES)
    parsed = parse_manifest(data)
    if not isinstance(parsed, Manifest):
        return None
    for blob in (parsed.config, *parsed.layers):
        if not (shelf.blobs.exists(blob.digest) or await upload.is_there(blob)):
            return None
    return data, parsed


class _Upload:
    """Blobs on their way to one repository."""

    def __init__(
        self,
        shelf: Shelf,
        repository: Repository,
        slots: asyncio.Semaphore,
        source: str,
        report: Report,
    ) -> None:
        self._shelf = shelf
        self._repository = repository
        self._slots = slots
        self._source = source
        self._report = report

    async def layer(self, diff_id: str, known: Descriptor | None) -> Descriptor:
        """Make sure that the registry has a layer, as the blob `known` or as gzip; return it."""
        name = short(diff_id)
        self._report(Progress("Preparing", name))
        if self._slots.locked():
            self._report(Progress("Waiting", name))
        async with self._slots:
            if known is None:
                layer = await self._shelf.layers.as_gzip(diff_id)
                known = Descriptor(DOCKER_LAYER, layer.gzip, layer.gzip_bytes)
            self._report(Progress(await self.blob(known, name), name))
        return known

    async def blob(self, blob: Descriptor, name: str = "") -> str:
        """Make sure that the registry has a blob; return how it came there, in Docker's words.

        Says how far it is under `name`, if there is one.
        """
        if await self.is_there(blob):
            return "Layer already exists"
        for attempt in range(_ATTEMPTS):
            try:
                mounted = await self._send(blob, name)
                break
            except Unavailable:
                if attempt == _ATTEMPTS - 1:
                    raise
        return f"Mounted from {self._source}" if mounted else "Pushed"

    async def is_there(self, blob: Descriptor) -> bool:
        """Tell whether the registry has a blob."""
        path = self._repository.path("blobs", blob.digest)
        response = await self._repository.request("HEAD", path)
        if response.status in (200, 404):
            return response.status == 200
        raise self._repository.error(response)

    async def _send(self, blob: Descriptor, name: str) -> bool:
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
        report = self._report if name else silent
        path = self._shelf.blobs.path(blob.digest)
        data = _content(path, lambda done: report(Progress("Pushing", name, done, blob.size_bytes)))
        async with self._repository.exchange("PUT", location, headers, data) as answer:
            body = await answer.whole(_ERROR_LIMIT)
            if answer.status not in (201, 204):
                raise self._repository.error(Response(answer.status, answer.headers, body))
        return False


async def _content(path: Path, report: Callable[[int], None]) -> AsyncIterator[bytes]:
    done = 0
    with open(path, "rb") as file:  # noqa: ASYNC230
        while chunk := await threads.in_thread("push-read", file.read, _CHUNK):
            yield chunk
            done += len(chunk)
            report(done)


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
