"""Owns the event feed: what happened, in Docker's words, to whoever listens.

Actions and attributes follow the Docker Engine API, "Monitor events".
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import time_ns

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `kind` is container, image, volume, network, builder, pod or service."""

    kind: str
    action: str
    actor_id: str
    attributes: tuple[tuple[str, str], ...] = ()
    time_ns: int = field(default_factory=time_ns)


def image_event(
    action: str, image_id: str, name: str = "", labels: Iterable[tuple[str, str]] = ()
) -> Event:
    """Return an event about an image, which has its id for a name where it has no other."""
    return Event("image", action, image_id, (*labels, ("name", name or image_id)))


class EventFeed:
    """Hands every published event to every listener; one that is too slow is cut off."""

    def __init__(self) -> None:
        self._listeners: set[EventListener] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def publish(self, *events: Event) -> None:
        """Hand events to all listeners; never blocks."""
        for listener in tuple(self._listeners):
            for event in events:
                listener.put(event)

    def open(self) -> "EventListener":
        """Start listening now; close the listener when done."""
        return EventListener(self._listeners)


class EventListener:
    """One listener's feed. Of more than BACKLOG events that wait it is cut off.

    What it misses then is stored: open another and ask the store.
    """

    def __init__(self, listeners: set["EventListener"]) -> None:
        self.cut_off = False
        self._listeners = listeners
        self._events: deque[Event] = deque()
        self._come = asyncio.Event()
        listeners.add(self)

    def put(self, event: Event) -> None:
        """Take an event, or be cut off when too many wait."""
        if len(self._events) < BACKLOG:
            self._events.append(event)
        else:
            self.cut_off = True
            self._listeners.discard(self)
        self._come.set()

    async def take(self, limit_s: float | None = None) -> Event | None:
        """Return the next event; None when none follows, or none came within `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                while not self._events:
                    if self not in self._listeners:
                        return None
                    self._come.clear()
                    await self._come.wait()
        except TimeoutError:
            return None
        return self._events.popleft()

    def close(self) -> None:
        """Stop listening."""
        self._listeners.discard(self)
        self._come.set()
