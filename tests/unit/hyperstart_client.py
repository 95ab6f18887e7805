"""Owns a small blocking host for tests of hyperstart: frames over one socket, messages in order."""

import os
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hyper.agent import messages as m

HEADER = struct.Struct("<BBHIII")
DEADLINE_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    flags: int
    type: int
    request_id: int
    stream_id: int
    payload: bytes

    @property
    def message(self) -> m.Message:
        return m.decode(self.type, self.payload)


class Refused(Exception):
    """The guest answered with an error."""

    def __init__(self, error: m.Error) -> None:
        super().__init__(f"{error.step} {error.object}: {os.strerror(error.errno)}")
        self.error = error


def encode_frame(
    message: m.Message, *, flags: int = 0, request_id: int = 0, stream_id: int = 0
) -> bytes:
    payload = m.encode(message)
    head = HEADER.pack(m.FRAME_MAGIC, flags, message.TYPE, len(payload), request_id, stream_id)
    return head + payload + bytes([m.FRAME_END])


class Host:
    """The host's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.buffer = b""
        self.frames: list[Frame] = []
        self.output: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.windows: dict[int, int] = {}
        self.logs: list[str] = []
        self.acknowledge = True
        self._request_id = 0

    def close(self) -> None:
        self.socket.close()

    def send(self, message: m.Message, *, stream_id: int = 0, flags: int = 0) -> None:
        self.socket.sendall(encode_frame(message, stream_id=stream_id, flags=flags))

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _parse(self) -> None:
        while len(self.buffer) >= HEADER.size:
            magic, flags, kind, length, request, stream = HEADER.unpack_from(self.buffer)
            assert magic == m.FRAME_MAGIC, self.buffer[:64]
            end = HEADER.size + length
            if len(self.buffer) <= end:
                return
            assert self.buffer[end] == m.FRAME_END
            frame = Frame(flags, kind, request, stream, self.buffer[HEADER.size : end])
            self.buffer = self.buffer[end + 1 :]
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        message = frame.message
        match message:
            case m.Data():
                have = self.output.setdefault(frame.stream_id, bytearray())
                assert message.offset <= len(have), (message.offset, len(have))
                have[message.offset :] = message.content
                if frame.flags & m.FLAG_EOF:
                    self.ended.add(frame.stream_id)
                if self.acknowledge:
                    self.send(m.Window(len(have)), stream_id=frame.stream_id)
            case m.Window():
                self.windows[frame.stream_id] = message.acked
            case m.Log():
                self.logs.append(message.text)
            case _:
                self.frames.append(frame)

    def pump(self, timeout_s: float = 0.0) -> bool:
        """Take what has arrived; return whether the connection is still there."""
        if select.select([self.socket], [], [], timeout_s)[0]:
            data = self.socket.recv(1 << 20)
            if not data:
                return False
            self.buffer += data
            self._parse()
        return True

    def wait_for(self, condition: Callable[[], T]) -> T:
        deadline = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            assert time.monotonic() < deadline, f"nothing came: {self.frames} {self.logs}"
            assert self.pump(0.5), f"the guest has gone: {self.logs}"
        return value

    def _pop(self, wanted: Callable[[Frame], bool]) -> Frame | None:
        for index, frame in enumerate(self.frames):
            if wanted(frame):
                return self.frames.pop(index)
        return None

    def request_async(self, message: m.Message) -> int:
        self._request_id += 1
        self.send_raw(encode_frame(message, request_id=self._request_id))
        return self._request_id

    def reply(self, request_id: int) -> m.Message:
        def wanted(frame: Frame) -> bool:
            return bool(frame.flags & m.FLAG_REPLY) and frame.request_id == request_id

        frame = self.wait_for(lambda: self._pop(wanted))
        assert frame is not None
        message = frame.message
        if isinstance(message, m.Error):
            raise Refused(message)
        return message

    def request(self, message: m.Message) -> m.Message:
        return self.reply(self.request_async(message))

    def hello(self, nonce: bytes = b"0123456789abcdef") -> m.Welcome:
        welcome = self.request(m.Hello(nonce, m.PROTOCOL_VERSION, 0xFF))
        assert isinstance(welcome, m.Welcome)
        assert welcome.nonce == nonce
        return welcome

    def resume(self, nonce: bytes = b"fedcba9876543210") -> m.Welcome:
        """Say hello on a connection that may begin in the middle of an earlier host's frames."""
        self.send_raw(bytes(m.MAX_PAYLOAD + 32))
        self._request_id += 1
        hello = m.Hello(nonce, m.PROTOCOL_VERSION, 0xFF)
        self.send_raw(encode_frame(hello, request_id=self._request_id))
        mark = len(nonce).to_bytes(4, "little") + nonce
        stale = b""
        while (found := stale.find(mark)) < 0:
            data = self.socket.recv(1 << 20)
            assert data, "the guest has gone"
            stale += data
        self.buffer = stale[found - HEADER.size :]
        self._parse()
        welcome = self.reply(self._request_id)
        assert isinstance(welcome, m.Welcome)
        return welcome

    def exited(self, process_id: int, *, acknowledge: bool = True) -> m.ProcessExited:
        def wanted(frame: Frame) -> bool:
            message = frame.message
            return isinstance(message, m.ProcessExited) and message.process_id == process_id

        frame = self.wait_for(lambda: self._pop(wanted))
        assert frame is not None
        message = frame.message
        assert isinstance(message, m.ProcessExited)
        if acknowledge:
            self.send(m.ProcessExitAck(process_id))
        return message

    def stdout(self, process_id: int) -> bytes:
        return bytes(self.output.get(process_id * 4 + 1, b""))

    def stderr(self, process_id: int) -> bytes:
        return bytes(self.output.get(process_id * 4 + 2, b""))


CAPABILITIES = 0xA80425FB  # Docker's default set
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


def start(process_id: int, *args: str, main: bool = False, **fields: object) -> m.ProcessStart:
    values: dict[str, object] = {
        "container": "c1",
        "process_id": process_id,
        "main": main,
        "args": args,
        "env": ENVIRONMENT,
        "cwd": "/",
        "umask": 0o022,
        "capabilities": CAPABILITIES,
    }
    return m.ProcessStart(**(values | fields))  # type: ignore[arg-type]
