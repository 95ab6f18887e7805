"""One QMP connection, made when it is first needed. Does not know what the commands mean.

The library is qemu.qmp (QEMU docs/interop/qmp-spec). Importing it takes 100 ms and connecting a few
more, so neither is in the path of a VM's start: QEMU's listening socket waits for us.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hyper.core.errors import HypervisorError, Timeout

if TYPE_CHECKING:
    from qemu.qmp import QMPClient

_COMMAND_S = 20.0
_PIECE_BYTES = 65536


class Qmp:
    """Owns the connection to one VMM. Methods raise HypervisorError, Timeout."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._client: QMPClient | None = None
        self._turn = asyncio.Lock()

    def move(self, path: Path, name: str) -> None:
        """Tell that the socket has a new path; an open connection is not touched."""
        self._path, self._name = path, name

    async def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        """Run one command and return its result."""
        client = await self._connected()
        return await self._run(client, command, arguments)

    async def execute_with_fd(
        self, command: str, arguments: Mapping[str, object], descriptor: int
    ) -> object:
        """Run a command that takes a descriptor (add-fd, getfd)."""
        client = await self._connected()
        async with self._turn:  # nothing may come between the descriptor and its command
            client.send_fd_scm(descriptor)
            return await self._run(client, command, arguments)

    @contextlib.asynccontextmanager
    async def expect(self, event: str, key: str, *values: str) -> AsyncIterator[list[str]]:
        """Run the block, then wait until the VMM has sent `event` with data[key] in `values`.

        The list it gives holds that value afterwards.
        """
        client = await self._connected()
        seen: list[str] = []
        with client.listener(event) as listener:
            yield seen
            try:
                async with asyncio.timeout(_COMMAND_S):
                    async for message in listener:
                        data = message["data"]
                        if isinstance(data, dict) and data.get(key) in values:
                            seen.append(data[key])
                            return
            except TimeoutError:
                what = f"waiting for {event} of {'/'.join(values)} from {self._name}"
                raise Timeout(what, _COMMAND_S) from None

    async def close(self) -> None:
        """Drop the connection."""
        client, self._client = self._client, None
        if client is not None:
            # Whatever ended it (the VMM's death, mostly) has been or will be reported by the VM.
            with contextlib.suppress(Exception):
                await client.disconnect()

    async def _connected(self) -> "QMPClient":
        async with self._turn:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> "QMPClient":
        from qemu.qmp import QMPClient, QMPError

        client = QMPClient(self._name)
        client.logger.setLevel("CRITICAL")  # what fails is raised, and reported by its caller
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connect_unix(connection, self._path)
            async with asyncio.timeout(_COMMAND_S):
                await client.connect(connection)
        except TimeoutError:
            connection.close()
            raise Timeout(f"connecting to the monitor of {self._name}", _COMMAND_S) from None
        except (QMPError, OSError) as err:
            connection.close()
            raise HypervisorError(f"cannot reach the monitor of {self._name}: {err}") from err
        return client

    async def _run(
        self, client: "QMPClient", command: str, arguments: Mapping[str, object] | None
    ) -> object:
        from qemu.qmp import QMPError

        try:
            async with asyncio.timeout(_COMMAND_S):
                result: object = await client.execute(command, dict(arguments or {}) or None)
                return result
        except TimeoutError:
            raise Timeout(f"{command} of {self._name}", _COMMAND_S) from None
        except (QMPError, OSError) as err:
            raise HypervisorError(f"{command} failed for {self._name}: {err}") from err


async def quit_vmm(path: Path) -> bool:
    """Have the VMM behind a socket end; return, once it has, whether there was one.

    For a VMM of which nothing else is known. Raises Timeout.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connect_unix(connection, path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return False
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        writer.write(b'{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n')
        async with asyncio.timeout(_COMMAND_S):
            while await reader.read(_PIECE_BYTES):  # it closes the socket as the last thing
                pass
    except ConnectionError:
        pass
    except TimeoutError:
        raise Timeout(f"quit at {path}", _COMMAND_S) from None
    finally:
        writer.close()
    return True


def listen_unix(path: Path, mode: int = 0o600) -> socket.socket:
    """Return a socket listening at `path`, which may be longer than sun_path (108 bytes)."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _directory(path) as directory:
            listener.bind(f"{directory}/{path.name}")
        path.chmod(mode)
        listener.listen(16)
    except BaseException:
        listener.close()
        raise
    return listener


def connect_unix(connection: socket.socket, path: Path) -> None:
    """Connect to a unix socket whose path may be longer than sun_path."""
    with _directory(path) as directory:
        connection.connect(f"{directory}/{path.name}")


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[str]:
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
