"""What a client sees of the events: all of them, once each, however slowly it reads."""

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from time import time_ns

import pytest

from hyper.api.event_stream import event_stream
from hyper.engine.events import BACKLOG, Event, EventFeed
from hyper.engine.store import Store


class Told:
    """A feed with its store, as the engine uses both."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.feed = EventFeed()
        self.count = 0

    async def tell(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            event = Event("volume", "create", str(self.count))
            await self.store.call(self.store.put_events, (event,))
            self.feed.publish(event)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    store = Store(tmp_path / "state.db")
    yield Told(store)
    store.close()


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


async def test_who_reads_slowly_misses_nothing(told: Told) -> None:
    await told.tell(1)
    seen: list[str] = []
    async with aclosing(event_stream(told.feed, told.store, 1, 0)) as stream:
        seen.append((await anext(stream)).actor_id)
        await told.tell(2 * BACKLOG)  # nobody reads: the listener is cut off
        assert len(told.feed) == 0
        while len(seen) < told.count:
            seen.append((await anext(stream)).actor_id)
        await told.tell(3)
        seen += [(await anext(stream)).actor_id for _ in range(3)]
    assert seen == _numbers(2 * BACKLOG + 4)
    assert len(told.feed) == 0, "a listener is left"


async def test_what_comes_while_the_past_is_read_is_told_once(told: Told) -> None:
    await told.tell(5)
    seen: list[str] = []
    async with aclosing(event_stream(told.feed, told.store, 1, 0)) as stream:
        seen.append((await anext(stream)).actor_id)
        await told.tell(5)
        seen += [(await anext(stream)).actor_id for _ in range(9)]
    assert seen == _numbers(10)


async def test_the_past_ends(told: Told) -> None:
    await told.tell(3)
    stream = event_stream(told.feed, told.store, 1, time_ns())
    assert [event.actor_id async for event in stream] == _numbers(3)
    assert [event async for event in event_stream(told.feed, told.store, 1, 2)] == []
