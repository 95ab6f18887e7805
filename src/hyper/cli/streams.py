"""Our stdin, stdout and stderr connected to a process in a container. Knows no API path.

stdin has a thread of its own, so that neither direction waits for the other; the process ends with
os._exit, which does not wait for that thread's read.
"""

import _thread
import os
import stat

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


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`. Raises BrokenPipeError when the reader has gone."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


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
            self._copy()
            if self._close_at_end:
                self._channel.finish()
        except (ConnectionLost, OSError):
            pass  # the container does not read any more; its end is told by the other direction

    def _copy_keys(self, scanner: DetachScanner) -> None:
        while True:
            data = os.read(0, _READ_BYTES)
            if not data:
                return
            self._channel.send(scanner.feed(data))
            if scanner.detached:
                self._channel.abort()
                return

    def _copy(self) -> None:
        mode = os.fstat(0).st_mode
        target = self._channel.fileno()
        if stat.S_ISFIFO(mode):
            while os.splice(0, target, _SPLICE_BYTES):
                pass
        elif stat.S_ISREG(mode):
            while os.sendfile(target, 0, None, _SPLICE_BYTES):
                pass
        else:
            while data := os.read(0, _READ_BYTES):
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
