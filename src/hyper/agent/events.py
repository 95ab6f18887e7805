"""What the guest reports by itself: process exits, out-of-memory kills, its log. Bounded.

Does not store anything: an exit is reported again after a reconnect until it is acknowledged.
"""

import asyncio
from collections import deque

from hyper.agent.messages import Log, Oom, ProcessExited, ProtocolError, VmOom
from hyper.core.errors import HyperError

QUEUE_BYTES = 1024 * 1024
_ENTRY_BYTES = 256

Event = ProcessExited | Oom | VmOom | Log


class EventQueue:
    """Events in the order they came: an async iterator for one consumer, ends with the connection.

    A guest that reports faster than we listen loses log lines; if that is not enough, it is
    hostile.
    """

    def __init__(self) -> None:
        self.dropped_logs = 0
        self._events: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._ended = False
        self._changed = asyncio.Event()

    def __aiter__(self) -> "EventQueue":
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        event, cost = self._events.popleft()
        self._bytes -= cost
        return event

    def put(self, event: Event, payload_bytes: int) -> None:
        """Add an event. Raises ProtocolError when the guest floods us."""
        cost = payload_bytes + _ENTRY_BYTES
        # Logs may fill half the queue, so that a talkative guest can still report its exits.
        if isinstance(event, Log) and self._bytes + cost > QUEUE_BYTES // 2:
            self.dropped_logs += 1
            return
        if self._bytes + cost > QUEUE_BYTES:
            raise ProtocolError(f"more than {QUEUE_BYTES} bytes of events that nobody reads")
        self._bytes += cost
        self._events.append((event, cost))
        self._changed.set()

    def end(self, _error: HyperError | None = None) -> None:
        """End the iteration after what is queued."""
        self._ended = True
        self._changed.set()
