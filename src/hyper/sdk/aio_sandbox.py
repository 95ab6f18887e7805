"""A throw-away container for running commands in, for asyncio; twin of sandbox.py."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType

from hyper.core.errors import Timeout
from hyper.sdk.aio import AsyncClient
from hyper.sdk.calls import ContainerOptions, Result
from hyper.sdk.errors import NotFoundError
from hyper.sdk.exchange import OutputTooLong
from hyper.sdk.sandbox import sandbox_options

_DEFAULTS = ContainerOptions()


class AsyncSandbox:
    """A container of an image for running commands in; see sandbox.Sandbox."""

    def __init__(
        self,
        image: str,
        *,
        options: ContainerOptions = _DEFAULTS,
        host: str = "",
        keep_alive: Sequence[str] = ("sleep", "infinity"),
    ) -> None:
        self._image = image
        self._options = options
        self._keep_alive = keep_alive
        self._client = AsyncClient(host)
        self.id = ""

    async def __aenter__(self) -> "AsyncSandbox":
        client, options = self._client, sandbox_options(self._options)
        try:
            self.id = await client.containers.create(self._image, self._keep_alive, options)
        except NotFoundError:
            if await client.images.exists(self._image):
                raise
            await client.images.pull(self._image, options.platform)
            self.id = await client.containers.create(self._image, self._keep_alive, options)
        try:
            await client.containers.start(self.id)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def run(
        self,
        command: Sequence[str],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 (more than cancelling: it ends processes)
        stdin: bytes | str = b"",
        env: Mapping[str, str] | None = None,
        working_dir: str = "",
        user: str = "",
    ) -> Result:
        """Run a command; `timeout` counts seconds.

        At a Timeout or OutputTooLong all processes in the sandbox are ended; its files stay.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        containers = self._client.containers
        try:
            async with asyncio.timeout(timeout):
                return await containers.execute(
                    self.id, command, stdin=data, env=env, working_dir=working_dir, user=user
                )
        except TimeoutError as err:
            await containers.restart(self.id, 0)
            raise Timeout("the process", timeout or 0) from err
        except OutputTooLong:
            await containers.restart(self.id, 0)
            raise

    async def put(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Write a file in the sandbox."""
        contents = data.encode() if isinstance(data, str) else data
        await self._client.files.put(self.id, path, contents, mode)

    async def get(self, path: str) -> bytes:
        """Return the contents of a file in the sandbox."""
        return await self._client.files.get(self.id, path)

    async def close(self) -> None:
        """Remove the sandbox."""
        identifier, self.id = self.id, ""
        if identifier:
            await self._client.containers.remove(identifier, force=True, volumes=True)
