"""A server on a unix socket over the engine in memory, and a client that checks every reply."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from hyper.api.server import Server
from tests.support import specification
from tests.support.fake_engine import FakeEngine


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def body(self) -> Any:
        """The JSON of the answer."""
        return json.loads(self.data)

    @property
    def lines(self) -> list[Any]:
        """The JSON lines of the answer."""
        return [json.loads(line) for line in self.data.splitlines() if line.strip()]


class Client:
    """Sends requests over a unix socket; replies are checked against the specification."""

    def __init__(self, path: Path, session: aiohttp.ClientSession) -> None:
        self.path = path
        self._session = session

    async def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> Reply:
        """Send a request, JSON if there is a body, and read the whole answer."""
        query = {k: json.dumps(v) if isinstance(v, dict) else str(v) for k, v in query.items()}
        async with self._session.request(
            method, f"http://hyper{path}", json=body, params=query
        ) as answer:
            reply = Reply(answer.status, dict(answer.headers), await answer.read())
        self._check(method, path, reply)
        return reply

    def _check(self, method: str, path: str, reply: Reply) -> None:
        path = re.sub(r"^/v[\d.]+", "", path)
        for operation, (verb, pattern, _) in specification.operations().items():
            regex = re.sub(r"\{\w+\}", "[^/]+", pattern)
            if verb == method and re.fullmatch(regex, path):
                if "json" in reply.headers.get("Content-Type", "") and reply.data.strip():
                    for item in reply.lines if "events" in path else [reply.lines[0]]:
                        specification.check_reply(operation, reply.status, item)
                return

    async def create(self, *command: str, name: str = "", **body: Any) -> str:
        """Create a container and return its id."""
        reply = await self(
            "POST",
            "/containers/create",
            {"Image": "busybox", "Cmd": list(command), **body},
            **({"name": name} if name else {}),
        )
        assert reply.status == 201, reply.data
        return str(reply.body["Id"])

    async def run(self, *command: str, name: str = "", **body: Any) -> str:
        """Create and start a container and return its id."""
        container_id = await self.create(*command, name=name, **body)
        assert (await self("POST", f"/containers/{container_id}/start")).status == 204
        return container_id

    async def finish(self, *command: str, name: str = "", **body: Any) -> str:
        """Run a container to its end and return its id."""
        container_id = await self.run(*command, name=name, **body)
        await self("POST", f"/containers/{container_id}/wait")
        return container_id

    @asynccontextmanager
    async def hijack(
        self, path: str, body: Any = None, upgrade: bool = True
    ) -> AsyncIterator["Raw"]:
        """Send a POST that takes the connection over."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        data = b"" if body is None else json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: hyper\r\nContent-Length: {len(data)}\r\n"
        if data:
            head += "Content-Type: application/json\r\n"
        if upgrade:
            head += "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        writer.write(head.encode() + b"\r\n" + data)
        try:
            yield Raw(reader, writer)
        finally:
            writer.close()


@dataclass(slots=True)
class Raw:
    """A connection that became a raw stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> str:
        """Return the head of the answer."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def frames(self) -> list[tuple[int, bytes]]:
        """Return all frames until the end."""
        data, found = await self.reader.read(), []
        while data:
            stream, length = data[0], int.from_bytes(data[4:8], "big")
            assert data[1:4] == b"\0\0\0"
            found.append((stream, data[8 : 8 + length]))
            data = data[8 + length :]
        return found

    async def frame(self) -> tuple[int, bytes]:
        """Return the next frame."""
        header = await self.reader.readexactly(8)
        return header[0], await self.reader.readexactly(int.from_bytes(header[4:], "big"))


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[FakeEngine, Client]]:
    """Serve an engine in memory below `folder`; what still runs at the end is ended."""
    async with asyncio.TaskGroup() as tasks:
        engine = FakeEngine(tasks, folder)
        await engine.networks.registry.load()
        server = Server(engine)  # type: ignore[arg-type]  # it has the parts that the API uses
        path = folder / "hyper.sock"
        await server.start([f"unix://{path}"])
        try:
            connector = aiohttp.UnixConnector(str(path))
            async with aiohttp.ClientSession(connector=connector) as session:
                yield engine, Client(path, session)
        finally:
            await engine.images.shelf.http.close()
            for container in engine.containers.all.values():
                if container.view.active and not container.process.signal.done():
                    container.process.signal.set_result(9)
            for _, process in engine.sessions.execs.values():
                if not process.signal.done():
                    process.signal.set_result(9)
            await server.stop(0.5)
            await engine.images.shelf.http.close()
