"""Owns the event feed: what happened, in Docker's words, to whoever listens.

Actions and attributes follow the Docker Engine API, "Monitor events".
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
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
    """Hands every published event to every listener; a listener that is too slow loses its feed."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Event | None]] = set()

    def publish(self, *events: Event) -> None:
        """Hand events to all listeners; never blocks."""
        for event in events:
            for queue in tuple(self._queues):
                try:
                    queue.put_nowait(event)
                except asyncio.QueueFull:
                    # The listener sees the end of its stream and can ask again with `since`.
                    self._queues.discard(queue)
                    queue.get_nowait()
                    queue.put_nowait(None)

    def open(self) -> "EventListener":
        """Start listening now; close the listener when done."""
        return EventListener(self._queues)


class EventListener:
    """One listener's feed: iterate it; it ends when it was closed or was too slow."""

    def __init__(self, queues: set[asyncio.Queue[Event | None]]) -> None:
        self._queues = queues
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(BACKLOG)
        queues.add(self._queue)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event

    def close(self) -> None:
        """Stop listening."""
        self._queues.discard(self._queue)
