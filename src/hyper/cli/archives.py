"""Tar archives between the daemon and our files, in pieces. Looks into none."""

import os

from hyper.cli.command import CommandFailed
from hyper.cli.flags import TEXT, Flag
from hyper.cli.streams import write_all
from hyper.sdk.transport import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PIECE_BYTES = 1 << 20
FILE_FLAG = Flag("output", TEXT, "Write to a file, instead of STDOUT", short="o")


def read_pieces(path: str) -> "Iterator[bytes]":
    """Return the contents of a file, of stdin for "". Raises CommandFailed at once."""
    descriptor = 0
    if path:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            raise CommandFailed(f"open {path}: {(err.strerror or str(err)).lower()}") from err
    return _pieces(descriptor)


def _pieces(descriptor: int) -> "Iterator[bytes]":
    try:
        while data := os.read(descriptor, _PIECE_BYTES):
            yield data
    finally:
        if descriptor:
            os.close(descriptor)


def save_stream(path: str, fetch: "Callable[[], Response]", what: str) -> None:
    """Write an answer's body, `what` it is, to a new file, or to stdout when `path` is "".

    The file appears when it is complete. Raises CommandFailed, ApiError, ConnectionLost.
    """
    if not path:
        if os.isatty(1):
            raise CommandFailed(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect"
            )
        for piece in fetch().pieces():
            write_all(1, piece)
        return
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise CommandFailed(
            f"failed to {what}: invalid output path: stat {directory}: no such file or directory"
        )
    if os.path.exists(path) and not os.path.isfile(path):
        _save_to(path, fetch)
        return
    temporary = f"{path}.hyper-{os.getpid()}"
    try:
        _save_to(temporary, fetch)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _save_to(path: str, fetch: "Callable[[], Response]") -> None:
    response = fetch()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for piece in response.pieces():
                write_all(descriptor, piece)
        finally:
            os.close(descriptor)
    except OSError as err:
        raise CommandFailed(f"{path}: {(err.strerror or str(err)).lower()}") from err
