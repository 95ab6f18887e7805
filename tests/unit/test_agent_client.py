"""The connection to a guest's agent, against a guest in Python: kind, slow and hostile."""

import asyncio
import errno
from pathlib import Path

import pytest

from hyper.agent import messages as m
from hyper.agent.client import AgentClient
from hyper.agent.codec import FrameDecoder, encode_frame
from hyper.agent.streams import STDERR, STDIN, STDOUT
from hyper.core.errors import GuestError, InvalidArgument, Timeout, Unavailable, Unsupported
from tests.support.fake_guest import Behaviour, FakeGuest, connected, listening

OUT = 7 * 4 + STDOUT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


async def polite(guest: FakeGuest) -> None:
    """Answer everything with ok."""
    await guest.welcome()
    while True:
        frame = await guest.frame()
        if frame.request_id:
            await guest.reply(frame, m.Ok())


async def test_the_greeting_tells_the_kernel(path: Path) -> None:
    async with connected(path, polite) as client:
        assert client.welcome.kernel_release == "6.1"


async def test_replies_are_paired_by_id_not_by_order(path: Path) -> None:
    async def reversed_replies(guest: FakeGuest) -> None:
        await guest.welcome()
        asked = [await guest.frame() for _ in range(3)]
        for frame in reversed(asked):
            message = frame.message()
            assert isinstance(message, m.ProcessStart)
            await guest.reply(frame, m.ProcessStarted(message.process_id + 1000))
        await guest.hung_up()

    async with connected(path, reversed_replies) as client, asyncio.TaskGroup() as tasks:
        started = [
            tasks.create_task(client.request(m.ProcessStart(process_id=number)))
            for number in (1, 2, 3)
        ]
    assert [task.result().pid for task in started] == [1001, 1002, 1003]


async def test_an_error_reply_is_a_guest_error(path: Path) -> None:
    async def refuse(guest: FakeGuest) -> None:
        await guest.welcome()
        await guest.reply(await guest.frame(), m.Error(errno.ENOENT, "exec", "/bin/nothing"))
        await guest.reply(await guest.frame(), m.Error(2**32 - 1, "x\x1b[2J", "y" * 100_000))
        await guest.hung_up()

    async with connected(path, refuse) as client:
        with pytest.raises(GuestError) as caught:
            await client.request(m.ProcessStart())
        assert (caught.value.errno, caught.value.step) == (errno.ENOENT, "exec")
        with pytest.raises(GuestError) as caught:
            await client.request(m.ProcessStart())
        assert caught.value.errno == errno.EPROTO
        assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 2000


async def test_a_lost_connection_fails_all_that_waits(path: Path) -> None:
    async def hang_up_on_the_second(guest: FakeGuest) -> None:
        await guest.welcome()
        await guest.frame()
        await guest.frame()

    async with connected(path, hang_up_on_the_second) as client:
        output = client.stream(7, STDOUT)
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(client.request(m.Ping()))
                tasks.create_task(client.request(m.Ping()))
        assert all(isinstance(error, Unavailable) for error in caught.value.exceptions)
        with pytest.raises(Unavailable):
            await anext(output)
        with pytest.raises(Unavailable):
            await client.request(m.Ping())
        assert [event async for event in client.events] == []


async def test_a_late_reply_after_a_timeout_is_no_surprise(path: Path) -> None:
    async def answer_late(guest: FakeGuest) -> None:
        await guest.welcome()
        late = await guest.frame()
        now = await guest.frame()
        await guest.reply(late, m.Ok())
        await guest.reply(now, m.Ok())
        await guest.hung_up()

    async with connected(path, answer_late) as client:
        with pytest.raises(Timeout, match="Ping"):
            await client.request(m.Ping(), timeout_s=0.01)
        assert await client.request(m.Ping()) == m.Ok()


async def test_a_guest_whose_vm_stands_still_is_silent_for_a_reason(path: Path) -> None:
    go_on = asyncio.Event()

    async def answer_late(guest: FakeGuest) -> None:
        await guest.welcome()
        asked, _ = await guest.expect(m.Ping)
        await go_on.wait()
        await guest.reply(asked, m.Ok())
        asked, _ = await guest.expect(m.Ping)
        await guest.reply(asked, m.Ok())
        await guest.hung_up()

    async with connected(path, answer_late) as client:
        assert not client.silent
        client.stall = "it stands still"
        with pytest.raises(Unavailable, match="it stands still"):
            await client.request(m.Ping(), timeout_s=0.01)
        assert client.silent
        client.stall = ""
        go_on.set()
        assert await client.request(m.Ping()) == m.Ok()
        assert not client.silent


async def test_a_value_that_does_not_fit_harms_nothing(path: Path) -> None:
    async with connected(path, polite) as client:
        with pytest.raises(InvalidArgument):
            await client.request(m.ProcessSignal(signal=-1))
        with pytest.raises(InvalidArgument):
            await client.request(m.VolumeAdd(path="a\0b"))
        assert await client.request(m.Ping()) == m.Ok()


async def test_no_socket_is_unavailable(path: Path) -> None:
    with pytest.raises(Unavailable, match=r"agent\.sock"):
        await AgentClient.connect(path, resume=False, timeout_s=1)


async def test_a_guest_that_says_nothing_times_out(path: Path) -> None:
    async with listening(path, FakeGuest.hung_up):
        with pytest.raises(Timeout):
            await AgentClient.connect(path, resume=False, timeout_s=0.05)


async def test_another_protocol_version_is_unsupported(path: Path) -> None:
    async with listening(path, lambda guest: guest.welcome(version=9)):
        with pytest.raises(Unsupported, match="version 9"):
            await AgentClient.connect(path, resume=False, timeout_s=60)


@pytest.mark.parametrize(
    "fields",
    [
        {"nonce": b"x" * 16},
        {"processes": (m.ProcessState(process_id=0),)},
        {"processes": (m.ProcessState(process_id=3), m.ProcessState(process_id=3))},
        {"processes": (m.ProcessState(process_id=3, exit_code=256),)},
        {"processes": (m.ProcessState(process_id=3, stdout_acked=2**64 - 1),)},
    ],
    ids=["nonce", "process 0", "twice", "exit code", "offset"],
)
async def test_an_impossible_welcome_is_refused(path: Path, fields: dict[str, object]) -> None:
    async with listening(path, lambda guest: guest.welcome(**fields)):
        with pytest.raises(Unavailable, match="breaks the agent protocol"):
            await AgentClient.connect(path, resume=False, timeout_s=60)


# --- output ---------------------------------------------------------------------------------------


def flood(total: int) -> Behaviour:
    """Send `total` bytes on stdout of process 7, as fast as the window allows; check the acks."""

    async def behave(guest: FakeGuest) -> None:
        await guest.welcome()
        sent = acked = 0
        while sent < total:
            size = min(m.DATA_MAX, acked + m.STREAM_WINDOW - sent, total - sent)
            if size:
                last = m.FLAG_EOF if sent + size == total else 0
                content = bytes([sent // m.DATA_MAX % 251]) * size
                await guest.send(m.Data(sent, content), stream_id=OUT, flags=last)
                sent += size
                continue
            frame, window = await guest.expect(m.Window)
            assert isinstance(window, m.Window) and frame.stream_id == OUT
            assert acked < window.acked <= sent
            acked = window.acked
        await guest.hung_up()

    return behave


async def test_output_arrives_whole_and_in_order(path: Path) -> None:
    total = 3_000_000
    async with connected(path, flood(total)) as client:
        output = client.stream(7, STDOUT)
        position = 0
        async for offset, content in output:
            assert offset == position
            position += len(content)
            assert output.buffered_bytes <= m.STREAM_WINDOW
            output.ack(position)
        assert position == total and output.eof


async def test_a_discarded_output_does_not_stall_the_process(path: Path) -> None:
    async with connected(path, flood(1_000_000)) as client:
        output = client.stream(7, STDOUT)
        output.discard()
        assert [chunk async for chunk in output] == []
        assert output.eof


async def test_an_unread_output_stalls_only_itself(path: Path) -> None:
    async def two_streams(guest: FakeGuest) -> None:
        await guest.welcome()
        for start in range(0, m.STREAM_WINDOW, m.DATA_MAX):
            await guest.send(m.Data(start, bytes(m.DATA_MAX)), stream_id=OUT)
        await guest.send(m.Data(0, b"error"), stream_id=7 * 4 + STDERR, flags=m.FLAG_EOF)
        await guest.reply(await guest.frame(), m.Ok())
        await guest.hung_up()

    async with connected(path, two_streams) as client:
        stdout, stderr = client.stream(7, STDOUT), client.stream(7, STDERR)
        assert [chunk async for chunk in stderr] == [(0, b"error")]
        assert await client.request(m.Ping()) == m.Ok()
        assert stdout.buffered_bytes == m.STREAM_WINDOW


async def test_a_trickle_of_bytes_is_joined(path: Path) -> None:
    async def trickle(guest: FakeGuest) -> None:
        await guest.welcome()
        frames = [
            encode_frame(m.Data(at, b"x"), stream_id=OUT, flags=m.FLAG_EOF * (at == 999))
            for at in range(1000)
        ]
        await guest.raw(b"".join(frames))
        await guest.reply(await guest.frame(), m.Ok())
        await guest.hung_up()

    async with connected(path, trickle) as client:
        output = client.stream(7, STDOUT)
        await client.request(m.Ping())
        assert [chunk async for chunk in output] == [(0, b"x" * 1000)]


# --- input ----------------------------------------------------------------------------------------


async def test_input_waits_for_the_guest_and_arrives_whole(path: Path) -> None:
    received = bytearray()
    content = bytes(range(256)) * 2000

    async def slow_reader(guest: FakeGuest) -> None:
        await guest.welcome()
        acked = 0
        while True:
            frame, data = await guest.expect(m.Data)
            assert isinstance(data, m.Data) and data.offset == len(received)
            received.extend(data.content)
            assert len(received) - acked <= m.STREAM_WINDOW
            if frame.flags & m.FLAG_EOF:
                break
            if len(received) - acked == m.STREAM_WINDOW:
                await asyncio.sleep(0)
                acked = len(received)
                await guest.send(m.Window(acked), stream_id=7 * 4 + STDIN)
        await guest.hung_up()

    async with connected(path, slow_reader) as client:
        stdin = client.stream(7, STDIN)
        await stdin.write(content)
        await stdin.close()
        await stdin.close()
        async with asyncio.timeout(60):
            while len(received) < len(content):
                await asyncio.sleep(0)
    assert bytes(received) == content


async def test_input_without_credit_ends_with_the_connection(path: Path) -> None:
    async def never_reads(guest: FakeGuest) -> None:
        await guest.welcome()
        taken = 0
        while taken < m.STREAM_WINDOW:
            _, data = await guest.expect(m.Data)
            assert isinstance(data, m.Data)
            taken += len(data.content)

    async with connected(path, never_reads) as client:
        with pytest.raises(Unavailable):
            await client.stream(7, STDIN).write(bytes(m.STREAM_WINDOW + 1))


async def test_a_window_that_crosses_the_end_of_its_process_is_ignored(path: Path) -> None:
    async def late_window(guest: FakeGuest) -> None:
        await guest.welcome()
        await guest.expect(m.ProcessExitAck)
        await guest.send(m.Window(0), stream_id=7 * 4 + STDIN)
        await guest.reply(await guest.frame(), m.Ok())
        await guest.hung_up()

    async with connected(path, late_window) as client:
        client.stream(7, STDIN)
        await client.acknowledge_exit(7)
        assert await client.request(m.Ping()) == m.Ok()


# --- events ---------------------------------------------------------------------------------------


async def test_events_come_in_order_and_exits_are_acknowledged(path: Path) -> None:
    exited = m.ProcessExited(7, "c1", 3, 0, False, 42)

    async def report(guest: FakeGuest) -> None:
        await guest.welcome()
        await guest.send(m.Log(4, "mounted\n\x07"))
        await guest.send(m.VmOom("c1"))
        await guest.send(m.Oom("c1", 1))
        await guest.send(exited)
        await guest.expect(m.ProcessExitAck)

    async with connected(path, report) as client:
        assert await anext(client.events) == m.Log(4, "mounted??")
        assert await anext(client.events) == m.VmOom("c1")
        assert await anext(client.events) == m.Oom("c1", 1)
        assert await anext(client.events) == exited
        client.stream(7, STDOUT)
        await client.acknowledge_exit(7)
        assert [event async for event in client.events] == []


async def test_a_talkative_guest_loses_logs_but_no_exit(path: Path) -> None:
    async def talk(guest: FakeGuest) -> None:
        await guest.welcome()
        for _ in range(5000):
            await guest.send(m.Log(7, "x" * 1000))
        await guest.send(m.ProcessExited(7, "c1"))
        await guest.reply(await guest.frame(), m.Ok())
        await guest.hung_up()

    async with connected(path, talk) as client:
        await client.request(m.Ping())
        assert client.events.dropped_logs > 0
        async for event in client.events:
            if isinstance(event, m.ProcessExited):
                break
        assert event == m.ProcessExited(7, "c1")


# --- reconnecting ---------------------------------------------------------------------------------


async def test_resume_skips_rubbish_and_continues_where_we_stored(path: Path) -> None:
    async def spoke_before(guest: FakeGuest) -> None:
        await guest.raw(encode_frame(m.Data(0, b"to the predecessor"), stream_id=OUT)[:20])
        await guest.welcome(processes=(m.ProcessState(7, "c1", True, stdout_acked=2),))
        await guest.send(m.Data(8, b"too early"), stream_id=OUT)
        frame, resume = await guest.expect(m.StreamResume)
        assert (frame.stream_id, resume) == (OUT, m.StreamResume(4))
        await guest.send(m.Data(2, b"cdef"), stream_id=OUT)
        await guest.send(m.Data(6, b"gh"), stream_id=OUT, flags=m.FLAG_EOF)
        await guest.hung_up()

    async with listening(path, spoke_before), asyncio.TaskGroup() as tasks:
        client = await AgentClient.connect(path, resume=True, timeout_s=60)
        assert client.welcome.processes[0].running
        output = client.stream(7, STDOUT, resume_offset=4)
        tasks.create_task(client.run())
        chunks = [chunk async for chunk in output]
        assert chunks == [(4, b"efgh")]
        await client.close()


async def test_resume_first_sends_what_ends_a_half_frame(path: Path) -> None:
    seen = bytearray()

    async def collect(guest: FakeGuest) -> None:
        while data := await guest.reader.read(65536):
            seen.extend(data)
            if len(seen) > m.MAX_PAYLOAD + 60:
                break

    async with listening(path, collect):
        with pytest.raises(Unavailable):
            await AgentClient.connect(path, resume=True, timeout_s=60)
    assert seen[: m.MAX_PAYLOAD + 32] == bytes(m.MAX_PAYLOAD + 32)
    [hello] = FrameDecoder().feed(bytes(seen))
    assert isinstance(hello.message(), m.Hello)


# --- hostile guests -------------------------------------------------------------------------------


def sending(data: bytes) -> Behaviour:
    async def behave(guest: FakeGuest) -> None:
        await guest.welcome()
        await guest.expect(m.Ping)
        await guest.raw(data)
        await guest.hung_up()

    return behave


def frame(message: m.Message, request_id: int = 0, stream_id: int = 0, flags: int = 0) -> bytes:
    return encode_frame(message, request_id=request_id, stream_id=stream_id, flags=flags)


HOSTILE = {
    "no frame": b"GET / HTTP/1.1\r\n",
    "truncated type": b"\xa7\0\xff\xff\0\0\0\0" + bytes(8) + b"\x7a",
    "oversized": b"\xa7\0\x16\0\xff\xff\xff\x7f" + bytes(8),
    "bad payload": b"\xa7\0\x1a\0\x01\0\0\0" + bytes(8) + b"\x06\x7a",
    "unknown stream": frame(m.Data(0, b"x"), stream_id=99),
    "data on stdin": frame(m.Data(0, b"x"), stream_id=7 * 4 + STDIN),
    "gap": frame(m.Data(5, b"x"), stream_id=OUT),
    "huge offset": frame(m.Data(2**64 - 1, b"x"), stream_id=OUT),
    "long data frame": frame(m.Data(0, bytes(m.DATA_MAX + 1)), stream_id=OUT),
    "beyond the window": b"".join(
        frame(m.Data(at, bytes(m.DATA_MAX)), stream_id=OUT)
        for at in range(0, m.STREAM_WINDOW + 1, m.DATA_MAX)
    ),
    "bytes after the end": frame(m.Data(0, b"x"), stream_id=OUT, flags=m.FLAG_EOF)
    + frame(m.Data(1, b"y"), stream_id=OUT),
    "acknowledges what was not sent": frame(m.Window(1), stream_id=7 * 4 + STDIN),
    "window of an output": frame(m.Window(0), stream_id=OUT),
    "unsolicited reply": frame(m.Ok(), request_id=77, flags=m.FLAG_REPLY),
    "reply to nothing": frame(m.Ok(), flags=m.FLAG_REPLY),
    "asks us": frame(m.Ping(), request_id=5),
    "plays the host": frame(m.PodShutdown()),
    "welcome again": frame(m.Welcome()),
    "error without reply": frame(m.Error(), flags=m.FLAG_ERROR),
    "exit of process 0": frame(m.ProcessExited(0)),
    "impossible exit": frame(m.ProcessExited(7, "c", 1000)),
    "flood of events": frame(m.Oom("c" * 1000)) * 2000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_guest_loses_its_connection_and_nothing_else(
    path: Path, data: bytes
) -> None:
    async with connected(path, sending(data)) as client:
        stdin, stdout = client.stream(7, STDIN), client.stream(7, STDOUT)
        with pytest.raises(Unavailable, match="breaks the agent protocol"):
            await client.request(m.Ping(), timeout_s=60)
        with pytest.raises(Unavailable):
            await stdin.write(b"x")
        with pytest.raises(Unavailable):
            while not stdout.eof:
                await anext(stdout)
            raise Unavailable("ended")


async def test_a_reply_of_the_wrong_type_fails_its_request(path: Path) -> None:
    async def lie(guest: FakeGuest) -> None:
        await guest.welcome()
        await guest.reply(await guest.frame(), m.ProcessStarted(1))
        await guest.hung_up()

    async with connected(path, lie) as client:
        with pytest.raises(Unavailable, match="breaks the agent protocol"):
            await client.request(m.Ping())


async def test_acks_to_a_guest_that_does_not_read_do_not_pile_up(path: Path) -> None:
    async def deaf(guest: FakeGuest) -> None:
        await guest.welcome()
        sent = 0
        acked = [0]

        async def listen_little() -> None:
            _, window = await guest.expect(m.Window)
            assert isinstance(window, m.Window)
            acked[0] = window.acked

        for _ in range(200):
            while sent + m.DATA_MAX <= acked[0] + m.STREAM_WINDOW:
                await guest.send(m.Data(sent, bytes(m.DATA_MAX)), stream_id=OUT)
                sent += m.DATA_MAX
            await listen_little()
        await guest.hung_up()

    async with connected(path, deaf) as client:
        output = client.stream(7, STDOUT)
        total = 0
        async for offset, content in output:
            total = offset + len(content)
            output.ack(total)
            assert client._writer.transport.get_write_buffer_size() < 100_000
            if total >= 200 * m.DATA_MAX:
                break
