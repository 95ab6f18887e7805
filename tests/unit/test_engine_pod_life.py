"""What a pod's start waits for, when a container ends before the start has looked."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from hyper.core.errors import Conflict, Failure
from hyper.engine import pod_life
from hyper.engine.container import Container, Readiness
from hyper.engine.pod import Pod
from hyper.engine.states import ContainerState


class _Container:
    """A running container whose hook is under way."""

    def __init__(self) -> None:
        self.readiness = Readiness()
        self.status = SimpleNamespace(state=ContainerState.RUNNING, error="", exit_code=0)
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def next_exit(self) -> None:
        await asyncio.shield(self._end)

    def ended(self, status: int) -> None:
        self.status.state, self.status.exit_code = ContainerState.EXITED, status
        self._end.set_result(None)
        self.readiness.reset()


class _Pod:
    """A pod whose supervisor is busy with a container's end when it is asked anything."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self.stop_wanted = asyncio.Event()

    @property
    def supervisor(self) -> "_Pod":
        return self

    async def call(self, request: Callable[[], Awaitable[None]]) -> None:
        self._end()
        await request()


async def _hooked(error: str, status: int) -> None:
    """Await the hook of a container that ended between its hook and the start's next look."""
    container = _Container()
    pod = _Pod(lambda: container.ended(status))
    waiting = pod_life._await(
        cast(Pod, pod), cast(Container, container), lambda readiness: readiness.hooked
    )
    asyncio.get_running_loop().call_later(0.01, container.readiness.after_hook, error)
    await waiting


async def test_a_start_tells_the_failed_hook_though_the_container_is_dead() -> None:
    with pytest.raises(Failure, match="its post-start hook failed: no such file"):
        await _hooked("no such file", 137)


async def test_a_container_that_ended_after_its_hook_has_started() -> None:
    await _hooked("", 0)


async def test_a_container_that_ended_before_its_hook_has_not_started() -> None:
    container = _Container()
    container.ended(3)
    with pytest.raises(Failure, match="it ended with status 3"):
        await pod_life._await(
            cast(Pod, None), cast(Container, container), lambda readiness: readiness.hooked
        )


async def test_a_stop_ends_the_wait_for_a_hook_that_goes_on() -> None:
    pod = _Pod(lambda: None)
    asyncio.get_running_loop().call_later(0.01, pod.stop_wanted.set)
    with pytest.raises(Conflict, match="the pod was stopped"):
        await pod_life._await(
            cast(Pod, pod), cast(Container, _Container()), lambda readiness: readiness.hooked
        )


def test_why_a_hook_failed_is_known_until_the_next_run() -> None:
    readiness = Readiness()
    readiness.after_hook("no such file")
    readiness.reset()
    assert not readiness.hooked
    assert readiness.hook_error == "its post-start hook failed: no such file"
    readiness.begin()
    assert readiness.hook_error == ""
