"""Blocking work in named threads. Owns none: they are those of the loop's default executor."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return `function(*args, **kwargs)`, run in a thread that is called `name` meanwhile.

    A thread cannot be interrupted: a cancelled caller is cancelled only when the function has
    returned, so nothing works on behind the back of the caller's undo.
    """

    def named() -> R:
        thread = threading.current_thread()
        before, thread.name = thread.name, name
        try:
            return function(*args, **kwargs)
        finally:
            thread.name = before

    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(None, lambda: context.run(named))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await _settle(future)
        raise


async def _settle(future: "asyncio.Future[R]") -> None:
    """Wait until `future` is done, however often the caller is cancelled meanwhile."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()  # seen here; the caller learns of the cancellation instead
