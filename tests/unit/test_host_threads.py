"""Blocking work in threads: named, and never left running behind a cancelled caller."""

import asyncio
import contextvars
import threading

import pytest

from hyper.host.threads import in_thread


async def test_the_thread_is_named_while_it_works() -> None:
    def name() -> str:
        return threading.current_thread().name

    assert await in_thread("hashing", name) == "hashing"
    assert await in_thread("other", name) == "other"


async def test_errors_and_context_pass_through() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(5)
    assert await in_thread("reading", variable.get) == 5
    with pytest.raises(ZeroDivisionError):
        await in_thread("dividing", lambda: 1 // 0)


async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    started, proceed, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        proceed.wait(60)
        done.set()
        raise OSError("too late to matter")

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(in_thread("working", work))
        await asyncio.to_thread(started.wait, 10)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        proceed.set()
    assert task.cancelled() and done.is_set()
