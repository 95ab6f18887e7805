"""A pod's supervisor: one request at a time, failures contained, nobody left waiting."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from hyper.core.errors import Conflict, Failure, NotFound
from hyper.engine.supervisor import Supervisor


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor("p", logging.getLogger("test.supervisor"))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.run())
        await asyncio.sleep(0)
        yield made
        task.cancel()


async def test_requests_run_one_after_another(supervisor: Supervisor) -> None:
    seen: list[str] = []

    async def request(name: str) -> None:
        seen.append(name + " begins")
        await asyncio.sleep(0)
        seen.append(name + " ends")

    async with asyncio.TaskGroup() as tasks:
        for name in "ab":
            tasks.create_task(supervisor.call(lambda name=name: request(name)))  # type: ignore[misc]
    assert seen == ["a begins", "a ends", "b begins", "b ends"]


async def test_a_failing_request_fails_alone(supervisor: Supervisor) -> None:
    async def refuse() -> None:
        raise NotFound("container", "x")

    async def bug() -> None:
        raise ZeroDivisionError("oops")

    async def fine() -> int:
        return 7

    with pytest.raises(NotFound):
        await supervisor.call(refuse)
    with pytest.raises(Failure, match="internal error: ZeroDivisionError: oops"):
        await supervisor.call(bug)
    assert await supervisor.call(fine) == 7


async def test_who_asks_a_removed_pod_is_told(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    async def remove() -> None:
        supervisor.finish()

    async def late() -> None:
        raise AssertionError("ran after the end")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.call(remove))
        queued = tasks.create_task(_conflict(supervisor, late))
    assert queued.result()
    supervisor.post(late)
    await asyncio.sleep(0)
    # asyncio itself may speak of a slow step: that is not ours.
    assert not [r for r in caplog.records if r.name == "test.supervisor"]


async def test_work_beside_that_asks_a_removed_pod_is_no_error(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    removing, asked = asyncio.Event(), asyncio.Event()

    async def remove() -> None:
        supervisor.finish()
        removing.set()
        await asked.wait()
        await asyncio.sleep(0)

    async def late() -> None:
        raise AssertionError("ran after the end")

    async def ask() -> None:
        await removing.wait()
        asked.set()
        await supervisor.call(late)

    async def fail() -> None:
        raise Conflict("of its own")

    supervisor.spawn(fail, "mistaken")
    await asyncio.sleep(0)
    supervisor.spawn(ask, "late")
    await supervisor.call(remove)
    await asyncio.sleep(0)
    seen = [r.getMessage() for r in caplog.records if r.name == "test.supervisor"]
    assert seen == ["mistaken failed"]


async def _conflict(supervisor: Supervisor, request: object) -> bool:
    with pytest.raises(Conflict, match="pod p was removed"):
        await supervisor.call(request)  # type: ignore[arg-type]
    return True
