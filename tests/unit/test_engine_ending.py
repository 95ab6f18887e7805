"""What a container that does not die takes with it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest

from hyper.core.errors import Failure, Timeout, Unavailable
from hyper.engine import ending
from hyper.engine.container import Container
from hyper.engine.pod import Pod
from hyper.engine.states import ContainerState

T = TypeVar("T")


class _Container:
    def __init__(self, state: ContainerState) -> None:
        self.id = "c" * 64
        self.status = SimpleNamespace(state=state)
        self.end = asyncio.Event()
        self.turn = self

    async def next_exit(self) -> None:
        await self.end.wait()


@dataclass
class _Agent:
    answers: bool = True
    stall: str = ""

    def check_going(self) -> None:
        if self.stall:
            raise Unavailable(self.stall)

    async def request(self, message: object, timeout_s: float) -> None:
        if not self.answers:
            raise Timeout("Ping in the guest", timeout_s)


@dataclass
class _Pod:
    """A pod whose guest takes SIGKILL for its containers, and does nothing."""

    containers: dict[str, Any]
    agent: _Agent = field(default_factory=_Agent)
    killed: str = ""
    signalled: bool = False
    row: Any = field(default_factory=lambda: SimpleNamespace(spec=SimpleNamespace(name="p")))

    @property
    def machine(self) -> object:
        return SimpleNamespace(agent=self.agent)

    @property
    def supervisor(self) -> "_Pod":
        return self

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        return await request()

    async def signal(self, container: object, number: int, *, by_user: bool) -> None:
        self.signalled = not self.killed
        self.agent.check_going()

    async def kill_machine(self, reason: str) -> None:
        self.killed = reason
        for container in self.containers.values():
            container.end.set()


async def _kill(pod: _Pod, *, with_pod: bool = False) -> None:
    stuck = cast(Container, pod.containers["stuck"])
    await ending.kill_and_wait(cast(Pod, pod), stuck, with_pod=with_pod)


def _pod(neighbour: ContainerState) -> _Pod:
    return _Pod({"stuck": _Container(ContainerState.RUNNING), "other": _Container(neighbour)})


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "KILL_WAIT_S", 0.0)


async def test_a_container_that_does_not_die_leaves_its_neighbours_alone() -> None:
    pod = _pod(ContainerState.RUNNING)
    with pytest.raises(Failure, match=r"cccccccccccc does not die.*hyper pod kill p"):
        await _kill(pod)
    assert not pod.killed


async def test_its_vm_is_killed_when_the_pod_ends_anyway_or_nobody_else_runs() -> None:
    pod = _pod(ContainerState.RUNNING)
    await _kill(pod, with_pod=True)
    assert "does not die" in pod.killed
    pod = _pod(ContainerState.EXITED)
    await _kill(pod)
    assert "does not die" in pod.killed


async def test_its_vm_is_killed_when_the_guest_does_not_answer() -> None:
    pod = _pod(ContainerState.RUNNING)
    pod.agent.answers = False
    await _kill(pod)
    assert "does not die" in pod.killed


async def test_a_vm_that_waits_for_space_is_killed_once_it_is_noted_who_wanted_it() -> None:
    pod = _pod(ContainerState.EXITED)
    pod.agent.stall = "it stands still"
    await _kill(pod)
    assert "stands still" in pod.killed and pod.signalled


async def test_a_vm_that_waits_for_space_is_kept_for_the_neighbours() -> None:
    pod = _pod(ContainerState.RUNNING)
    pod.agent.stall = "it stands still"
    with pytest.raises(Unavailable, match="it stands still"):
        await _kill(pod)
    assert not pod.killed
    await _kill(pod, with_pod=True)
    assert pod.killed


async def test_a_vm_that_stops_for_want_of_space_meanwhile_is_kept_for_the_neighbours() -> None:
    pod = _pod(ContainerState.RUNNING)

    async def call(request: object) -> None:
        pod.agent.stall = "it stands still"
        raise Unavailable(pod.agent.stall)

    pod.call = call  # type: ignore[assignment,method-assign]
    with pytest.raises(Unavailable, match="it stands still"):
        await _kill(pod)
    assert not pod.killed
