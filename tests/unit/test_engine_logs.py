"""Log files: lines, tail, follow, rotation, and what a crash leaves."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.engine.logs import STDERR, STDOUT, LogFile


@pytest.fixture
def log(tmp_path):
    file = LogFile(tmp_path / "output.log")
    file.open()
    yield file
    file.close()


async def read(log, **options):
    return [(r.stream, r.data) async for r in log.read(**options)]


def put(log, stream, data, time_ns=1, offset=None, process_id=7):
    put.offset = getattr(put, "offset", 0) + len(data)
    log.append(stream, process_id, time_ns, put.offset if offset is None else offset, data)


async def test_pieces_become_lines_per_stream(log):
    put(log, STDOUT, b"on")
    put(log, STDERR, b"err\n")
    put(log, STDOUT, b"e\ntwo")
    assert await read(log) == [(2, b"err\n"), (1, b"one\n"), (1, b"two")]


async def test_tail_counts_lines_from_the_end(log):
    put(log, STDOUT, b"1\n2\n3\n")
    put(log, STDOUT, b"4\n5")
    assert await read(log, tail=2) == [(1, b"4\n"), (1, b"5")]
    assert await read(log, tail=0) == []
    assert len(await read(log, tail=99)) == 5


async def test_since_and_until_choose_by_time(log):
    for second in range(5):
        put(log, STDOUT, b"%d\n" % second, time_ns=second * 10)
    assert await read(log, since_ns=10, until_ns=30) == [(1, b"1\n"), (1, b"2\n"), (1, b"3\n")]


async def test_follow_goes_on_until_the_writer_closes(log):
    put(log, STDOUT, b"a\n")
    seen = []

    async def follow():
        async for record in log.read(follow=True):
            seen.append(record.data)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        while seen != [b"a\n"]:
            await asyncio.sleep(0)
        put(log, STDOUT, b"b\nrest")
        while seen != [b"a\n", b"b\n"]:
            await asyncio.sleep(0)
        log.close()
    assert seen == [b"a\n", b"b\n", b"rest"]


async def test_rotation_keeps_the_newest_files_and_followers_go_on(tmp_path):
    log = LogFile(tmp_path / "output.log", max_bytes=200, max_files=3)
    log.open()
    lines = [b"line %02d %s\n" % (n, b"x" * 50) for n in range(20)]
    seen = []

    async def follow():
        async for record in log.read(follow=True):
            seen.append(record.data)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        for line in lines:
            put(log, STDOUT, line)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        log.close()
    assert seen == lines
    assert len(list(tmp_path.iterdir())) == 3
    kept = [data for _, data in await read(log)]
    assert kept == lines[-len(kept) :] and 3 <= len(kept) < 20
    log.remove()
    assert list(tmp_path.iterdir()) == []


async def test_half_a_record_left_by_a_crash_is_cut_off(tmp_path):
    path = tmp_path / "output.log"
    log = LogFile(path)
    log.open()
    put(log, STDOUT, b"kept\n", offset=5)
    log.close()
    whole = path.read_bytes()
    for cut in (1, 10, len(whole) - 1):
        path.write_bytes(whole + whole[:cut])
        log = LogFile(path)
        log.open()
        put(log, STDOUT, b"new\n", offset=9)
        log.close()
        assert await read(log) == [(1, b"kept\n"), (1, b"new\n")]


async def test_the_offset_of_a_stream_is_that_of_the_running_process(log):
    put(log, STDOUT, b"old\n", offset=400, process_id=6)
    put(log, STDOUT, b"abc\n", offset=4)
    put(log, STDERR, b"de\n", offset=3)
    put(log, STDERR, b"f\n", offset=5)
    assert log.offset(STDOUT, 7) == 4
    assert log.offset(STDERR, 7) == 5
    assert log.offset(STDOUT, 8) == 0


async def test_a_full_disk_keeps_the_file_sound():
    log = LogFile(__import__("pathlib").Path("/dev/full"))
    with pytest.raises(OSError):
        log._file = open("/dev/full", "ab", buffering=0)
        try:
            put(log, STDOUT, b"x")
        finally:
            log._file.close()


PIECES = (b"a", b"b\n", b"\n", b"c\nd", b"e\n\n")


@given(
    pieces=st.lists(
        st.tuples(st.sampled_from((1, 2)), st.sampled_from(PIECES)),
        max_size=40,
    ),
    tail=st.integers(0, 12),
    max_bytes=st.sampled_from((0, 120)),
)
def test_the_tail_is_the_end_of_the_whole(
    pieces: list[tuple[int, bytes]], tail: int, max_bytes: int
) -> None:
    async def lines(log: LogFile, tail: int | None) -> list[tuple[int, bytes]]:
        return [(line.stream, line.data) async for line in log.read(tail=tail)]

    async def compare(folder: str) -> None:
        log = LogFile(Path(folder) / "output.log", max_bytes, 3 if max_bytes else 1)
        log.open()
        # Both end with a whole line: an unfinished one counts only near the end of the log.
        for number, (stream, data) in enumerate([*pieces, (1, b"out\n"), (2, b"err\n")]):
            log.append(stream, 1, number, number, data)
        whole = await lines(log, None)
        assert await lines(log, tail) == whole[max(0, len(whole) - tail) :]
        log.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(folder))


async def test_reading_a_long_log_lets_others_run(run_dir: Path) -> None:
    log = LogFile(run_dir / "output.log")
    log.open()
    for number in range(64):
        log.append(1, 1, number, number, b"x" * 65535 + b"\n")
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count_turns())
        assert sum([len(line.data) async for line in log.read()]) == 64 << 16
        counting.cancel()
    assert turns >= 10
    log.close()


async def test_a_rotation_while_reading_changes_nothing_of_what_was_there(run_dir: Path) -> None:
    log = LogFile(run_dir / "output.log", 1000, 3)
    log.open()
    for number in range(60):
        log.append(1, 1, number, number, b"line %02d\n" % number)
    expected = [line.data async for line in log.read()]
    reading = log.read()
    got = [(await anext(reading)).data]
    for number in range(60, 200):
        log.append(1, 1, number, number, b"line %03d\n" % number)
    got += [line.data async for line in reading]
    assert got[: len(expected)] == expected
    log.close()


async def test_a_slow_follower_misses_nothing_that_is_kept(run_dir: Path) -> None:
    log = LogFile(run_dir / "output.log", 200, 5)
    log.open()

    def put(numbers: range) -> None:
        for number in numbers:
            log.append(1, 1, number, number, b"line %03d\n" % number)

    put(range(2))
    reading = log.read(follow=True)
    got = [(await anext(reading)).data]
    put(range(2, 16))
    assert len(list(run_dir.iterdir())) == 4
    log.close()
    got += [line.data async for line in reading]
    assert got == [b"line %03d\n" % number for number in range(16)]


async def test_a_follower_that_was_left_behind_goes_on_with_the_oldest(run_dir: Path) -> None:
    log = LogFile(run_dir / "output.log", 200, 2)
    log.open()
    log.append(1, 1, 0, 0, b"first\n")
    reading = log.read(follow=True)
    got = [(await anext(reading)).data]
    for number in range(40):
        log.append(1, 1, number, number, b"line %03d\n" % number)
    log.close()
    got += [line.data async for line in reading]
    assert got[-1] == b"line 039\n"
    assert got == [*got[: -len(kept := [line.data async for line in log.read()])], *kept]


async def test_a_follower_is_idle_only_when_it_has_everything(run_dir: Path) -> None:
    log = LogFile(run_dir / "output.log")
    log.open()
    for number in range(100):
        log.append(1, 1, number, number, b"%d\n" % number)
    got: list[bytes] = []
    seen_when_idle: list[int] = []

    async def idle() -> None:
        seen_when_idle.append(len(got))
        if len(got) < 150:
            for number in range(100, 150):
                log.append(1, 1, number, number, b"%d\n" % number)
        else:
            log.close()

    async for line in log.read(follow=True, idle=idle):
        got.append(line.data)
    assert seen_when_idle == [100, 150]
    assert len(got) == 150
