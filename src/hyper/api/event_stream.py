"""Owns what one client sees of the events: those of the past, then those that come, each once.

A client that does not read is cut off from the feed after `events.BACKLOG` of them; once it reads
on, what it missed is read from the store. So it loses none of the last `store.EVENTS_KEPT`.
"""

from collections import deque
from collections.abc import AsyncGenerator
from time import time_ns

from hyper.api.times import NS_PER_S
from hyper.engine.events import BACKLOG, Event, EventFeed
from hyper.engine.store import Store

# Events are numbered by time and told in the order in which they were stored: some milliseconds
# apart at most, when many happen at once.
_OVERLAP_NS = NS_PER_S


async def event_stream(
    feed: EventFeed, store: Store, since_ns: int, until_ns: int
) -> AsyncGenerator[Event, None]:
    """Yield events from `since_ns` on (0: from now on) until `until_ns` (0: without end)."""
    told: deque[Event] = deque(maxlen=4 * BACKLOG)
    stored = bool(since_ns or until_ns)
    while True:
        listener = feed.open()
        try:
            known = frozenset(told)
            if stored:
                for event in await store.call(store.events, since_ns, until_ns or time_ns()):
                    if event not in known:
                        told.append(event)
                        yield event
                known = frozenset(told)
            while (come := await listener.take(_seconds_until(until_ns))) is not None:
                if come not in known:
                    told.append(come)
                    yield come
            if not listener.cut_off:
                return
        finally:
            listener.close()
        stored, since_ns = True, told[-1].time_ns - _OVERLAP_NS


def _seconds_until(until_ns: int) -> float | None:
    return max(0.0, (until_ns - time_ns()) / NS_PER_S) if until_ns else None
