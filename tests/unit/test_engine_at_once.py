"""Two who want something of the same pod, volume or network at once, and who leaves meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyper.agent.messages import (
    ContainerPause,
    ContainerProcesses,
    ContainerStats,
    FileStat,
    Message,
    PodShutdown,
    ProcessExited,
    ProcessResize,
    ProcessSignal,
    ProcessStart,
)
from hyper.core.errors import Conflict, Failure, Forbidden, NotModified
from hyper.core.pod_spec import PodSpec
from hyper.core.spec import ContainerSpec, EndpointSpec, ExecSpec, NetworkSpec
from hyper.core.units import GIB
from hyper.engine import files, jobs, lifecycle, visits
from hyper.engine.container import Container
from hyper.engine.container_changes import ContainerChanges
from hyper.engine.containers import Containers
from hyper.engine.events import EventFeed
from hyper.engine.membership import Memberships
from hyper.engine.networks import NetworkRegistry
from hyper.engine.pod import Pod
from hyper.engine.pod_verbs import PodVerbs
from hyper.engine.sessions import Sessions
from hyper.engine.states import ContainerEvent, ContainerState, PodEvent, PodState
from hyper.engine.store import Store
from hyper.engine.views import Exit, Status
from hyper.engine.visit import Visit
from hyper.engine.volumes import Volumes
from hyper.storage.volume_disks import VolumeDisks
from hyper.storage.volumes import Volumes as VolumeFolders
from tests.support import quiet_pod
from tests.support.quiet_pod import settle

SPEC = ContainerSpec("busybox")
TOLD = ProcessExited(process_id=1, exit_code=0, exited_ns=2)


def _containers(pod: Pod) -> Containers:
    return Containers(pod.services, _pods(pod), cast(Any, None), cast(Any, None))


def _changes(pod: Pod) -> ContainerChanges:
    return ContainerChanges(pod.services, _pods(pod))


def _sessions(pod: Pod) -> Sessions:
    return Sessions(_pods(pod), Counter())


def _verbs(pod: Pod) -> PodVerbs:
    return PodVerbs(pod.services, _pods(pod), cast(Any, None))


def _pods(pod: Pod) -> Any:
    return SimpleNamespace(all=lambda: [pod], find=lambda _: pod, host_cpus=8)


# --- a container, a pod -------------------------------------------------------------------------


async def test_of_two_who_start_a_container_one_is_told_that_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(pod: Pod, container: Container) -> None:
        running = container.after(ContainerEvent.START)
        await asyncio.sleep(0)
        container.set_status(running)

    monkeypatch.setattr(lifecycle, "start", start)
    async with quiet_pod.running() as (pod, _, _):
        container = quiet_pod.container(pod, tmp_path, SPEC, Status())
        verbs = _containers(pod)
        results = await asyncio.gather(
            *(verbs.start(container.id) for _ in range(2)), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None), NotModified]


@pytest.mark.parametrize("auto_remove", [False, True])
async def test_a_container_that_ends_by_itself_as_it_is_stopped_is_stopped_already(
    auto_remove: bool, tmp_path: Path
) -> None:
    async with quiet_pod.running() as (pod, _, _):
        spec = replace(SPEC, auto_remove=auto_remove)
        container = quiet_pod.container(pod, tmp_path / "c", spec)
        container.folder.mkdir()
        container.log.open()
        pod.supervisor.post(partial(lifecycle.record_exit, pod, container, TOLD))
        with pytest.raises(NotModified):
            await _containers(pod).stop(container.id)


async def test_a_pod_whose_container_was_just_started_is_not_removed(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, _, _):
        await pod.move(PodEvent.GONE)
        machine, pod.machine = pod.machine, None
        container = quiet_pod.container(pod, tmp_path, SPEC)

        async def start() -> None:
            pod.machine = machine
            await pod.move(PodEvent.START)
            await pod.move(PodEvent.READY)

        pod.supervisor.post(start)
        with pytest.raises(Conflict, match="it is running: stop it first"):
            await _verbs(pod).remove("p")
        assert pod.containers == {container.id: container}
        assert pod.row.state is PodState.RUNNING


# What is asked of a container, and what it asks the guest for.
ASKED_WHILE_IT_STARTS: dict[str, tuple[Callable[[Pod, str], Coroutine[Any, Any, Any]], Any]] = {
    "kill": (lambda pod, name: _containers(pod).kill(name, "TERM"), ProcessSignal),
    "stop": (lambda pod, name: _containers(pod).stop(name), ProcessSignal),
    "pause": (lambda pod, name: _containers(pod).set_paused(name, True), ContainerPause),
    "resize": (lambda pod, name: _sessions(pod).resize(name, 24, 80), ProcessResize),
    "top": (lambda pod, name: _sessions(pod).processes(name), ContainerProcesses),
    "stats": (lambda pod, name: _sessions(pod).statistics(name), ContainerStats),
    "pod kill": (lambda pod, _: _verbs(pod).kill("p", "TERM"), ProcessSignal),
    "pod pause": (lambda pod, _: _verbs(pod).set_paused("p", True), ContainerPause),
}


@pytest.mark.parametrize("verb", ASKED_WHILE_IT_STARTS)
async def test_who_asks_a_container_for_something_as_it_starts_is_served_once_it_runs(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, expected = ASKED_WHILE_IT_STARTS[verb]
    async with _starting(tmp_path, monkeypatch) as (pod, container, agent, go):
        asking = asyncio.create_task(ask(pod, container.id))
        await settle()
        assert not asking.done() and agent.asked == []
        go.set()
        await settle()
        assert [type(message) for message in agent.asked] == [expected]
        asking.cancel()


async def test_who_looks_at_a_container_that_starts_sees_it_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _starting(tmp_path, monkeypatch) as (pod, container, _, go):
        async with asyncio.TaskGroup() as group:
            shown = group.create_task(_containers(pod).get_settled(container.id))
            made = group.create_task(_sessions(pod).exec_create(container.id, ExecSpec(("true",))))
            for_end = group.create_task(_containers(pod).wait(container.id))
            of_pod = group.create_task(_verbs(pod).wait("p"))
            await settle()
            assert not (shown.done() or made.done())
            go.set()
            assert (await shown).state is ContainerState.RUNNING
            assert pod.execs[await made].container is container
            await settle()
            assert not (for_end.done() or of_pod.done())
            pod.supervisor.post(partial(lifecycle.record_exit, pod, container, TOLD))
        assert for_end.result() == of_pod.result() == Exit(0)


@asynccontextmanager
async def _starting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Pod, Container, quiet_pod.Agent, asyncio.Event]]:
    """Give a container whose process has just begun, in a start that goes on after an event."""
    launched, go = asyncio.Event(), asyncio.Event()

    async def launch(_: Pod, container: Container, __: object) -> tuple[ProcessStart, int]:
        launched.set()
        await go.wait()
        return ProcessStart(process_id=1, container=container.id), 7

    monkeypatch.setattr(lifecycle, "_launch", launch)
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, folder, replace(SPEC, tty=True), Status())
        async with asyncio.TaskGroup() as group:
            group.create_task(_containers(pod).start(container.id))
            await launched.wait()
            try:
                yield pod, container, agent, go
            finally:
                go.set()


async def test_two_who_label_a_pod_both_have_their_label() -> None:
    async with quiet_pod.running() as (pod, _, _):
        verbs = _verbs(pod)
        await asyncio.gather(*(verbs.label("p", [(key, "1")]) for key in "ab"))
        assert dict(pod.row.spec.labels) == {"a": "1", "b": "1"}


async def test_of_two_who_remove_a_container_one_is_told_of_the_other(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, _, _):
        container = quiet_pod.container(pod, tmp_path / "c", SPEC, Status())
        verbs = _containers(pod)
        first, second = await asyncio.gather(
            *(verbs.remove(container.id) for _ in range(2)), return_exceptions=True
        )
        assert first is None
        assert isinstance(second, Conflict) and "already in progress" in str(second)


async def test_a_container_is_removed_by_force_also_while_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(pod: Pod, container: Container) -> None:
        running = container.after(ContainerEvent.START, process_id=1)
        await asyncio.sleep(0)
        container.set_status(running)

    monkeypatch.setattr(lifecycle, "start", start)
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path / "c", SPEC, Status())
        container.folder.mkdir()
        container.log.open()

        def answer(message: Message) -> None:
            if isinstance(message, ProcessSignal):
                pod.supervisor.post(partial(lifecycle.record_exit, pod, container, TOLD))
            if isinstance(message, PodShutdown):
                agent.vm.ended.set()

        agent.answer = answer
        verbs = _containers(pod)
        async with asyncio.timeout(5):
            await asyncio.gather(verbs.start(container.id), verbs.remove(container.id, force=True))
        assert pod.containers == {}
        assert [message.signal for message in agent.asked if isinstance(message, ProcessSignal)]


async def test_two_who_update_a_container_both_have_their_limit(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, _, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        changes = _changes(pod)
        await asyncio.gather(
            changes.update(container.id, lambda now: replace(now, memory_bytes=GIB), None),
            changes.update(container.id, lambda now: replace(now, cpu_shares=7), None),
        )
        now = container.spec.resources
        assert (now.memory_bytes, now.cpu_shares) == (GIB, 7)


async def test_nothing_is_added_to_a_pod_that_is_just_removed(tmp_path: Path) -> None:
    """The container would be in no pod that anybody finds."""
    async with quiet_pod.running(PodSpec("p", lone=True)) as (pod, _, store):
        first = quiet_pod.container(pod, tmp_path / "c", SPEC, Status(ContainerState.EXITED))
        row = replace(first.row, id="d" * 64, name="d")
        store.slow = {"remove_container"}
        verbs = _containers(pod)
        async with asyncio.TaskGroup() as group:
            group.create_task(pod.supervisor.call(partial(lifecycle.remove, pod, first)))
            await store.waiting.wait()
            adding = group.create_task(_refused(verbs._add(row, pod, False)))
            await settle()
            store.go.set()
        assert adding.result()
        assert pod.containers == {}


async def _refused(work: Any) -> bool:
    with pytest.raises(Conflict, match="was removed"):
        await work
    return True


# --- files --------------------------------------------------------------------------------------


async def test_who_leaves_before_a_visit_begins_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with quiet_pod.running() as (pod, _, _):
        container = quiet_pod.container(pod, tmp_path, SPEC, Status(ContainerState.EXITED))
        begun, go = asyncio.Event(), asyncio.Event()
        assert pod.machine is not None
        visit = Visit(pod.machine, own=False)

        async def begin(*_: object) -> Visit:
            begun.set()
            await go.wait()
            return visit

        monkeypatch.setattr(visits, "_begin", begin)

        async def use() -> None:
            async with visits.files_of(pod, container, lambda _: None):
                raise AssertionError("it had left")

        async with asyncio.TaskGroup() as group:
            using = group.create_task(use())
            await begun.wait()
            using.cancel()
        go.set()
        await settle()
        assert pod.visits == {container.id: visit}
        assert not visit.used


async def test_a_job_whose_client_leaves_before_it_has_begun_is_ended() -> None:
    async with quiet_pod.running() as (pod, agent, _):
        machine = pod.machine
        assert machine is not None
        asked = asyncio.Event()

        async def answer(message: Message) -> None:
            if isinstance(message, ProcessSignal):
                machine.jobs[message.process_id].ended(ProcessExited(exit_code=1))
            else:
                asked.set()
                await asyncio.Event().wait()

        agent.answer = answer

        async def use() -> None:
            async with jobs.job(machine, "c", lambda number: FileStat("c", number, "/")):
                raise AssertionError("it had left")

        async with asyncio.TaskGroup() as group:
            using = group.create_task(use())
            await asked.wait()
            using.cancel()
        assert [type(message) for message in agent.asked] == [FileStat, ProcessSignal]


async def test_a_container_that_ends_as_it_is_committed_need_not_be_paused(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, _, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        container.log.open()
        pod.supervisor.post(partial(lifecycle.record_exit, pod, container, TOLD))
        async with files._paused(pod, container, True):
            assert container.status.state is ContainerState.EXITED


# --- volumes, networks --------------------------------------------------------------------------


def _volumes(tmp_path: Path) -> tuple[Volumes, Store]:
    store, folder = Store(tmp_path / "state.db"), tmp_path / "volumes"
    return Volumes(store, EventFeed(), VolumeFolders(folder), VolumeDisks(folder)), store


async def test_two_who_name_a_new_volume_get_one(tmp_path: Path) -> None:
    volumes, store = _volumes(tmp_path)
    first, second = await asyncio.gather(
        *(volumes.create("data", labels=(("by", who),)) for who in "ab")
    )
    assert first == second
    assert [event.action for event in store.events(0, 1 << 62)] == ["create"]
    store.close()


async def test_a_volume_made_while_one_of_its_name_is_removed_has_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes, store = _volumes(tmp_path)
    await volumes.create("data")
    remove, removing, go = VolumeFolders.remove, asyncio.Event(), asyncio.Event()

    async def slowly(folders: VolumeFolders, name: str) -> None:
        removing.set()
        await go.wait()
        await remove(folders, name)

    monkeypatch.setattr(VolumeFolders, "remove", slowly)
    async with asyncio.TaskGroup() as group:
        group.create_task(volumes.remove("data"))
        await removing.wait()
        making = group.create_task(volumes.create("data"))
        await asyncio.wait([making], timeout=0.05)
        go.set()
    assert Path(making.result().mountpoint).is_dir()
    store.close()


async def test_two_networks_made_at_once_have_different_subnets(tmp_path: Path) -> None:
    async def nothing(*_: object) -> None:
        await asyncio.sleep(0)

    backend = SimpleNamespace(define=nothing, forget=nothing, fixed_subnet="")
    store = Store(tmp_path / "state.db")
    registry = NetworkRegistry(store, EventFeed(), cast(Any, backend))
    made = await asyncio.gather(*(registry.create(NetworkSpec(name)) for name in "ab"))
    assert len({plan.subnet for info in made for plan in info.spec.subnets}) == 2
    again = await asyncio.gather(
        *(registry.create(NetworkSpec("c")) for _ in range(2)), return_exceptions=True
    )
    assert [type(result) for result in again].count(Conflict) == 1
    store.close()


async def test_a_network_that_a_container_is_just_starting_on_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        await asyncio.sleep(0)

    launching, go = asyncio.Event(), asyncio.Event()

    async def launch(*_: object) -> None:
        launching.set()
        await go.wait()
        raise Failure("no room")

    monkeypatch.setattr(lifecycle, "_launch", launch)
    backend = SimpleNamespace(define=nothing, forget=nothing, fixed_subnet="")
    store = Store(tmp_path / "state.db")
    registry = NetworkRegistry(store, EventFeed(), cast(Any, backend))
    info = await registry.create(NetworkSpec("n"))
    async with quiet_pod.running() as (pod, _, _):
        spec = replace(SPEC, endpoints=(EndpointSpec("n", info.id),))
        container = quiet_pod.container(pod, tmp_path, spec, Status())
        pod.services.registry = registry
        networks = Memberships(pod.services, _pods(pod))
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(_failed(_containers(pod).start(container.id)))
            await launching.wait()
            with pytest.raises(Forbidden, match=r'network n has active endpoints \(name:"c" id:"c'):
                await networks.remove("n")
            go.set()
        assert starting.result()
        await networks.remove("n")
        assert registry.list() == []
    store.close()


async def _failed(work: Any) -> bool:
    with pytest.raises(Failure, match="no room"):
        await work
    return True
