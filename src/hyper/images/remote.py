"""Owns questions to registries that bring nothing into the store: are these credentials good, what
does this name stand for.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from hyper.core.errors import InvalidArgument
from hyper.images import reference
from hyper.images.blobs import digest_of
from hyper.images.credentials import Credentials
from hyper.images.manifest import DOCKER_LIST, OCI_INDEX, Index, Platform, parse_config
from hyper.images.manifest import parse_manifest as parse
from hyper.images.pull import configured, fetch_config
from hyper.images.reference import DEFAULT_DOMAIN, Reference
from hyper.images.registry import Repository
from hyper.images.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Remote:
    """A manifest or index at a registry, and what it runs on."""

    media_type: str
    digest: str
    size_bytes: int
    platforms: tuple[Platform, ...]


async def login(shelf: Shelf, server: str, known: Credentials) -> str:
    """Check credentials with the registry `server`; return the identity token it gives, or "".

    Raises InvalidArgument, Unauthorized, Unavailable.
    """
    return await Repository(shelf.http, _registry(server), known).login()


def _registry(server: str) -> Reference:
    """Return a name at the registry of an address, which is Docker Hub if it is empty.

    A host without a dot is a registry here, though in the name of an image it is none: the
    password must go to no other. Raises InvalidArgument.
    """
    refusal = f"invalid registry address: {server[:200]!r}"
    try:
        url = urlsplit(server if "://" in server else f"//{server}")
    except ValueError as err:
        raise InvalidArgument(refusal) from err
    host = url.netloc or ("" if server else DEFAULT_DOMAIN)
    if url.scheme not in ("", "http", "https") or not reference.is_domain(host):
        raise InvalidArgument(refusal)
    return Reference(DEFAULT_DOMAIN if host == "index.docker.io" else host, "login")


async def inspect(shelf: Shelf, name: str, auth: Credentials | None) -> Remote:
    """Return what a name stands for at its registry.

    Raises NotFound, Unauthorized, Unavailable, InvalidArgument, Failure.
    """
    wanted = reference.parse(name).tagged()
    repository = Repository(shelf.http, wanted, auth or await configured(shelf, wanted))
    data, sent_type = await repository.manifest(wanted.digest or wanted.tag)
    found = parse(data, sent_type)
    if isinstance(found, Index):
        kind = sent_type if sent_type in (OCI_INDEX, DOCKER_LIST) else OCI_INDEX
        platforms = tuple(item.platform for item in found.manifests if item.platform)
        return Remote(kind, digest_of(data), len(data), platforms)
    config = parse_config(await fetch_config(shelf, repository, found.config))
    return Remote(found.media_type, digest_of(data), len(data), (config.platform,))
