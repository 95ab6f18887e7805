"""Owns a pod's inbox and its tasks: requests run one after another, work beside them is contained.

The boundary at which an unexpected exception becomes one failed request instead of a dead daemon.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hyper.core.errors import Conflict, Failure, HyperError

T = TypeVar("T")


class Supervisor:
    """The one task that changes a pod's state, and the tasks that belong to it."""

    def __init__(self, name: str, log: logging.Logger) -> None:
        self._name = name
        self._log = log
        self._inbox: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = (
            asyncio.Queue()
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._finished = False

    async def run(self) -> None:
        """Serve the inbox until `finish` or until cancelled; nothing of it runs afterwards."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while not self._finished:
                    request, result = await self._inbox.get()
                    await self._serve(request, result)
                raise _Finished
        except* _Finished:
            pass
        finally:
            self._finished = True
            while not self._inbox.empty():
                _fail(self._inbox.get_nowait()[1], Conflict(f"pod {self._name} was removed"))

    async def _serve(
        self, request: Callable[[], Awaitable[Any]], result: asyncio.Future[Any]
    ) -> None:
        try:
            value = await request()
        except HyperError as err:
            _fail(result, err)
        except Exception as err:
            self._log.exception("a request failed unexpectedly")
            _fail(result, Failure(f"internal error: {type(err).__name__}: {err}"))
        else:
            if not result.done():
                result.set_result(value)

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """Run `request` in the supervisor and return its result, or raise what it raised.

        A request that was begun is finished even if its caller goes away.
        """
        return await self._put(request)

    def post(self, request: Callable[[], Awaitable[object]]) -> None:
        """Run `request` in the supervisor some time; what it raises is logged."""
        self._put(request).add_done_callback(self._report)

    def _put(self, request: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._finished:
            _fail(result, Conflict(f"pod {self._name} was removed"))
        else:
            self._inbox.put_nowait((request, result))
        return result

    def _report(self, result: asyncio.Future[Any]) -> None:
        failed = None if result.cancelled() else result.exception()
        # Of a removed pod nothing is left to do: its VM's end, say, is no news any more.
        if failed and not self._finished:
            self._log.error("an internal step failed: %s", failed)

    def spawn(self, work: Callable[[], Awaitable[object]], name: str) -> None:
        """Run `work` beside the inbox, named; what it raises is logged and ends nothing else."""

        async def run() -> None:
            try:
                await work()
            except Conflict:
                if not self._finished:  # else it asked for what a removed pod does not do any more
                    self._log.exception("%s failed", name)
            except Exception:
                self._log.exception("%s failed", name)

        assert self._tasks is not None, "spawned before run"
        self._tasks.create_task(run(), name=f"{name}-{self._name}")

    def finish(self) -> None:
        """End after the request that runs now: the pod was removed."""
        self._finished = True


class _Finished(Exception):
    pass


def _fail(result: asyncio.Future[Any], err: Exception) -> None:
    if not result.done():
        result.set_exception(err)
