"""Owns fetching an archive that a client names by its URL, for `docker import`. Stores nothing."""

from collections.abc import AsyncGenerator, Callable
from urllib.parse import urlsplit

from hyper.core.errors import Failure, InvalidArgument
from hyper.images.http import Http
from hyper.images.shelf import Progress

_REASON_BYTES = 4096


def address(source: str) -> str:
    """Return the URL a client means; as with dockerd one without a scheme is http.

    Raises InvalidArgument.
    """
    url = source if "://" in source else f"http://{source}"
    try:
        parts = urlsplit(url)
        named = parts.hostname and (parts.port is None or parts.port)
    except ValueError as err:
        raise InvalidArgument(f"invalid URL {source[:200]!r}: {err}") from err
    if parts.scheme not in ("http", "https") or not named:
        raise InvalidArgument(f"invalid URL {source[:200]!r}: an http or https address is needed")
    return url


async def download(
    http: Http, url: str, report: Callable[[Progress], None]
) -> AsyncGenerator[bytes, None]:
    """Yield the body of what is at a URL, redirects followed. Raises Failure, Unavailable."""
    report(Progress(f"Downloading from {url}"))
    async with http.exchange("GET", url, {}) as answer:
        if answer.status != 200:
            said = " ".join((await answer.whole(_REASON_BYTES)).decode(errors="replace").split())
            raise Failure(f"failed to GET {url} with status {answer.status}: {said[:200]}")
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else -1
        done = 0
        async for chunk in answer.chunks():
            done += len(chunk)
            report(Progress("Importing", current=done, total=total))
            yield chunk
