"""A guest's agent in Python, behind a unix socket, that does what a test tells it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from hyper.agent import messages as m
from hyper.agent.client import AgentClient
from hyper.agent.codec import Frame, FrameDecoder, encode_frame

Behaviour = Callable[["FakeGuest"], Awaitable[None]]


class FakeGuest:
    """The guest's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.decoder = FrameDecoder()
        self.frames: list[Frame] = []

    async def frame(self) -> Frame:
        """Return the next frame of the host; EOFError when it hung up."""
        while not self.frames:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self.frames = self.decoder.feed(data)
        return self.frames.pop(0)

    async def expect(self, kind: type[m.Message]) -> tuple[Frame, m.Message]:
        frame = await self.frame()
        message = frame.message()
        assert isinstance(message, kind), f"{message} instead of {kind}"
        return frame, message

    async def welcome(self, **fields: object) -> None:
        frame, hello = await self.expect(m.Hello)
        assert isinstance(hello, m.Hello)
        values = {"nonce": hello.nonce, "version": m.PROTOCOL_VERSION, "kernel_release": "6.1"}
        await self.reply(frame, m.Welcome(**{**values, **fields}))  # type: ignore[arg-type]

    async def reply(self, frame: Frame, message: m.Message) -> None:
        flags = m.FLAG_REPLY | (m.FLAG_ERROR if isinstance(message, m.Error) else 0)
        await self.send(message, request_id=frame.request_id, flags=flags)

    async def send(
        self, message: m.Message, *, request_id: int = 0, stream_id: int = 0, flags: int = 0
    ) -> None:
        await self.raw(
            encode_frame(message, request_id=request_id, stream_id=stream_id, flags=flags)
        )

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hung_up(self) -> None:
        """Return when the host has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


@contextlib.asynccontextmanager
async def listening(path: Path, behaviour: Behaviour) -> AsyncIterator[None]:
    """Serve connections to `path` with a guest that behaves so; fail if it fails."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behaviour(FakeGuest(reader, writer))
        except (EOFError, ConnectionError):
            pass
        finally:
            writer.close()

    async with asyncio.TaskGroup() as guests:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            guests.create_task(serve(reader, writer))

        server = await asyncio.start_unix_server(accept, path)
        try:
            yield
        finally:
            server.close()


@contextlib.asynccontextmanager
async def connected(
    path: Path, behaviour: Behaviour, *, resume: bool = False
) -> AsyncIterator[AgentClient]:
    """Give a client that runs, connected to a guest that behaves so."""
    async with listening(path, behaviour), asyncio.TaskGroup() as tasks:
        client = await AgentClient.connect(path, resume=resume, timeout_s=60)
        tasks.create_task(client.run())
        try:
            yield client
        finally:
            await client.close()
