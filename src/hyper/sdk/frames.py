"""Docker's multiplexed stream: 8-byte headers (stream, 0, 0, 0, length) before each piece of
output.

Specification: Docker Engine API, ContainerAttach, "Stream format". Stream 4 is Hyper's own: a JSON
control message of /hyper/v1/run. Does no I/O.
"""

from hyper.sdk.errors import ConnectionLost

STDIN, STDOUT, STDERR, CONTROL = 0, 1, 2, 4
SYSTEM_ERROR = 3  # moby pkg/stdcopy: an error of the daemon in the middle of a stream
_CONTROL_LIMIT_BYTES = 1 << 20


class FrameDecoder:
    """Splits a multiplexed stream. Output comes in the pieces it arrives in, control messages
    whole."""

    __slots__ = ("_buffer", "_remaining", "_stream")

    def __init__(self) -> None:
        self._buffer = b""
        self._stream = 0
        self._remaining = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return (stream, bytes) pairs. Raises ConnectionLost when this is no such stream."""
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        found: list[tuple[int, bytes]] = []
        position, size = 0, len(data)
        while position < size:
            if not self._remaining:
                if size - position < 8:
                    break
                self._start(data[position : position + 8])
                position += 8
                continue
            available = min(self._remaining, size - position)
            if self._stream >= SYSTEM_ERROR and available < self._remaining:
                break
            found.append((self._stream, data[position : position + available]))
            position += available
            self._remaining -= available
        self._buffer = data[position:]
        return found

    def _start(self, header: bytes) -> None:
        self._stream = header[0]
        self._remaining = int.from_bytes(header[4:], "big")
        if self._stream > CONTROL or header[1:4] != b"\0\0\0":
            raise ConnectionLost("the daemon's stream is not in Docker's multiplexed format")
        if self._stream >= SYSTEM_ERROR and self._remaining > _CONTROL_LIMIT_BYTES:
            raise ConnectionLost("the daemon sent a control message that is too long")


def encode_frame(stream: int, data: bytes) -> bytes:
    """Return `data` as one frame of `stream`."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data
