"""Owns progress as JSON lines: bounded however slow the client, ended when it goes away.

The first line is what sends the head, so an error before it still gets its own status.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping

from aiohttp import web

from hyper.api.call import Call
from hyper.api.errors import text_of

Line = Mapping[str, object]


class ProgressStream:
    """Lines on their way to a client; a newer one about the same step replaces a waiting one."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._waiting: OrderedDict[object, Line] = OrderedDict()
        self._changed = asyncio.Event()
        self._count = 0
        self.response = web.StreamResponse(
            headers={"Content-Type": "application/json", **call.headers}
        )

    def put(self, line: Line) -> None:
        """Queue a line; never blocks."""
        key: object = (line.get("id"), line.get("status")) if line.get("progressDetail") else None
        if key is None:
            self._count += 1
            key = self._count
        self._waiting[key] = line
        self._changed.set()

    async def flush(self) -> None:
        """Send what is queued."""
        while self._waiting:
            lines = list(self._waiting.values())
            self._waiting.clear()
            if not self.response.prepared:
                await self.response.prepare(self._call.request)
            await self.response.write(
                b"".join(json.dumps(line).encode() + b"\r\n" for line in lines)
            )

    async def pump(self) -> None:
        """Send lines as they come, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.flush()


async def stream_progress(
    call: Call,
    work: Callable[[Callable[[Line], None]], Coroutine[object, object, None]],
    *,
    errors_in_stream: bool = False,
) -> web.StreamResponse:
    """Run `work`, which gets a function for its lines; cancel it when the client goes away.

    An error after the first line becomes a last line with `errorDetail`, as Docker's; so does one
    before it with `errors_in_stream`.
    """
    stream = ProgressStream(call)
    failure: Exception | None = None
    with call.connection.cancelling():
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(stream.pump(), name="progress")
            try:
                await work(stream.put)
            except Exception as err:
                failure = err
            pump.cancel()
        if failure is not None:
            if not (stream.response.prepared or errors_in_stream):
                raise failure
            text = text_of(failure)
            stream.put({"errorDetail": {"message": text}, "error": text})
        await stream.flush()
        if not stream.response.prepared:
            await stream.response.prepare(call.request)
    return stream.response
