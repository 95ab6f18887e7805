"""A real registry (the distribution's docker-registry) on loopback, and a gate before it.

The gate is a small proxy that does what registries elsewhere do and the plain one does not: tokens,
redirects to another host, broken transfers.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp
import pytest
from aiohttp import web

from hyper.images.http import RegistryOptions
from hyper.images.store import ImageStore
from tests.support.registry import (
    PASSWORD,
    USER,
    Registry,
    start_private_registry,
    start_registry,
)

TOKEN = "a-token-of-the-gate"
IDENTITY = "an-identity-of-the-gate"

Ranges = Literal["taken", "ignored", "refused"]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that takes everybody."""
    found, child = start_registry(tmp_path_factory.mktemp("registry"), "")
    yield found
    child.terminate()
    child.wait(60)


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that takes only USER with PASSWORD."""
    found, child = start_private_registry(tmp_path_factory.mktemp("private"))
    yield found
    child.terminate()
    child.wait(60)


@dataclass
class Gate:
    """A proxy before the registry. `seen` are the requests: method, path, Authorization, Range."""

    registry: Registry
    port: int = 0
    storage_port: int = 0
    tokens: bool = False
    redirect_blobs: bool = False
    ranges: Ranges = "taken"
    cut_after_bytes: int = 0
    cuts_left: int = 0
    refuse: list[int] = field(default_factory=list)
    replace: dict[str, bytes] = field(default_factory=dict)
    hang: asyncio.Event | None = None
    seen: list[tuple[str, str, str, str]] = field(default_factory=list)

    @property
    def host(self) -> str:
        """The gate's name in image names."""
        return f"127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, most often with what the registry says."""
        authorization = request.headers.get("Authorization", "")
        self.seen.append(
            (request.method, request.path, authorization, request.headers.get("Range", ""))
        )
        own_port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
        storage = own_port == self.storage_port
        if request.path == "/token":
            return self._token(request, authorization)
        if self.tokens and not storage and authorization != f"Bearer {TOKEN}":
            realm = f'Bearer realm="http://{self.host}/token",service="gate"'
            return web.json_response(
                {"errors": []}, status=401, headers={"WWW-Authenticate": realm}
            )
        if self.refuse:
            return web.Response(status=self.refuse.pop(0), headers={"Retry-After": "0"})
        if self.redirect_blobs and "/blobs/sha256" in request.path and not storage:
            return web.Response(
                status=307,
                headers={"Location": f"http://localhost:{self.storage_port}{request.path}"},
            )
        return await self._forward(request)

    def _token(self, request: web.Request, authorization: str) -> web.Response:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization not in ("", expected):
            return web.json_response({"details": "incorrect username or password"}, status=401)
        assert request.query["service"] == "gate"
        if request.query.get("offline_token") == "true":
            return web.json_response({"token": TOKEN, "refresh_token": IDENTITY})
        assert "scope" in request.query
        return web.json_response({"token": TOKEN, "expires_in": 300})

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k in ("Accept", "Content-Type")}
        replaced = any(part in request.path for part in self.replace)
        if "Range" in request.headers and not replaced:
            if self.ranges == "refused":
                return web.Response(status=416)
            if self.ranges == "taken":
                headers["Range"] = request.headers["Range"]
        url = f"http://{self.registry.host}{request.path_qs}"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, url, headers=headers, data=await request.read()
            ) as answer,
        ):
            body = next(
                (data for part, data in self.replace.items() if part in request.path),
                await answer.read(),
            )
            kept = ("Content-Type", "Location", "Content-Range", "Docker-Content-Digest")
            response = web.StreamResponse(
                status=answer.status, headers={k: v for k, v in answer.headers.items() if k in kept}
            )
            response.content_length = len(body)
            await response.prepare(request)
            if "/blobs/sha256" in request.path and request.method == "GET":
                if self.hang is not None:
                    await response.write(body[:1000])
                    await self.hang.wait()
                if self.cuts_left:
                    self.cuts_left -= 1
                    await response.write(body[: self.cut_after_bytes])
                    assert request.transport is not None
                    request.transport.close()
                    return response
            await response.write(body)
            return response


@pytest.fixture
async def gate(registry: Registry) -> AsyncIterator[Gate]:
    """Return a gate before the registry that takes everybody."""
    found = Gate(registry)
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    for name in ("port", "storage_port"):
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        setattr(found, name, runner.addresses[-1][1])
    yield found
    if found.hang is not None:
        found.hang.set()
    await runner.cleanup()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ImageStore]:
    """Return an empty image store."""
    opened = ImageStore(tmp_path / "images")
    yield opened
    await opened.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[ImageStore]:
    """Return another empty image store, e.g. to pull what the first pushed."""
    opened = ImageStore(tmp_path / "other", options=RegistryOptions())
    yield opened
    await opened.close()
