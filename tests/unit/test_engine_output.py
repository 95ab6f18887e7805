"""A process' output on its way to several clients: all of it, whoever does not read."""

import asyncio
from pathlib import Path

import pytest

from hyper.engine.output import FEED_BYTES, STDERR, STDOUT, Feed, OutputHub

PIECE = 64 * 1024
COUNT = 4 * FEED_BYTES // PIECE


def piece(number: int) -> bytes:
    return number.to_bytes(4, "big") * (PIECE // 4)


async def publish_all(hub: OutputHub) -> None:
    for number in range(COUNT):
        await hub.publish(STDOUT, piece(number))
    hub.end()


async def read_all(feed: Feed) -> list[tuple[int, bytes]]:
    return [item async for item in feed]


def held_bytes(feed: Feed) -> int:
    return sum(len(data) for _, data in feed._pieces)


EVERYTHING = [(STDOUT, piece(number)) for number in range(COUNT)]


async def test_a_stalled_client_does_not_hold_back_another_and_gets_all_in_the_end(
    tmp_path: Path,
) -> None:
    hub = OutputHub(tmp_path, patience_s=3600)
    stalled, reading = (hub.open(stdout=True, stderr=True) for _ in range(2))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(publish_all(hub), name="publish")
        read = group.create_task(read_all(reading), name="read")
    assert read.result() == EVERYTHING
    assert held_bytes(stalled) <= FEED_BYTES + PIECE
    assert list(tmp_path.iterdir()) == [], "the file has no name"
    assert await read_all(stalled) == EVERYTHING


async def test_output_goes_on_when_nobody_reads(tmp_path: Path) -> None:
    hub = OutputHub(tmp_path, patience_s=0.01)
    stalled = hub.open(stdout=True, stderr=False)
    async with asyncio.timeout(60):
        await publish_all(hub)
    assert held_bytes(stalled) <= FEED_BYTES + PIECE
    assert await read_all(stalled) == EVERYTHING


async def test_output_waits_for_the_one_client_that_reads_slowly(tmp_path: Path) -> None:
    hub = OutputHub(tmp_path, patience_s=3600)
    feed = hub.open(stdout=True, stderr=True)
    publishing = asyncio.get_running_loop().create_task(publish_all(hub))
    reader = aiter(feed)
    seen = []
    for number in range(COUNT):
        seen.append(await anext(reader))
        assert held_bytes(feed) <= FEED_BYTES + PIECE
        assert feed._spill.empty, f"piece {number} was written to a file"
    async with asyncio.timeout(60):
        await publishing
    assert seen == EVERYTHING


async def test_a_client_too_far_behind_holds_the_stream_back_until_it_reads(
    tmp_path: Path,
) -> None:
    hub = OutputHub(tmp_path, spill_bytes=FEED_BYTES, patience_s=0.01)
    slow, other = (hub.open(stdout=True, stderr=True) for _ in range(2))
    reading = asyncio.get_running_loop().create_task(read_all(other))
    publishing = asyncio.get_running_loop().create_task(publish_all(hub))
    while hub._moved.is_set() or slow._spill._written < FEED_BYTES - 2 * PIECE:
        await asyncio.sleep(0)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not publishing.done()
    async with asyncio.timeout(60):
        assert await read_all(slow) == EVERYTHING
        assert await reading == EVERYTHING
        await publishing


@pytest.mark.parametrize("how", ["release", "close"])
async def test_the_end_of_a_process_does_not_wait_for_a_client(tmp_path: Path, how: str) -> None:
    hub = OutputHub(tmp_path, spill_bytes=PIECE, patience_s=3600)
    feed = hub.open(stdout=True, stderr=True)
    publishing = asyncio.get_running_loop().create_task(publish_all(hub))
    while not feed.behind:
        await asyncio.sleep(0)
    hub.release() if how == "release" else feed.close()
    async with asyncio.timeout(60):
        await publishing
        assert await read_all(feed) == (EVERYTHING if how == "release" else [])


async def test_a_client_that_cannot_be_kept_up_is_cut_off(tmp_path: Path) -> None:
    hub = OutputHub(tmp_path / "missing", patience_s=0.01)
    feed = hub.open(stdout=True, stderr=True)
    publishing = asyncio.get_running_loop().create_task(publish_all(hub))
    while not feed.behind:
        await asyncio.sleep(0)
    hub.release()
    async with asyncio.timeout(60):
        await publishing
        assert await read_all(feed) == [], "it would miss a piece without knowing"


async def test_a_client_gets_the_streams_it_asked_for(tmp_path: Path) -> None:
    hub = OutputHub(tmp_path)
    out, err = hub.open(stdout=True, stderr=False), hub.open(stdout=False, stderr=True)
    await hub.publish(STDOUT, b"o")
    await hub.publish(STDERR, b"e")
    hub.end()
    assert (await read_all(out), await read_all(err)) == ([(STDOUT, b"o")], [(STDERR, b"e")])
