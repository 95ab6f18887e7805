"""The asyncio client, twin of client.py. Builds no request itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from hyper.sdk import calls, http1, jsontext
from hyper.sdk.address import Address, resolve
from hyper.sdk.autostart import connect_or_start
from hyper.sdk.calls import Call, ContainerOptions, Json, Objects, Result
from hyper.sdk.client import OUTPUT_LIMIT_BYTES, check_message, only_file
from hyper.sdk.errors import ConnectionLost, DaemonUnavailable, NotFoundError, api_error
from hyper.sdk.exchange import Collector
from hyper.sdk.frames import FrameDecoder
from hyper.sdk.tars import pack_bytes
from hyper.sdk.transport import error_message

T = TypeVar("T")
_READ_BYTES = 256 * 1024
_DEFAULTS = ContainerOptions()


@dataclass(slots=True)
class _Answer:
    """An answer whose head has arrived."""

    head: http1.Head
    decoder: http1.BodyDecoder
    rest: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def pieces(self) -> AsyncIterator[bytes]:
        data, self.rest = self.rest, b""
        for piece in self.decoder.feed(data):
            yield piece
        while not self.decoder.done:
            data = await self.reader.read(_READ_BYTES)
            if not data:
                self.decoder.end()
                return
            for piece in self.decoder.feed(data):
                yield piece

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])


class AsyncDaemon:
    """Requests to a daemon from asyncio; every request has a connection of its own."""

    def __init__(self, address: Address, start: bool = True) -> None:
        self._address = address
        self._start = start

    async def call(self, call: Call[T]) -> T:
        """Send a request and return its value. Raises ApiError, ConnectionLost."""
        body = b"" if call.body is None else jsontext.dumps(call.body).encode()
        async with self.open(call.method, call.path, call.query, body, json=True) as answer:
            data = await answer.read()
        return call.read(jsontext.loads(data) if data.strip() else None)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: bytes = b"",
        *,
        json: bool = False,
        upgrade: bool = False,
    ) -> AsyncIterator[_Answer]:
        """Send a request; the answer lives as long as the context. Raises ApiError."""
        reader, writer = await self._connect()
        try:
            headers = [("Content-Type", "application/json" if json else "application/x-tar")]
            if upgrade:
                headers += [("Connection", "Upgrade"), ("Upgrade", "tcp")]
            target = http1.encode_target(path, query)
            head = http1.encode_request(method, target, "hyper", headers if body else (), len(body))
            writer.write(head + body)
            await writer.drain()
            answer = await self._head(method, reader, writer)
            if answer.head.status >= 400:
                status, text = answer.head.status, error_message(await answer.read())
                raise api_error(status, text or f"the daemon answered with status {status}")
            yield answer
        except OSError as err:
            raise ConnectionLost(f"the connection to the daemon broke: {err}") from err
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._address
        try:
            if not address.path:
                return await asyncio.open_connection(address.host, address.port)
            try:
                return await asyncio.open_unix_connection(address.path)
            except (FileNotFoundError, ConnectionRefusedError):
                if not address.ours or not self._start:
                    raise
            started = await asyncio.to_thread(connect_or_start, address)
            started.close()
            return await asyncio.open_unix_connection(address.path)
        except OSError as err:
            raise DaemonUnavailable(address.text) from err

    async def _head(
        self, method: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> _Answer:
        buffer = b""
        while data := await reader.read(_READ_BYTES):
            buffer += data
            parsed = http1.parse_head(buffer)
            if parsed:
                head, rest = parsed
                return _Answer(head, http1.BodyDecoder(method, head), rest, reader, writer)
        raise ConnectionLost("the daemon closed the connection without an answer")


class AsyncContainers:
    """The containers of a daemon."""

    def __init__(self, daemon: AsyncDaemon) -> None:
        self._daemon = daemon

    async def create(
        self, image: str, command: Sequence[str] = (), options: ContainerOptions = _DEFAULTS
    ) -> str:
        """Create a container, return its id."""
        return await self._daemon.call(calls.container_create(image, command, options))

    async def list(self, *, all: bool = False) -> Objects:
        """List running containers, or all."""
        return await self._daemon.call(calls.container_list(all))

    async def inspect(self, name: str) -> Json:
        """Return all that is known of a container."""
        return await self._daemon.call(calls.container_inspect(name))

    async def start(self, name: str) -> None:
        """Start a container."""
        await self._daemon.call(calls.container_start(name))

    async def stop(self, name: str, timeout_s: int | None = None) -> None:
        """Stop a container; it is killed after `timeout_s`."""
        await self._daemon.call(calls.container_stop(name, timeout_s))

    async def restart(self, name: str, timeout_s: int | None = None) -> None:
        """Stop and start a container."""
        await self._daemon.call(calls.container_restart(name, timeout_s))

    async def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal to a container."""
        await self._daemon.call(calls.container_kill(name, signal))

    async def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container, with `volumes` its anonymous ones too."""
        await self._daemon.call(calls.container_remove(name, force, volumes))

    async def wait(self, name: str) -> int:
        """Wait for a container's end, return its exit status."""
        return await self._daemon.call(calls.container_wait(name))

    async def logs(self, name: str, *, follow: bool = False) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (1 or 2, bytes): a container's stdout and stderr so far, or as they come."""
        query = {"stdout": 1, "stderr": 1, "follow": follow}
        decoder = FrameDecoder()
        async with self._daemon.open("GET", calls.container(name, "/logs"), query) as answer:
            raw = "raw-stream" in answer.head.headers.get("content-type", "")
            async for piece in answer.pieces():
                for item in [(1, piece)] if raw else decoder.feed(piece):
                    yield item

    async def execute(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        working_dir: str = "",
        user: str = "",
        output_limit_bytes: int = OUTPUT_LIMIT_BYTES,
    ) -> Result:
        """Run another process in a running container; limit its time with asyncio.timeout.

        Raises OutputTooLong.
        """
        create = calls.exec_create(name, command, env or {}, working_dir, user, bool(stdin))
        identifier = await self._daemon.call(create)
        collector = Collector(output_limit_bytes)
        path, body = f"/exec/{identifier}/start", b'{"Detach":false}'
        async with self._daemon.open("POST", path, None, body, json=True, upgrade=True) as answer:
            await _exchange(answer, stdin, collector)
        stdout, stderr = collector.output()
        return Result(stdout, stderr, await self._daemon.call(calls.exec_exit_code(identifier)))


async def _exchange(answer: _Answer, stdin: bytes, collector: Collector) -> None:
    """Send `stdin` and collect the output until it ends."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_send_input(answer.writer, stdin), name="stdin of an exec")
            collector.feed(answer.rest)
            while data := await answer.reader.read(_READ_BYTES):
                collector.feed(data)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def _send_input(writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
    except OSError:
        pass  # the process does not read; its end is told by the other direction


class AsyncFiles:
    """Files in containers, running or not."""

    def __init__(self, daemon: AsyncDaemon) -> None:
        self._daemon = daemon

    async def put(self, container: str, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in a container. Its directory must exist."""
        directory, _, base = path.rpartition("/")
        body = b"".join(pack_bytes(base, data, mode))
        query = {"path": directory or "/"}
        async with self._daemon.open("PUT", calls.container(container, "/archive"), query, body):
            pass

    async def get(self, container: str, path: str) -> bytes:
        """Return the contents of a file in a container."""
        archive = calls.container(container, "/archive")
        async with self._daemon.open("GET", archive, {"path": path}) as answer:
            return only_file(iter([await answer.read()]), path)


class AsyncImages:
    """The images of a daemon."""

    def __init__(self, daemon: AsyncDaemon) -> None:
        self._daemon = daemon

    async def list(self) -> Objects:
        """List images."""
        return await self._daemon.call(calls.image_list())

    async def inspect(self, name: str) -> Json:
        """Return all that is known of an image."""
        return await self._daemon.call(calls.image_inspect(name))

    async def exists(self, name: str) -> bool:
        """Return whether the image is there without pulling."""
        try:
            await self.inspect(name)
        except NotFoundError:
            return False
        return True

    async def pull(self, reference: str, platform: str = "") -> Json:
        """Pull an image and return what inspect does. Raises ApiError."""
        query = calls.image_pull_query(reference, platform)
        async with self._daemon.open("POST", "/images/create", query) as answer:
            rest = b""
            async for piece in answer.pieces():
                *lines, rest = (rest + piece).split(b"\n")
                for line in filter(bytes.strip, lines):
                    check_message(jsontext.loads(line))
            if rest.strip():
                check_message(jsontext.loads(rest))
        return await self.inspect(reference)

    async def remove(self, name: str, *, force: bool = False) -> Objects:
        """Remove an image; return what was untagged and deleted."""
        return await self._daemon.call(calls.image_remove(name, force))


class AsyncVolumes:
    """The volumes of a daemon."""

    def __init__(self, daemon: AsyncDaemon) -> None:
        self._daemon = daemon

    async def list(self) -> Objects:
        """List volumes."""
        return await self._daemon.call(calls.volume_list())

    async def create(self, name: str = "", labels: Mapping[str, str] | None = None) -> Json:
        """Create a volume; without a name it is anonymous."""
        return await self._daemon.call(calls.volume_create(name, labels or {}))

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume."""
        await self._daemon.call(calls.volume_remove(name, force))


class AsyncClient:
    """A daemon's asyncio client; see client.Client."""

    def __init__(self, host: str = "", *, start: bool = True) -> None:
        self._daemon = AsyncDaemon(resolve(host), start)
        self.containers = AsyncContainers(self._daemon)
        self.files = AsyncFiles(self._daemon)
        self.images = AsyncImages(self._daemon)
        self.volumes = AsyncVolumes(self._daemon)

    async def pods(self) -> Objects:
        """List pods."""
        return await self._daemon.call(calls.pod_list())

    async def version(self) -> Json:
        """Return the daemon's version."""
        return await self._daemon.call(calls.version())

    async def info(self) -> Json:
        """Return the daemon's information."""
        return await self._daemon.call(calls.info())
