"""Owns what is done with a container's files from outside: cp, diff, export, commit.

Messages are Docker's. Where the work is done is visits.py's; how, jobs.py's and the guest's.
"""

import errno
import posixpath
import stat as modes
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from hyper.agent import messages as guest
from hyper.core.errors import (
    Conflict,
    Failure,
    Forbidden,
    GuestError,
    HyperError,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from hyper.engine import lifecycle
from hyper.engine.container import Container
from hyper.engine.events import image_event
from hyper.engine.jobs import Job, job
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods, find_container
from hyper.engine.services import Services
from hyper.engine.states import ContainerState
from hyper.engine.visits import files_of
from hyper.images import repack
from hyper.images.build import Change
from hyper.images.catalog import Image
from hyper.images.reference import parse

CHANGES_MAX_BYTES = 256 << 20
_PATH_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileStat:
    """What is at a path; `mode` is st_mode, `link_target` where a link leads in the end."""

    name: str
    size_bytes: int
    mode: int
    mtime_ns: int
    link_target: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A path that differs from the image; `kind` is C, A or D."""

    kind: str
    path: str


class Files:
    """The files of all containers."""

    def __init__(self, services: Services, pods: Pods) -> None:
        self._services = services
        self._pods = pods

    async def stat(self, reference: str, path: str) -> FileStat:
        """Say what is at a path of a container. Raises NotFound, InvalidArgument, Conflict."""
        pod, container = find_container(self._pods, reference)
        async with self._machine(pod, container) as machine:
            return await _stat(machine, container, reference, _absolute(path))

    @asynccontextmanager
    async def archive(
        self, reference: str, path: str
    ) -> AsyncIterator[tuple[FileStat, AsyncIterator[bytes]]]:
        """Give what is at a path of a container, and a tar archive of it, for the block.

        Raises NotFound, InvalidArgument, Conflict.
        """
        pod, container = find_container(self._pods, reference)
        whole = _absolute(path)
        async with self._machine(pod, container) as machine:
            found = await _stat(machine, container, reference, whole)
            request = partial(_archive_read, container.id, whole, found.name, True)
            async with _job(machine, container, reference, whole, request) as reading:
                await self._tell(container, "archive-path")
                yield found, reading.output()

    async def extract(
        self,
        reference: str,
        path: str,
        archive: AsyncIterator[bytes],
        *,
        keep_kinds: bool,
        own: bool,
    ) -> None:
        """Unpack a tar archive, compressed or not, into a directory of a container.

        `keep_kinds` refuses to replace a directory by something else and the other way round; `own`
        gives everything to the container's user. Raises NotFound, InvalidArgument, Forbidden where
        the place is read-only, Conflict.
        """
        pod, container = find_container(self._pods, reference)
        whole = _absolute(path)
        owner = container.row.command.user if own else ""

        def request(process_id: int) -> guest.Message:
            return guest.ArchiveWrite(container.id, process_id, whole, keep_kinds, owner)

        async with (
            self._machine(pod, container) as machine,
            _job(machine, container, reference, whole, request, takes_input=True) as writing,
        ):
            try:
                await writing.feed(lambda write: repack.repack(archive, write))
            except GuestError as err:
                raise _unpack_error(err, whole) from err
        await self._tell(container, "extract-to-dir")

    async def changes(self, reference: str) -> list[FileChange]:
        """Return what a container changed of its image's files, as docker diff lists it."""
        pod, container = find_container(self._pods, reference)
        async with (
            self._machine(pod, container) as machine,
            job(machine, container.id, partial(guest.ChangesRead, container.id)) as listing,
        ):
            return await _read_changes(listing.output())

    @asynccontextmanager
    async def export(self, reference: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give a tar archive of a container's whole root, without its volumes, for the block."""
        pod, container = find_container(self._pods, reference)
        _check_present(container, "export")
        request = partial(_archive_read, container.id, "/", "", False)
        async with (
            self._machine(pod, container) as machine,
            job(machine, container.id, request) as reading,
        ):
            await self._tell(container, "export")
            yield reading.output()

    async def commit(
        self,
        reference: str,
        name: str,
        configure: Callable[[dict[str, object]], None],
        *,
        comment: str = "",
        author: str = "",
        pause: bool = True,
    ) -> Image:
        """Make an image of what a container has become; `configure` makes its config object.

        A running container is paused meanwhile, if asked. Raises Conflict, InvalidArgument.
        """
        pod, container = find_container(self._pods, reference)
        _check_present(container, "commit")
        change = Change(
            configure,
            comment=comment,
            author=author,
            created_by=" ".join(container.row.command.command),
        )
        familiar = parse(name).tagged().familiar() if name else ""
        async with (
            _paused(pod, container, pause),
            self._machine(pod, container) as machine,
            job(machine, container.id, partial(guest.LayerRead, container.id)) as reading,
        ):
            layer = await _unless_empty(reading.output())
            image = await self._services.images.create(
                layer, change, base=container.spec.image_id, name=name
            )
            named = {"imageRef": familiar} if name else {}
            done = container.event("commit", comment=comment, imageID=image.id, **named)
            tagged = image_event("tag", image.id, familiar, image.config.labels)
            await self._services.tell(*((tagged,) if name else ()), done)
        return image

    @asynccontextmanager
    async def _machine(self, pod: Pod, container: Container) -> AsyncIterator[Machine]:
        async with files_of(pod, container, partial(lifecycle.watch, pod)) as machine:
            machine.agent.check_going()
            yield machine

    async def _tell(self, container: Container, action: str, **attributes: str) -> None:
        await self._services.tell(container.event(action, **attributes))


# --- paths and archives ---------------------------------------------------------------------------


def _absolute(path: str) -> str:
    """Return a path as the guest takes it: absolute and clean, with the end / or /. it had."""
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    if "\0" in path or len(path.encode("utf-8", "replace")) > _PATH_MAX_BYTES:
        raise InvalidArgument("bad parameter: path is not one")
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if posixpath.basename(path.rstrip("/")) == ".":
        return clean.rstrip("/") + "/."
    return clean.rstrip("/") + "/" if path.endswith("/") else clean


def _base_name(path: str) -> str:
    """Return the last component as Go's filepath.Base does: that of / is /."""
    return posixpath.basename(path.rstrip("/")) or "/"


def _archive_read(
    container_id: str, path: str, name: str, volumes: bool, process_id: int
) -> guest.Message:
    return guest.ArchiveRead(container_id, process_id, path, name, volumes)


@asynccontextmanager
async def _job(
    machine: Machine,
    container: Container,
    reference: str,
    path: str,
    request: Callable[[int], guest.Message],
    takes_input: bool = False,
) -> AsyncIterator[Job]:
    """Run a job about a path; what is wrong with the path is said as Docker says it."""
    try:
        entered = job(machine, container.id, request, takes_input=takes_input)
        running = await entered.__aenter__()
    except GuestError as err:
        raise _path_error(err, reference, path, takes_input) from err
    try:
        yield running
    except BaseException as err:
        if not await entered.__aexit__(type(err), err, err.__traceback__):
            raise
    else:
        await entered.__aexit__(None, None, None)


def _path_error(err: GuestError, reference: str, path: str, directory: bool) -> HyperError:
    if err.step == "rootfs":
        return Forbidden("container rootfs is marked read-only")
    if err.step == "volume" and err.errno == errno.EROFS:
        return Forbidden("mounted volume is marked read-only")
    if err.step in ("user", "group"):
        return InvalidArgument(str(err))
    if err.step != "path":
        return err
    if err.errno == errno.ENOENT:
        return NotFound("file", path, reference)
    if err.errno == errno.ENOTDIR:
        reason = "extraction point is not a directory" if directory else f"{path}: not a directory"
        return InvalidArgument(reason)
    return InvalidArgument(str(err))


def _unpack_error(err: GuestError, directory: str) -> HyperError:
    """Return what a client is told when an archive could not be unpacked."""
    if err.errno == errno.EEXIST and err.step in ("directory", "non-directory"):
        other = "non-directory" if err.step == "directory" else "directory"
        place = posixpath.join(directory, err.subject)
        return InvalidArgument(f'cannot overwrite {err.step} "{place}" with {other} "{directory}"')
    if err.step == "archive":
        return InvalidArgument(str(err))
    return err


async def _stat(machine: Machine, container: Container, reference: str, path: str) -> FileStat:
    def request(process_id: int) -> guest.Message:
        return guest.FileStat(container.id, process_id, path)

    async with _job(machine, container, reference, path, request) as asked:
        answer = bytearray()
        async for data in asked.output():
            answer += data
            if len(answer) > _PATH_MAX_BYTES:
                raise Failure("the guest's answer about a file is too long")
    try:
        found = guest.decode(guest.FileStatus.TYPE, bytes(answer))
    except guest.ProtocolError as err:
        raise Failure(f"the guest's answer about {path} is malformed: {err}") from err
    assert isinstance(found, guest.FileStatus)
    return FileStat(
        _base_name(path),
        found.size_bytes,
        found.mode,
        found.mtime_s * 1_000_000_000 + found.mtime_ns,
        found.link_target.decode("utf-8", "replace") if modes.S_ISLNK(found.mode) else "",
    )


# --- changes and commits --------------------------------------------------------------------------


async def _read_changes(output: AsyncIterator[bytes]) -> list[FileChange]:
    """Read the guest's list. Raises Failure when it is malformed or too long."""
    found: list[FileChange] = []
    rest = b""
    size = 0
    async for data in output:
        size += len(data)
        if size > CHANGES_MAX_BYTES:
            raise Failure("the list of the container's changes is too long")
        *entries, rest = (rest + data).split(b"\0")
        for entry in entries:
            if entry[:1] not in (b"A", b"C", b"D") or entry[1:2] != b"/":
                raise Failure("the guest's list of changes is malformed")
            found.append(FileChange(chr(entry[0]), entry[1:].decode("utf-8", "replace")))
    if rest:
        raise Failure("the guest's list of changes is cut off")
    return found


async def _unless_empty(output: AsyncIterator[bytes]) -> AsyncIterator[bytes] | None:
    """Return an archive's bytes, None when there is nothing in it."""
    start = b""
    async for data in output:
        start += data
        if len(start) >= 512:
            break
    if not any(start[:512]):
        return None

    async def whole() -> AsyncIterator[bytes]:
        yield start
        async for data in output:
            yield data

    return whole()


@asynccontextmanager
async def _paused(pod: Pod, container: Container, wanted: bool) -> AsyncIterator[None]:
    """Hold a running container still for the block."""
    if not wanted or container.status.state is not ContainerState.RUNNING:
        yield
        return
    try:
        await pod.supervisor.call(lambda: pod.set_paused(container, True))
    except Conflict:  # it ended meanwhile, or somebody else holds it
        yield
        return
    try:
        yield
    finally:
        await pod.supervisor.call(partial(_thaw, pod, container))


async def _thaw(pod: Pod, container: Container) -> None:
    if container.status.state is not ContainerState.PAUSED:
        return  # it was ended, or thawed by somebody else
    try:
        await pod.set_paused(container, False)
    except Unavailable as err:
        pod.log.warning("container %s stays paused: %s", container.id[:12], err)


def _check_present(container: Container, verb: str) -> None:
    if container.status.state is ContainerState.DEAD:
        raise Conflict(f"You cannot {verb} container {container.id} which is Dead")
    if container.status.state is ContainerState.REMOVING:
        raise Conflict(f"You cannot {verb} container {container.id} which is being removed")
