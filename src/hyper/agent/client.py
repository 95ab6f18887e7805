"""The connection to the agent of one VM: requests, streams and events over one unix socket.

Owns the socket. Does not start or reconnect anything, and stores nothing: see engine/pod.
Every byte from the guest is hostile: what breaks the protocol ends the connection, nothing else.
"""

import asyncio
import logging
import secrets
from pathlib import Path
from typing import Literal, overload

from hyper.agent import messages as m
from hyper.agent.codec import RESUME_PADDING, Frame, FrameDecoder, encode_frame
from hyper.agent.events import EventQueue
from hyper.agent.messages import Message, ProtocolError
from hyper.agent.streams import STDERR, STDIN, STDOUT, InputStream, OutputStream, stream_id
from hyper.agent.trust import check_exit, check_welcome, checked_log, guest_error, printable
from hyper.core.errors import InvalidArgument, Timeout, Unavailable

OUR_FEATURES = (
    m.FEATURE_RESUME
    | m.FEATURE_PAUSE
    | m.FEATURE_STATS
    | m.FEATURE_PARTITIONS
    | m.FEATURE_FILES
    | m.FEATURE_CLOCK
    | m.FEATURE_SIZES
)
READ_BYTES = 256 * 1024
WRITE_BUFFER_BYTES = 256 * 1024
REQUEST_TIMEOUT_S = 30.0

_WHICH = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr"}
_log = logging.getLogger("agent")


class AgentClient:
    """One connection; made by `connect`, alive while `run` runs, useless afterwards.

    `welcome` is the guest's greeting, `events` what it reports by itself, for one consumer.
    `silent` says that the last request was not answered in time, and nothing was heard since;
    `stall` is set by who knows why the guest cannot answer.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: FrameDecoder,
        greeting: tuple[m.Welcome, list[Frame]],
    ) -> None:
        self.welcome, self._early = greeting
        self.events = EventQueue()
        self.silent = False
        self.stall = ""
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._requests: dict[int, tuple[type[Message], asyncio.Future[Message] | None]] = {}
        self._last_request = 1  # 1 was hello
        self._streams: dict[int, OutputStream | InputStream] = {}
        self._last_process = 0
        self._acks: dict[int, OutputStream] = {}
        self._acks_due = asyncio.Event()
        self._lost: Unavailable | None = None

    @classmethod
    async def connect(
        cls, path: Path, *, resume: bool, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> "AgentClient":
        """Connect to the agent behind a unix socket and greet it.

        `resume` is for a VM that spoke with an earlier connection. Raises Timeout when the guest
        does not answer, Unavailable when there is no socket or the guest breaks the protocol.
        """
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(path, limit=READ_BYTES)
                try:
                    return await cls._greet(reader, writer, resume)
                except BaseException:
                    writer.transport.abort()
                    raise
        except TimeoutError:
            raise Timeout("the greeting of the guest's agent", timeout_s) from None
        except ProtocolError as err:
            raise Unavailable(f"the guest breaks the agent protocol: {err}") from err
        except OSError as err:
            raise Unavailable(f"the guest's agent is unreachable: {path}: {err.strerror}") from err

    @classmethod
    async def _greet(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, resume: bool
    ) -> "AgentClient":
        nonce = secrets.token_bytes(16)
        writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if resume:
            writer.write(RESUME_PADDING)
        hello = m.Hello(nonce, m.PROTOCOL_VERSION, OUR_FEATURES)
        writer.write(encode_frame(hello, request_id=1))
        decoder = FrameDecoder(resync_nonce=nonce if resume else None)
        frames: list[Frame] = []
        while not frames:
            data = await reader.read(READ_BYTES)
            if not data:
                raise Unavailable("the guest's agent closed the connection before its greeting")
            frames = decoder.feed(data)
        first = frames[0]
        answer = first.message()
        if not isinstance(answer, m.Welcome) or (first.flags, first.request_id) != (
            m.FLAG_REPLY,
            1,
        ):
            raise ProtocolError(f"{type(answer).__name__} instead of a welcome")
        return cls(reader, writer, decoder, (check_welcome(answer, nonce), frames[1:]))

    async def run(self) -> None:
        """Serve the connection; return when it is lost or closed, whatever the guest does.

        Afterwards requests, streams and writes raise Unavailable, and `events` ends.
        """
        reason = "closed"
        try:
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(self._send_acks(), name="agent acks")
                reason = await self._serve()
                sender.cancel()
        finally:
            self._lose(reason)

    async def close(self) -> None:
        """Close the connection; `run` returns. The guest keeps what was not acknowledged."""
        self._lose("closed")

    # --- requests -----------------------------------------------------------------------------

    @overload
    async def request(
        self, message: m.ProcessStart, timeout_s: float = ...
    ) -> m.ProcessStarted: ...
    @overload
    async def request(self, message: m.ClockAdjust, timeout_s: float = ...) -> m.Clock: ...
    @overload
    async def request(self, message: m.Connect, timeout_s: float = ...) -> m.Connected: ...
    @overload
    async def request(
        self, message: m.ContainerStats, timeout_s: float = ...
    ) -> m.ContainerStatistics: ...
    @overload
    async def request(
        self, message: m.ContainerProcesses, timeout_s: float = ...
    ) -> m.ContainerProcessList: ...
    @overload
    async def request(
        self, message: m.ContainerRetire, timeout_s: float = ...
    ) -> m.ContainerSize: ...
    @overload
    async def request(self, message: Message, timeout_s: float = ...) -> Message: ...

    async def request(self, message: Message, timeout_s: float = REQUEST_TIMEOUT_S) -> Message:
        """Send a request and return the guest's reply, of the type protocol/agent.toml names.

        Raises GuestError when the guest refuses, Timeout, Unavailable when the connection is lost
        or the VM stands still, InvalidArgument when a value does not fit the protocol. The guest is
        not told of a caller that waits no longer.
        """
        self._check_alive()
        name = type(message).__name__
        request_id = self._last_request = self._last_request % 0xFFFFFFFF + 1
        try:
            frame = encode_frame(message, request_id=request_id)
        except ProtocolError as err:
            raise InvalidArgument(f"cannot tell the guest: {err}") from err
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._requests[request_id] = (m.REPLIES[type(message)], reply)
        try:
            async with asyncio.timeout(timeout_s):
                await self._write(frame)
                return await reply
        except TimeoutError:
            self.silent = True
            self.check_going()
            raise Timeout(f"{name} in the guest", timeout_s) from None
        finally:
            if request_id in self._requests:  # the reply may still come and is no surprise then
                self._requests[request_id] = (m.REPLIES[type(message)], None)
            elif reply.done() and not reply.cancelled():
                reply.exception()

    def check_going(self) -> None:
        """Raise Unavailable when the VM is known to stand still."""
        if self.stall:
            raise Unavailable(self.stall)

    async def acknowledge_exit(self, process_id: int) -> None:
        """Tell the guest that the exit status and all output are stored; forget the process."""
        self.forget(process_id)
        await self._write(encode_frame(m.ProcessExitAck(process_id)))

    # --- streams ------------------------------------------------------------------------------

    @overload
    def stream(
        self, process_id: int, which: Literal[0], *, resume_offset: int | None = ...
    ) -> InputStream: ...
    @overload
    def stream(
        self, process_id: int, which: Literal[1, 2], *, resume_offset: int | None = ...
    ) -> OutputStream: ...

    def stream(
        self, process_id: int, which: int, *, resume_offset: int | None = None
    ) -> InputStream | OutputStream:
        """Open a stream of a process: STDIN, STDOUT or STDERR; before it starts, or to resume it.

        `resume_offset` of an output is up to where it is stored already, of an input what the guest
        says it received. Raises Unavailable.
        """
        self._check_alive()
        number = stream_id(process_id, which)
        self._last_process = max(self._last_process, process_id)
        assert number not in self._streams, "a stream is opened once"
        name = f"{_WHICH[which]} of process {process_id}"
        offset = resume_offset or 0
        if which == STDIN:

            async def send(data: m.Data, last: bool) -> None:
                flags = m.FLAG_EOF if last else 0
                await self._write(encode_frame(data, stream_id=number, flags=flags))

            source = self._streams[number] = InputStream(name, offset, send)
            return source

        def ack_due() -> None:
            self._acks[number] = output
            self._acks_due.set()

        output = OutputStream(name, offset, resume_offset is not None, ack_due)
        self._streams[number] = output
        if resume_offset is not None:
            self._writer.write(encode_frame(m.StreamResume(offset), stream_id=number))
        return output

    def forget(self, process_id: int) -> None:
        """Drop the streams of a process that did not start or is acknowledged."""
        for which in _WHICH:
            number = stream_id(process_id, which)
            self._acks.pop(number, None)
            stream = self._streams.pop(number, None)
            if stream is not None:
                stream.lose(Unavailable(f"{stream.name} is closed"))

    # --- the connection -----------------------------------------------------------------------

    def _check_alive(self) -> None:
        if self._lost is not None:
            raise Unavailable(str(self._lost)) from self._lost

    async def _write(self, frame: bytes) -> None:
        self._check_alive()
        self._writer.write(frame)
        try:
            await self._writer.drain()
        except OSError as err:
            raise self._lose(err.strerror or str(err)) from err

    async def _send_acks(self) -> None:
        """Send window frames; while the guest does not read, later ones replace earlier ones."""
        while True:
            await self._acks_due.wait()
            self._acks_due.clear()
            due, self._acks = self._acks, {}
            for number, stream in due.items():
                self._writer.write(encode_frame(m.Window(stream.take_ack()), stream_id=number))
            try:
                await self._writer.drain()
            except OSError:
                return  # the reader learns of it too, and ends the connection

    async def _serve(self) -> str:
        """Take frames until the connection ends; return why it did."""
        frames, self._early = self._early, []
        try:
            while True:
                for frame in frames:
                    self._take(frame)
                data = await self._reader.read(READ_BYTES)
                if not data:
                    return "the guest's agent closed the connection"
                self.silent = False
                frames = self._decoder.feed(data)
        except ProtocolError as err:
            _log.warning(
                "connection closed, the guest breaks the protocol: %s", printable(str(err))
            )
            return f"the guest breaks the agent protocol: {printable(str(err))}"
        except OSError as err:
            return err.strerror or str(err)

    def _take(self, frame: Frame) -> None:
        message = frame.message()
        if frame.flags & m.FLAG_REPLY:
            self._take_reply(frame, message)
            return
        if frame.request_id:
            raise ProtocolError(f"the guest asks: {type(message).__name__}")
        match message:
            case m.Data():
                output = self._output(frame.stream_id)
                if output is not None:
                    output.received(message, bool(frame.flags & m.FLAG_EOF))
            case m.Window():
                self._acknowledged(frame.stream_id, message)
            case m.ProcessExited():
                self.events.put(check_exit(message), len(frame.payload))
            case m.Oom() | m.VmOom():
                self.events.put(message, len(frame.payload))
            case m.Log():
                self.events.put(checked_log(message), len(frame.payload))
            case _:
                raise ProtocolError(f"unexpected {type(message).__name__}")

    def _take_reply(self, frame: Frame, message: Message) -> None:
        expected, future = self._requests.pop(frame.request_id, (None, None))
        if expected is None:
            raise ProtocolError(f"a reply to request {frame.request_id}, which was not made")
        if frame.flags & m.FLAG_ERROR and isinstance(message, m.Error):
            if future is not None and not future.done():
                future.set_exception(guest_error(message))
        elif frame.flags & m.FLAG_ERROR or not isinstance(message, expected):
            if future is not None and not future.done():
                future.set_exception(Unavailable("the guest breaks the agent protocol"))
            raise ProtocolError(f"{type(message).__name__} instead of {expected.__name__}")
        elif future is not None and not future.done():
            future.set_result(message)

    def _output(self, number: int) -> OutputStream | None:
        """Return an open output, None for one we are done with: its end may cross our news."""
        stream = self._streams.get(number)
        if stream is None and number // 4 <= self._last_process:
            return None
        if not isinstance(stream, OutputStream):
            raise ProtocolError(f"data of stream {number}, which is not an open output")
        return stream

    def _acknowledged(self, number: int, window: m.Window) -> None:
        stream = self._streams.get(number)
        if isinstance(stream, OutputStream):
            raise ProtocolError(f"a window of {stream.name}, which is an output")
        # None: it crossed our acknowledgement of the exit, or we do not resume this input.
        if stream is not None:
            stream.acknowledged(window.acked)

    def _lose(self, reason: str) -> Unavailable:
        """End everything that waits for the guest; the first reason stays."""
        if self._lost is None:
            self._lost = Unavailable(f"the connection to the guest is lost: {reason}")
            self._writer.transport.abort()
            for _, future in self._requests.values():
                if future is not None and not future.done():
                    future.set_exception(self._lost)
            self._requests.clear()
            for stream in self._streams.values():
                stream.lose(self._lost)
            self.events.end()
        return self._lost
