"""A throw-away container for running commands in, blocking. Its asyncio twin is aio_sandbox.py."""

from collections.abc import Mapping, Sequence
from types import TracebackType

from hyper.core.errors import Timeout
from hyper.sdk.calls import ContainerOptions, Result
from hyper.sdk.client import OUTPUT_LIMIT_BYTES, Client
from hyper.sdk.errors import NotFoundError
from hyper.sdk.exchange import OutputTooLong

_DEFAULTS = ContainerOptions()


class Sandbox:
    """A container of an image for running commands in, gone at the end of the context.

    The image must have `sleep` (or give `keep_alive` another command that does not end).
    """

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
        self._client = Client(host)
        self.id = ""

    def __enter__(self) -> "Sandbox":
        containers = self._client.containers
        options = sandbox_options(self._options)
        try:
            self.id = containers.create(self._image, self._keep_alive, options)
        except NotFoundError:
            if self._client.images.exists(self._image):
                raise
            self._client.images.pull(self._image, options.platform)
            self.id = containers.create(self._image, self._keep_alive, options)
        try:
            containers.start(self.id)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self,
        command: Sequence[str],
        *,
        timeout: float | None = None,
        stdin: bytes | str = b"",
        env: Mapping[str, str] | None = None,
        working_dir: str = "",
        user: str = "",
        output_limit_bytes: int = OUTPUT_LIMIT_BYTES,
    ) -> Result:
        """Run a command; `timeout` counts seconds.

        At a Timeout or OutputTooLong all processes in the sandbox are ended; its files stay.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            return self._client.containers.execute(
                self.id,
                command,
                stdin=data,
                env=env,
                working_dir=working_dir,
                user=user,
                timeout=timeout,
                output_limit_bytes=output_limit_bytes,
            )
        except (Timeout, OutputTooLong):
            self._client.containers.restart(self.id, 0)
            raise

    def put(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Write a file in the sandbox."""
        contents = data.encode() if isinstance(data, str) else data
        self._client.files.put(self.id, path, contents, mode)

    def get(self, path: str) -> bytes:
        """Return the contents of a file in the sandbox."""
        return self._client.files.get(self.id, path)

    def close(self) -> None:
        """Remove the sandbox."""
        try:
            if self.id:
                self._client.containers.remove(self.id, force=True, volumes=True)
        finally:
            self.id = ""
            self._client.close()


def sandbox_options(options: ContainerOptions) -> ContainerOptions:
    """Return the options of a sandbox's container: its command replaces the image's entrypoint."""
    from dataclasses import replace

    return options if options.entrypoint is not None else replace(options, entrypoint=())
