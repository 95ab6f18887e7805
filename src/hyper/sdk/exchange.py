"""One process's streams over a hijacked connection: all of stdin in, all of stdout and stderr out.

Blocking, with a deadline and a limit; for the SDK, not for terminals.
"""

import select
import time

from hyper.core.errors import Timeout
from hyper.sdk.errors import ConnectionLost
from hyper.sdk.frames import STDERR, STDOUT, SYSTEM_ERROR, FrameDecoder
from hyper.sdk.transport import Socket

_SEND_BYTES = 256 * 1024


class OutputTooLong(ConnectionLost):
    """A process printed more than the caller was willing to keep."""


class Collector:
    """Keeps what a process prints, up to a limit; shared by both clients."""

    def __init__(self, limit_bytes: int) -> None:
        self._decoder = FrameDecoder()
        self._limit_bytes = limit_bytes
        self._size = 0
        self.parts: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}

    def feed(self, data: bytes) -> None:
        """Take bytes of a multiplexed stream. Raises OutputTooLong, ConnectionLost."""
        for stream, piece in self._decoder.feed(data):
            if stream == SYSTEM_ERROR:
                raise ConnectionLost(piece.decode("utf-8", "replace").strip())
            self._size += len(piece)
            if self._size > self._limit_bytes:
                raise OutputTooLong(f"the process printed more than {self._limit_bytes} bytes")
            self.parts.setdefault(stream, []).append(piece)

    def output(self) -> tuple[bytes, bytes]:
        """Return (stdout, stderr)."""
        return b"".join(self.parts[STDOUT]), b"".join(self.parts[STDERR])


def exchange(
    channel: Socket, stdin: bytes, timeout_s: float | None, limit_bytes: int
) -> tuple[bytes, bytes]:
    """Send `stdin`, return (stdout, stderr) when the stream ends.

    Raises Timeout, OutputTooLong, ConnectionLost.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    collector = Collector(limit_bytes)
    poller = select.poll()
    rest = memoryview(stdin)
    if not rest:
        channel.finish()
    poller.register(channel.fileno(), select.POLLIN | (select.POLLOUT if rest else 0))
    channel.set_timeout(0)
    while True:
        left_s = None if deadline is None else deadline - time.monotonic()
        if left_s is not None and left_s <= 0:
            raise Timeout("the process", timeout_s or 0)
        ready = 0
        if channel.has_early:
            ready = select.POLLIN
        elif events := poller.poll(None if left_s is None else left_s * 1000 + 1):
            ready = events[0][1]
        if ready & ~select.POLLOUT:
            data = channel.receive()
            if not data:
                return collector.output()
            collector.feed(data)
        if ready & select.POLLOUT and rest:
            rest = rest[channel.send_some(rest[:_SEND_BYTES]) :]
            if not rest:
                channel.finish()
                poller.modify(channel.fileno(), select.POLLIN)
