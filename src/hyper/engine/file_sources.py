"""Owns getting the files that a pod document names: over http(s), or from the directory allowed.

Bounded in size and time; the client of the API never makes the daemon read elsewhere.
"""

import asyncio
import base64
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp

from hyper.core.errors import Forbidden, InvalidArgument, NotFound, Unavailable
from hyper.engine.pod_checks import FILES_MAX_BYTES
from hyper.host.threads import in_thread

FETCH_S = 60.0
_CHUNK_BYTES = 64 * 1024


def encoded(name: str, content: bytes, encoding: str) -> str:
    """Return a file's content as base64; `encoding` is that of `content`: raw or base64.

    Raises InvalidArgument naming the file when it is not.
    """
    if encoding == "raw":
        return base64.b64encode(content).decode()
    packed = b"".join(content.split())
    try:
        base64.b64decode(packed, validate=True)
    except ValueError as err:
        raise InvalidArgument(f"file {name}: its contents are not base64: {err}") from err
    return packed.decode()


async def fetch(name: str, uri: str, allowed: str) -> bytes:
    """Return what a URI names; `allowed` is the directory of file:///, "" for none.

    Raises Forbidden, NotFound, InvalidArgument when it is too large, Unavailable.
    """
    if uri.startswith("file://"):
        return await in_thread("read file", _read, name, unquote(urlsplit(uri).path), allowed)
    try:
        async with asyncio.timeout(FETCH_S):
            return await _download(name, uri)
    except (aiohttp.ClientError, OSError, ValueError) as err:
        raise Unavailable(f"file {name}: {uri}: {err}") from err
    except TimeoutError as err:
        raise Unavailable(f"file {name}: {uri}: not there after {FETCH_S:g} s") from err


async def _download(name: str, uri: str) -> bytes:
    content = bytearray()
    async with aiohttp.ClientSession(auto_decompress=False) as session, session.get(uri) as answer:
        if answer.status != 200:
            raise Unavailable(f"file {name}: {uri}: {answer.status} {answer.reason}")
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            content += chunk
            if len(content) > FILES_MAX_BYTES:
                raise _too_large(name, uri)
    return bytes(content)


def _read(name: str, path: str, allowed: str) -> bytes:
    if not allowed:
        raise Forbidden(
            f"file {name}: the daemon reads no files of its host: set hyper.pod-files in its "
            "configuration to the directory it may read"
        )
    root, target = Path(allowed).resolve(), Path(path).resolve()
    if not target.is_relative_to(root):
        raise Forbidden(f"file {name}: {path} is not below {allowed}")
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        raise NotFound("file", path, err.strerror or "") from err
    with os.fdopen(descriptor, "rb") as file:
        try:
            content = file.read(FILES_MAX_BYTES + 1)
        except OSError as err:
            raise InvalidArgument(f"file {name}: {path}: {err.strerror}") from err
    if len(content) > FILES_MAX_BYTES:
        raise _too_large(name, path)
    return content


def _too_large(name: str, place: str) -> InvalidArgument:
    return InvalidArgument(f"file {name}: {place}: larger than {FILES_MAX_BYTES} bytes")
