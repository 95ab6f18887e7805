"""Our stdin, stdout and stderr connected to a process in a container. Knows no API path.

stdin has a thread of its own, so that neither direction waits for the other; the process ends with
os._exit, which does not wait for that thread's read.
"""

import _thread
import os
import stat

from hyper.cli.command import CommandFailed
from hyper.cli.terminal import DetachScanner
from hyper.sdk import frames
from hyper.sdk.errors import ConnectionLost
from hyper.sdk.transport import Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hyper.cli.signals import SignalProxy

_READ_BYTES = 64 * 1024
_SPLICE_BYTES = 1 << 20
_POLLIN, _POLLOUT = 1, 4  # poll(2)
_NAMES = {1: "/dev/stdout", 2: "/dev/stderr"}


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`. Raises BrokenPipeError when the reader has gone, CommandFailed when our
    stdout or stderr takes no more.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            _until(descriptor, _POLLOUT)
        except BrokenPipeError:
            raise
        except OSError as err:
            if descriptor not in _NAMES:
                raise
            reason = os.strerror(err.errno or 0).lower()
            raise CommandFailed(f"write {_NAMES[descriptor]}: {reason}") from err


def _until(descriptor: int, events: int) -> None:
    """Wait where somebody who shares the file with us has set O_NONBLOCK on it."""
    import select

    poller = select.poll()
    poller.register(descriptor, events)
    poller.poll()


def _read_input() -> bytes:
    while True:
        try:
            return os.read(0, _READ_BYTES)
        except BlockingIOError:
            _until(0, _POLLIN)


class InputPump:
    """Sends our stdin to the container, in a thread; half-closes at its end."""

    __slots__ = ("_channel", "_close_at_end", "_scanner")

    def __init__(self, channel: Socket, detach_keys: bytes, tty: bool) -> None:
        self._channel = channel
        self._scanner = DetachScanner(detach_keys) if tty and detach_keys else None
        self._close_at_end = not tty

    @property
    def detached(self) -> bool:
        """Whether the user typed the detach keys."""
        return self._scanner is not None and self._scanner.detached

    def start(self) -> None:
        """Begin; there is no stop but the end of the process or of the stream."""
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            if self._scanner is not None:
                self._copy_keys(self._scanner)
                return
            try:
                self._copy()
            except OSError:
                pass  # a stdin that cannot be read has ended, as for docker
            if self._close_at_end:
                self._channel.finish()
        except (ConnectionLost, OSError):
            pass  # the container does not read any more; its end is told by the other direction

    def _copy_keys(self, scanner: DetachScanner) -> None:
        while True:
            data = _read_input()
            if not data:
                return
            self._channel.send(scanner.feed(data))
            if scanner.detached:
                self._channel.abort()
                return

    def _copy(self) -> None:
        mode = os.fstat(0).st_mode
        target = self._channel.fileno()
        try:
            if stat.S_ISFIFO(mode):
                while os.splice(0, target, _SPLICE_BYTES):
                    pass
                return
            if stat.S_ISREG(mode):
                while os.sendfile(target, 0, None, _SPLICE_BYTES):
                    pass
                return
        except BlockingIOError:
            pass  # O_NONBLOCK: it does not say which of the two it would wait for
        while data := _read_input():
            self._channel.send(data)


def _pieces(channel: Socket, signals: "SignalProxy | None") -> "Iterator[bytes]":
    while True:
        if signals is not None:
            signals.until_readable(channel)
        data = channel.receive()
        if not data:
            return
        yield data


def copy_frames(
    channel: Socket,
    on_control: "Callable[[bytes], None] | None" = None,
    signals: "SignalProxy | None" = None,
) -> None:
    """Write a multiplexed stream to stdout and stderr until it ends; `signals` are handled
    meanwhile. Raises ConnectionLost.
    """
    decoder = frames.FrameDecoder()
    for data in _pieces(channel, signals):
        put_frames(decoder, data, on_control)


def put_frames(
    decoder: frames.FrameDecoder, data: bytes, on_control: "Callable[[bytes], None] | None" = None
) -> None:
    """Write the frames in `data` to stdout and stderr; control messages go to `on_control`."""
    for stream, piece in decoder.feed(data):
        if stream == frames.CONTROL and on_control:
            on_control(piece)
        elif stream == frames.SYSTEM_ERROR:
            raise ConnectionLost(piece.decode("utf-8", "replace").strip())
        elif piece:
            write_all(2 if stream == frames.STDERR else 1, piece)


def copy_raw(channel: Socket, signals: "SignalProxy | None" = None) -> None:
    """Write a raw stream (a terminal's) to stdout until it ends; `signals` are handled meanwhile.
    Raises ConnectionLost.
    """
    for data in _pieces(channel, signals):
        write_all(1, data)
