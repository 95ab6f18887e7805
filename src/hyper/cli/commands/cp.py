"""hyper cp: files between a container and this machine.

The rules of what lands where are docker's (moby pkg/archive/copy.go); see "docker cp" in its docs.
"""

import os
import sys

from hyper.cli.archives import read_pieces
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import container_path
from hyper.cli.flags import BOOL, Flag
from hyper.sdk import answers, jsontext
from hyper.sdk.errors import NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_STAT_HEADER = "x-docker-container-path-stat"
_GO_DIRECTORY = 1 << 31  # io/fs ModeDir
_GO_SYMLINK = 1 << 27  # io/fs ModeSymlink


def copy(call: Invocation) -> int:
    """Copy from or to a container; - is a tar archive on stdin or stdout."""
    for word, what in zip(call.arguments, ("source", "destination"), strict=True):
        if not word:
            raise CommandFailed(f"{what} can not be empty")
    source_container, source = _split(call.arguments[0])
    target_container, target = _split(call.arguments[1])
    if source_container and target_container:
        raise CommandFailed("copying between containers is not supported")
    if not source_container and not target_container:
        raise CommandFailed("must specify at least one container source")
    if source_container:
        return _copy_out(call, source_container, source, target)
    return _copy_in(call, source, target_container, target)


def _split(word: str) -> tuple[str, str]:
    """Return (container, path); the container is "" for a path on this machine."""
    container, separator, path = word.partition(":")
    if word.startswith(("/", ".")) or not separator or container.startswith("."):
        return "", word
    return container, path


def _copy_out(call: Invocation, container: str, source: str, target: str) -> int:
    path = source
    if call.options.on("follow-link"):
        path = _follow(call, container, path)
    response = call.daemon.open("GET", container_path(container, "/archive"), {"path": path})
    if target == "-":
        from hyper.cli.streams import write_all

        for piece in response.pieces():
            write_all(1, piece)
        return 0
    found = _decode_stat(response.headers.get(_STAT_HEADER, ""))
    from hyper.sdk.tars import unpack

    directory, rename = _place(path, found, target)
    try:
        count = unpack(response.pieces(), directory, rename, call.options.on("archive"))
    except OSError as err:
        raise CommandFailed(f"{err.filename}: {(err.strerror or str(err)).lower()}") from err
    _tell(call, count, target)
    return 0


def _place(source: str, found: dict[str, object], target: str) -> "tuple[str, _Rename]":
    """Return the directory to unpack in, and the new names of the archive's members."""
    is_directory = bool(answers.number(found, "mode") & _GO_DIRECTORY)
    contents_only = source.endswith("/.")
    root = answers.text(found, "name") or os.path.basename(source.rstrip("/")) or "/"
    if os.path.isdir(target):
        return target, _Rename(root, "" if contents_only else None)
    if is_directory:
        if os.path.exists(target):
            raise CommandFailed("cannot copy directory")
        parent = os.path.dirname(target.rstrip("/")) or "."
        _check_parent(parent)
        return parent, _Rename(root, os.path.basename(target.rstrip("/")))
    if target.endswith("/"):
        raise CommandFailed("no such directory")
    parent = os.path.dirname(target) or "."
    _check_parent(parent)
    return parent, _Rename(root, os.path.basename(target))


def _check_parent(parent: str) -> None:
    if not os.path.isdir(parent):
        shown = os.path.abspath(parent)
        raise CommandFailed(f'invalid output path: directory "{shown}" does not exist')


class _Rename:
    """Gives an archive's root another name: None keeps it, "" leaves it out."""

    def __init__(self, root: str, name: str | None) -> None:
        self._root = root.strip("/")
        self._name = name

    def __call__(self, member: str) -> str:
        if self._name is None:
            return member
        first, separator, rest = member.strip("/").removeprefix("./").partition("/")
        if first != self._root:
            return member if not self._name else f"{self._name}/{member}"
        return f"{self._name}{separator}{rest}".strip("/") if self._name else rest


def _copy_in(call: Invocation, source: str, container: str, target: str) -> int:
    keep = call.options.on("archive")
    directory, name = target, ""
    if not target:
        raise CommandFailed("no such directory")
    if source == "-":
        found = _stat(call, container, directory)
        if found is None or not answers.number(found, "mode") & _GO_DIRECTORY:
            raise CommandFailed(f'destination "{container}:{target}" must be a directory')
        pieces: Iterator[bytes] = read_pieces("")
    else:
        if call.options.on("follow-link"):
            source = os.path.realpath(source)
        if not os.path.lexists(source.rstrip("/") or "/"):
            raise CommandFailed(f"lstat {os.path.abspath(source)}: no such file or directory")
        directory, name = _place_inside(call, source, container, target)
        from hyper.sdk.tars import pack

        # docker sends owners as they are; -a gives all to the container's user.
        pieces = pack(source, name, keep_owner=True)
    counter = _Counter(pieces)
    query = {"path": directory, "noOverwriteDirNonDir": True, "copyUIDGID": keep}
    try:
        response = call.daemon.open(
            "PUT", container_path(container, "/archive"), query, counter.pieces()
        )
    except OSError as err:
        raise CommandFailed(f"{err.filename}: {(err.strerror or str(err)).lower()}") from err
    response.read()
    _tell(call, counter.count, f"{container}:{target}")
    return 0


def _place_inside(call: Invocation, source: str, container: str, target: str) -> tuple[str, str]:
    """Return the directory in the container to unpack in, and the name of `source` there."""
    found = _stat(call, container, target)
    is_directory = os.path.isdir(source)
    base = os.path.basename(os.path.abspath(source))
    if found is not None and answers.number(found, "mode") & _GO_SYMLINK:
        target = _follow(call, container, target)
        found = _stat(call, container, target)
    if found is not None and answers.number(found, "mode") & _GO_DIRECTORY:
        if source.endswith("/.") or source == ".":
            return target, "."
        return target, base
    if found is not None and is_directory:
        raise CommandFailed("cannot copy directory")
    if found is None and target.endswith("/") and not is_directory:
        raise CommandFailed("no such directory")
    stripped = target.rstrip("/")
    return os.path.dirname(stripped) or "/", os.path.basename(stripped)


def _stat(call: Invocation, container: str, path: str) -> dict[str, object] | None:
    """Return what `path` is in the container, None when it is not there."""
    try:
        response = call.daemon.open("HEAD", container_path(container, "/archive"), {"path": path})
    except NotFoundError:
        call.daemon.call("GET", container_path(container, "/json"))  # raises if it is that
        return None
    response.close()
    return _decode_stat(response.headers.get(_STAT_HEADER, ""))


def _follow(call: Invocation, container: str, path: str) -> str:
    found = _stat(call, container, path) or {}
    link = answers.text(found, "linkTarget")
    if not link or not answers.number(found, "mode") & _GO_SYMLINK:
        return path
    return link if link.startswith("/") else os.path.join(os.path.dirname(path), link)


def _decode_stat(text: str) -> dict[str, object]:
    if not text:
        return {}
    import binascii

    return answers.mapping(jsontext.loads(binascii.a2b_base64(text)))


class _Counter:
    """Pieces on their way, counted."""

    def __init__(self, source: "Iterator[bytes]") -> None:
        self._source = source
        self.count = 0

    def pieces(self) -> "Iterator[bytes]":
        for piece in self._source:
            self.count += len(piece)
            yield piece


def _tell(call: Invocation, count: int, target: str) -> None:
    if call.options.on("quiet") or not os.isatty(2):
        return
    from hyper.core.units import human_size

    print(f"Successfully copied {human_size(count)} to {target}", file=sys.stderr)


COMMAND = Command(
    copy,
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\thyper cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    minimum=2,
    maximum=2,
    names="container",
    description="Copy files/folders between a container and the local filesystem\n\n"
    "Use '-' as the source to read a tar archive from stdin\n"
    "and extract it to a directory destination in a container.\n"
    "Use '-' as the destination to stream a tar archive of a\n"
    "container source to stdout.",
    flags=(
        Flag("archive", BOOL, "Archive mode (copy all uid/gid information)", short="a"),
        Flag("follow-link", BOOL, "Always follow symbol link in SRC_PATH", short="L"),
        Flag("quiet", BOOL, "Suppress progress output during copy", short="q"),
    ),
)
