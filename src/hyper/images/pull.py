"""Images from registries into the store: `docker pull`.

Layers are converted while they come, several at once; each is verified before it counts. Mirrors
are asked first, for Docker Hub only, as dockerd does.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from hyper.core.errors import Failure, HyperError
from hyper.core.ids import short
from hyper.host import threads
from hyper.images import credentials, reference
from hyper.images.blobs import digest_of
from hyper.images.catalog import Image
from hyper.images.credentials import Credentials
from hyper.images.feed import Feed
from hyper.images.intake import Expected
from hyper.images.layers import CHAIN_LIMIT
from hyper.images.manifest import (
    CONFIG_LIMIT_BYTES,
    Descriptor,
    Index,
    Manifest,
    Platform,
    parse_config,
    parse_manifest,
)
from hyper.images.reference import DEFAULT_DOMAIN, Reference
from hyper.images.registry import Repository
from hyper.images.shelf import Progress, Report, Shelf, silent

_REPORT_BYTES = 512 * 1024
_INDEX_DEPTH = 2


@dataclass(frozen=True, slots=True)
class _Found:
    """A manifest, where it was found, and the digest of what the name stands for."""

    repository: Repository
    digest: str
    manifest: Manifest
    manifest_bytes: bytes


async def pull(
    shelf: Shelf, name: str, auth: Credentials | None, platform: str, report: Report
) -> Image:
    """Pull an image and return it; nothing is left of a pull that fails.

    Raises NotFound, Unauthorized, Unavailable, InvalidArgument, Failure.
    """
    wanted = reference.parse(name).tagged()
    auth = auth or await configured(shelf, wanted)
    async with shelf.transfer():
        image, news = await _pull_one(shelf, wanted, auth, platform, report)
    _report_end(wanted, [image], news, platform, report)
    return image


async def pull_all(
    shelf: Shelf, name: str, auth: Credentials | None, platform: str, report: Report
) -> list[Image]:
    """Pull every tag of a repository: `docker pull --all-tags`. Raises what `pull` does."""
    wanted = reference.parse(name)
    auth = auth or await configured(shelf, wanted)
    images, any_news = [], False
    async with shelf.transfer():
        for tag in await Repository(shelf.http, wanted, auth).tags():
            each = Reference(wanted.domain, wanted.path, tag)
            image, news = await _pull_one(shelf, each, auth, platform, report)
            any_news |= news
            images.append(image)
    _report_end(wanted, images, any_news, platform, report)
    return images


def _report_end(
    wanted: Reference, images: Sequence[Image], news: bool, platform: str, report: Report
) -> None:
    words = "Downloaded newer image" if news else "Image is up to date"
    report(Progress(f"Status: {words} for {wanted.familiar()}"))
    found = {Platform(image.os, image.architecture, image.variant) for image in images}
    for other in found if platform else ():
        # A single image stands for every platform, as with dockerd, which warns of it.
        if not Platform.parse(platform).runs(other):
            text = f"image with reference {wanted.familiar()} was found but does not match the "
            text += f"specified platform: wanted {platform}, actual: {other}"
            report(Progress(f"WARNING: {text}"))


async def _pull_one(
    shelf: Shelf, wanted: Reference, auth: Credentials | None, platform: str, report: Report
) -> tuple[Image, bool]:
    """Pull an image; return it and whether its name stood for another one before."""
    asked = Platform.parse(platform) if platform else None
    found = await _find(shelf, wanted, auth, asked or shelf.platform, report)
    config = await fetch_config(shelf, found.repository, found.manifest.config)
    parsed = parse_config(config)
    layers = found.manifest.layers
    if len(parsed.diff_ids) != len(layers):
        raise Failure("layers from manifest don't match image configuration")
    known = shelf.catalog.state
    complete = found.manifest.config.digest in known.images
    await _layers(shelf, found.repository, layers, parsed.diff_ids, silent if complete else report)
    await shelf.layers.chain(parsed.diff_ids)
    before = known.references.get(str(wanted)) or known.digests.get(str(wanted))
    manifest = await threads.in_thread("manifest", shelf.blobs.write, found.manifest_bytes)
    image_id = await shelf.add(config, manifest=manifest)
    await shelf.name(str(wanted.with_digest(found.digest)), image_id)
    if wanted.tag and not wanted.digest:  # else nobody looked at what the tag stands for
        await shelf.name(str(Reference(wanted.domain, wanted.path, wanted.tag)), image_id)
    report(Progress(f"Digest: {found.digest}"))
    return shelf.image(image_id), before != image_id


async def configured(shelf: Shelf, name: Reference) -> Credentials | None:
    """Return what the daemon's own Docker configuration knows of a registry."""
    path = shelf.options.config_file
    if path is None:
        return None
    return await credentials.from_config(path, name.domain, shelf.options.helper_environment)


async def _find(
    shelf: Shelf, name: Reference, auth: Credentials | None, platform: Platform, report: Report
) -> _Found:
    mirrors = shelf.options.mirrors if name.domain == DEFAULT_DOMAIN else ()
    for mirror in mirrors:
        with contextlib.suppress(HyperError):  # Docker Hub itself is asked next, and tells why
            repository = Repository(shelf.http, name, None, mirror)
            return await _resolve(repository, name, platform, report)
    return await _resolve(Repository(shelf.http, name, auth), name, platform, report)


async def _resolve(
    repository: Repository, name: Reference, platform: Platform, report: Report
) -> _Found:
    data, media_type = await repository.manifest(name.digest or name.tag)
    digest = digest_of(data)
    if name.digest not in ("", digest):
        raise Failure(f"manifest verification failed for digest {name.digest}")
    parsed = parse_manifest(data, media_type)
    report(Progress(f"Pulling from {name.path}", name.tag or name.familiar()))
    for _ in range(_INDEX_DEPTH):
        if isinstance(parsed, Manifest):
            break
        chosen = parsed.choose(platform)
        data, media_type = await repository.manifest(chosen.digest)
        if digest_of(data) != chosen.digest or len(data) != chosen.size_bytes:
            raise Failure(f"manifest verification failed for digest {chosen.digest}")
        parsed = parse_manifest(data, media_type)
    if isinstance(parsed, Index):
        raise Failure("manifest lists nested too deeply")
    return _Found(repository, digest, parsed, data)


async def fetch_config(shelf: Shelf, repository: Repository, config: Descriptor) -> bytes:
    """Return an image's config file, verified. Raises Failure, and what a transfer raises."""
    if config.size_bytes > CONFIG_LIMIT_BYTES:
        raise Failure(f"image config of {config.size_bytes} bytes is too large")
    if shelf.blobs.exists(config.digest):
        return shelf.blobs.read(config.digest, CONFIG_LIMIT_BYTES)
    data = bytearray()
    async for chunk in repository.blob(config.digest, config.size_bytes):
        data += chunk
        if len(data) > config.size_bytes:
            break
    if digest_of(bytes(data)) != config.digest:
        raise Failure(f"image config verification failed for digest {config.digest}")
    return bytes(data)


async def _layers(
    shelf: Shelf,
    repository: Repository,
    layers: Sequence[Descriptor],
    diff_ids: Sequence[str],
    report: Report,
) -> None:
    # A long chain gets one disk in the end, so its layers need none of their own.
    convert = len(layers) <= CHAIN_LIMIT
    pairs = dict(zip(diff_ids, layers, strict=True))  # the same layer twice comes once
    for diff_id, layer in pairs.items():
        here = shelf.layers.find(diff_id) is not None
        report(Progress("Already exists" if here else "Pulling fs layer", short(layer.digest)))
    try:
        async with asyncio.TaskGroup() as tasks:
            for diff_id, layer in pairs.items():
                tasks.create_task(
                    _layer(shelf, repository, layer, diff_id, convert, report),
                    name=f"pull-{short(layer.digest)}",
                )
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _layer(
    shelf: Shelf,
    repository: Repository,
    layer: Descriptor,
    diff_id: str,
    convert: bool,
    report: Report,
) -> None:
    name = short(layer.digest)
    if shelf.layers.find(diff_id) is not None:
        return
    if shelf.downloads.locked():
        report(Progress("Waiting", name))

    async def download(feed: Feed) -> None:
        done = reported = 0
        async for chunk in repository.blob(layer.digest, layer.size_bytes):
            done += len(chunk)
            if done - reported >= _REPORT_BYTES:
                report(Progress("Downloading", name, done, layer.size_bytes))
                reported = done
            await feed.put(chunk)
        report(Progress("Verifying Checksum", name))
        report(Progress("Download complete", name))
        report(Progress("Extracting", name, layer.size_bytes, layer.size_bytes))

    async with shelf.downloads:
        expected = Expected(layer.digest, layer.size_bytes, diff_id)
        await shelf.layers.take_in(expected, download, convert=convert)
    report(Progress("Pull complete", name))
