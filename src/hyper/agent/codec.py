"""Frames of the host-guest protocol: bytes <-> Frame, without I/O (protocol/agent.toml, "Frame").

Does not know what a payload means (`messages`), nor which frames may come when (`client`).
"""

import re
from dataclasses import dataclass
from struct import Struct

from hyper.agent.messages import (
    FLAG_EOF,
    FLAG_ERROR,
    FLAG_REPLY,
    FRAME_END,
    FRAME_HEADER_BYTES,
    FRAME_IDLE,
    FRAME_MAGIC,
    MAX_PAYLOAD,
    Message,
    ProtocolError,
    Welcome,
    decode,
    encode,
)

_HEADER = Struct("<BBHIII")
_LENGTH = Struct("<I")
_END = bytes([FRAME_END])
_NOT_IDLE = re.compile(b"[^%c]" % FRAME_IDLE)
_FLAGS = FLAG_REPLY | FLAG_ERROR | FLAG_EOF

# What a host sends before `hello` to a guest that already spoke: it completes, with zeros, any
# frame its predecessor left half written, so that it fails its check of `end` and is dropped.
RESUME_PADDING = bytes([FRAME_IDLE]) * (MAX_PAYLOAD + 32)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `payload` is not decoded yet."""

    type: int
    flags: int
    request_id: int
    stream_id: int
    payload: bytes

    def message(self) -> Message:
        """Return the payload as data; raises ProtocolError on anything but a message's bytes."""
        return decode(self.type, self.payload)


def encode_frame(
    message: Message, *, request_id: int = 0, stream_id: int = 0, flags: int = 0
) -> bytes:
    """Return the bytes of one frame; raises ProtocolError when a value does not fit its field."""
    payload = encode(message)
    header = _HEADER.pack(FRAME_MAGIC, flags, message.TYPE, len(payload), request_id, stream_id)
    return b"".join((header, payload, _END))


class FrameDecoder:
    """Cuts a stream of bytes into frames. After a ProtocolError it must not be used again.

    With `resync_nonce` everything before the welcome frame that starts with that nonce is skipped,
    whatever it is.
    """

    def __init__(self, resync_nonce: bytes | None = None) -> None:
        self._rest = bytearray()
        self._mark = b"" if resync_nonce is None else _LENGTH.pack(len(resync_nonce)) + resync_nonce

    @property
    def buffered_bytes(self) -> int:
        """How much of an unfinished frame is held; never more than one frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames completed by `data`. Raises ProtocolError on what is no frame."""
        source: bytes | bytearray = data
        if self._rest:
            self._rest += data
            source = self._rest
        if self._mark:
            start = self._find_mark(source)
            if start is None:
                self._keep(source, max(0, len(source) - FRAME_HEADER_BYTES - len(self._mark)))
                return []
        else:
            start = 0
        frames, end = _split(source, start)
        self._keep(source, end)
        return frames

    def _find_mark(self, source: bytes | bytearray) -> int | None:
        """Return where the awaited welcome starts, None while it has not come."""
        at = source.find(self._mark, FRAME_HEADER_BYTES)
        while at >= 0:
            start = at - FRAME_HEADER_BYTES
            magic, flags, type_id, _, _, stream_id = _HEADER.unpack_from(source, start)
            if (magic, flags, type_id, stream_id) == (FRAME_MAGIC, FLAG_REPLY, Welcome.TYPE, 0):
                self._mark = b""
                return start
            at = source.find(self._mark, at + 1)
        return None

    def _keep(self, source: bytes | bytearray, end: int) -> None:
        if source is self._rest:
            del self._rest[:end]
        elif end < len(source):
            self._rest += memoryview(source)[end:]


def _split(source: bytes | bytearray, at: int) -> tuple[list[Frame], int]:
    """Return the whole frames from `at` on, and where the first unfinished one starts."""
    frames: list[Frame] = []
    size = len(source)
    unpack = _HEADER.unpack_from
    view = memoryview(source)
    try:
        while at < size:
            if source[at] == FRAME_IDLE:
                found = _NOT_IDLE.search(view, at)
                at = size if found is None else found.start()
                continue
            if source[at] != FRAME_MAGIC:
                raise ProtocolError(f"a frame starts with byte {source[at]:#04x}")
            if size - at < FRAME_HEADER_BYTES:
                break
            _, flags, type_id, length, request_id, stream_id = unpack(source, at)
            if length > MAX_PAYLOAD:
                raise ProtocolError(f"a frame of type {type_id} announces {length} bytes")
            if flags & ~_FLAGS:
                raise ProtocolError(f"a frame of type {type_id} has unknown flags {flags:#04x}")
            start = at + FRAME_HEADER_BYTES
            end = start + length
            if size <= end:
                break
            if source[end] != FRAME_END:
                raise ProtocolError(f"a frame of type {type_id} ends with byte {source[end]:#04x}")
            frames.append(Frame(type_id, flags, request_id, stream_id, bytes(view[start:end])))
            at = end + 1
    finally:
        view.release()
    return frames, at
