"""The blocking client: containers, images, volumes and pods of a daemon. Builds no request itself.

asyncio's twin is aio.py; what they send is in calls.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from hyper.sdk import answers, calls
from hyper.sdk.address import resolve
from hyper.sdk.calls import Call, ContainerOptions, Json, Objects, Result
from hyper.sdk.daemon import Daemon
from hyper.sdk.errors import ApiError
from hyper.sdk.exchange import exchange
from hyper.sdk.frames import FrameDecoder
from hyper.sdk.http1 import path_of
from hyper.sdk.tars import PieceReader, pack_bytes

T = TypeVar("T")
OUTPUT_LIMIT_BYTES = 256 * 1024 * 1024
_DEFAULTS = ContainerOptions()


def _send(daemon: Daemon, call: Call[T]) -> T:
    return call.read(daemon.call(call.method, call.path, call.query, call.body))


class Containers:
    """The containers of a daemon. Every method may raise ApiError and DaemonUnavailable."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def create(
        self, image: str, command: Sequence[str] = (), options: ContainerOptions = _DEFAULTS
    ) -> str:
        """Create a container, return its id."""
        return _send(self._daemon, calls.container_create(image, command, options))

    def list(self, *, all: bool = False) -> Objects:
        """List running containers, or all, as Docker's ContainerSummary."""
        return _send(self._daemon, calls.container_list(all))

    def inspect(self, name: str) -> Json:
        """Return all that is known of a container."""
        return _send(self._daemon, calls.container_inspect(name))

    def start(self, name: str) -> None:
        """Start a container."""
        _send(self._daemon, calls.container_start(name))

    def stop(self, name: str, timeout_s: int | None = None) -> None:
        """Stop a container; it is killed after `timeout_s`."""
        _send(self._daemon, calls.container_stop(name, timeout_s))

    def restart(self, name: str, timeout_s: int | None = None) -> None:
        """Stop and start a container."""
        _send(self._daemon, calls.container_restart(name, timeout_s))

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal to a container."""
        _send(self._daemon, calls.container_kill(name, signal))

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container, with `volumes` its anonymous ones too."""
        _send(self._daemon, calls.container_remove(name, force, volumes))

    def wait(self, name: str) -> int:
        """Wait for a container's end, return its exit status."""
        return _send(self._daemon, calls.container_wait(name))

    def logs(self, name: str, *, follow: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield (1 or 2, bytes): a container's stdout and stderr so far, or as they come."""
        query = {"stdout": 1, "stderr": 1, "follow": follow}
        response = self._daemon.open("GET", calls.container(name, "/logs"), query)
        raw = "raw-stream" in response.headers.get("content-type", "")
        decoder = FrameDecoder()
        try:
            for piece in response.pieces():
                yield from [(1, piece)] if raw else decoder.feed(piece)
        finally:
            response.close()

    def execute(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        working_dir: str = "",
        user: str = "",
        timeout: float | None = None,
        output_limit_bytes: int = OUTPUT_LIMIT_BYTES,
    ) -> Result:
        """Run another process in a running container; `timeout` counts seconds.

        Raises Timeout (the process is then left alone), OutputTooLong.
        """
        call = calls.exec_create(name, command, env or {}, working_dir, user, bool(stdin))
        identifier = _send(self._daemon, call)
        response = self._daemon.hijack(f"/exec/{identifier}/start", None, {"Detach": False})
        channel = response.hijack()
        try:
            stdout, stderr = exchange(channel, stdin, timeout, output_limit_bytes)
        finally:
            channel.close()
        return Result(stdout, stderr, _send(self._daemon, calls.exec_exit_code(identifier)))


def only_file(pieces: Iterator[bytes], path: str) -> bytes:
    """Return the contents of the one file in an archive. Raises ApiError when it is none."""
    import tarfile

    reader = PieceReader(pieces)
    with tarfile.open(fileobj=reader, mode="r|") as archive:  # type: ignore[call-overload]
        member = archive.next()
        source = archive.extractfile(member) if member and member.isreg() else None
        if source is None:
            raise ApiError(400, f"{path} is not a regular file")
        data: bytes = source.read()
        return data


class Files:
    """Files in containers, running or not."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def put(self, container: str, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in a container. Its directory must exist."""
        directory, _, base = path.rpartition("/")
        response = self._daemon.open(
            "PUT",
            calls.container(container, "/archive"),
            {"path": directory or "/"},
            pack_bytes(base, data, mode),
        )
        response.close()

    def get(self, container: str, path: str) -> bytes:
        """Return the contents of a file in a container."""
        response = self._daemon.open("GET", calls.container(container, "/archive"), {"path": path})
        try:
            return only_file(response.pieces(), path)
        finally:
            response.close()


class Images:
    """The images of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def list(self) -> Objects:
        """List images, as Docker's ImageSummary."""
        return _send(self._daemon, calls.image_list())

    def inspect(self, name: str) -> Json:
        """Return all that is known of an image."""
        return _send(self._daemon, calls.image_inspect(name))

    def exists(self, name: str) -> bool:
        """Return whether the image is there without pulling."""
        return self._daemon.exists(path_of("images", name, "/json"))

    def pull(self, reference: str, platform: str = "") -> Json:
        """Pull an image and return what inspect does. Raises ApiError."""
        query = calls.image_pull_query(reference, platform)
        response = self._daemon.open("POST", "/images/create", query)
        check_messages(response.json_stream())
        response.close()
        return self.inspect(reference)

    def load(self, archive: Iterable[bytes]) -> None:
        """Load the images of a `docker save` archive, given in pieces."""
        response = self._daemon.open("POST", "/images/load", {"quiet": 1}, archive)
        check_messages(response.json_stream())
        response.close()

    def tag(self, name: str, repository: str, tag: str = "latest") -> None:
        """Give an image another name."""
        _send(self._daemon, calls.image_tag(name, repository, tag))

    def remove(self, name: str, *, force: bool = False) -> Objects:
        """Remove an image; return what was untagged and deleted."""
        return _send(self._daemon, calls.image_remove(name, force))


def check_messages(messages: Iterable[object]) -> None:
    """Read a stream of progress messages. Raises ApiError at the message of an error."""
    for message in messages:
        check_message(message)


def check_message(message: object) -> None:
    """Raise ApiError when a progress message tells an error."""
    error = answers.text(message, "error") or answers.text(message, "errorDetail", "message")
    if error:
        raise ApiError(500, error)


class Volumes:
    """The volumes of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def list(self) -> Objects:
        """List volumes."""
        return _send(self._daemon, calls.volume_list())

    def create(self, name: str = "", labels: Mapping[str, str] | None = None) -> Json:
        """Create a volume; without a name it is anonymous."""
        return _send(self._daemon, calls.volume_create(name, labels or {}))

    def inspect(self, name: str) -> Json:
        """Return all that is known of a volume."""
        return _send(self._daemon, calls.volume_inspect(name))

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume."""
        _send(self._daemon, calls.volume_remove(name, force))


class Pods:
    """The pods of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def list(self) -> Objects:
        """List pods."""
        return _send(self._daemon, calls.pod_list())

    def inspect(self, name: str) -> Json:
        """Return all that is known of a pod."""
        return _send(self._daemon, calls.pod_inspect(name))


class Client:
    """A daemon's blocking client; not for several threads at once.

    Without `host` it is the one `hyper` would use, started when it does not run (unless `start` is
    False).
    """

    def __init__(self, host: str = "", *, start: bool = True) -> None:
        self._daemon = Daemon(resolve(host), start)
        self.containers = Containers(self._daemon)
        self.files = Files(self._daemon)
        self.images = Images(self._daemon)
        self.volumes = Volumes(self._daemon)
        self.pods = Pods(self._daemon)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def version(self) -> Json:
        """Return the daemon's version."""
        return _send(self._daemon, calls.version())

    def info(self) -> Json:
        """Return the daemon's information."""
        return _send(self._daemon, calls.info())

    def close(self) -> None:
        """Close the connection."""
        self._daemon.close()
