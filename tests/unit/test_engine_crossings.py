"""What happens to a pod at the same moment as something else: each is told as it was."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyper.agent.messages import (
    Data,
    Device,
    Message,
    Ping,
    PodShutdown,
    ProcessExited,
    ProcessSignal,
    ProcessStart,
)
from hyper.core.errors import Failure, Timeout, Unavailable
from hyper.core.pod_spec import Action, ActionKind, Hooks, PodSpec, Role
from hyper.core.spec import (
    ContainerSpec,
    ExecSpec,
    Healthcheck,
    LinkSpec,
    PortBinding,
    RestartPolicy,
    RestartPolicyName,
)
from hyper.engine import actions, ending, health, lifecycle, linking, plan, pod_life
from hyper.engine.actions import ActionResult
from hyper.engine.container import Container
from hyper.engine.execs import Exec
from hyper.engine.machine import Attached
from hyper.engine.output import Feed
from hyper.engine.pod import Pod
from hyper.engine.pod_verbs import PodVerbs
from hyper.engine.sessions import Sessions
from hyper.engine.states import ContainerEvent, ContainerState
from hyper.engine.views import Health, HealthProbe, Status
from hyper.hypervisor.driver import VmExit
from tests.support import quiet_pod
from tests.support.quiet_pod import Agent, settle

SPEC = ContainerSpec("busybox")
PLAIN = ProcessStart(process_id=1)


def _exec(pod: Pod, container: Container) -> tuple[Exec, Feed]:
    made = Exec("e", container, ExecSpec(("yes",)))
    made.process_id = 2
    feed = made.hub.open(stdout=True, stderr=True)
    assert pod.machine is not None
    pod.processes.open_exec(pod.supervisor, pod.machine, made, ProcessStart(process_id=2))
    return made, feed


def _end_output(agent: Agent, process_id: int) -> None:
    for which in (1, 2):
        agent.outputs[process_id, which].received(Data(0, b""), True)


async def test_an_exec_ends_with_the_vm_that_its_container_took_along(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        asked, feed = _exec(pod, container)
        agent.outputs[2, 1].received(Data(0, b"before"), False)
        asked.follow(pod.services.tell_at_once)
        await settle()
        listener = pod.services.feed.open()
        await pod.supervisor.call(partial(_stop_and_finish, pod))
        async with asyncio.timeout(5):
            assert [data async for _, data in feed] == [b"before"]
            assert await asked.wait() == 137
        event = await listener.take(limit_s=5)
        assert event is not None and event.action == "exec_die"
        assert dict(event.attributes)["exitCode"] == "137"


async def _stop_and_finish(pod: Pod) -> None:
    """End a pod as its removal does: nothing runs beside its supervisor afterwards."""
    await pod.stop_machine(graceful=False)
    pod.supervisor.finish()


async def test_an_exec_that_ended_before_anybody_follows_it_is_told_of(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, _, _):
        asked = Exec("e", quiet_pod.container(pod, tmp_path, SPEC), ExecSpec(("true",)))
        asked.ended(0)
        told: list[str] = []
        asked.follow(lambda event: told.append(event.action))
        assert told == ["exec_die"]


async def test_a_vm_lost_with_its_container_s_end_still_to_be_told(tmp_path: Path) -> None:
    """The guest has told how the process ended; its last output is just being taken."""
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        container.log.open()
        machine = pod.machine
        assert machine is not None
        pod.processes.open_main(pod.supervisor, machine, container, PLAIN)
        await settle()
        told = ProcessExited(process_id=1, exit_code=3, exited_ns=2)
        record = partial(lifecycle._record, pod)
        pod.supervisor.spawn(partial(pod.processes.ended, machine, told, record), "exit")
        await settle()
        ended = VmExit(status=0, signal=9, console_tail="")
        async with asyncio.TaskGroup() as group:
            group.create_task(pod.supervisor.call(partial(lifecycle._vm_gone, pod, machine, ended)))
            await settle()
            await agent.close()
        assert (container.status.state, container.status.exit_code) == (ContainerState.EXITED, 3)
        assert pod.machine is None


async def test_a_container_made_while_the_vm_of_its_pod_is_lost(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        container.log.open()
        machine = pod.machine
        assert machine is not None
        pod.processes.open_main(pod.supervisor, machine, container, PLAIN)
        ended = VmExit(status=0, signal=9, console_tail="")
        async with asyncio.TaskGroup() as group:
            group.create_task(pod.supervisor.call(partial(lifecycle._vm_gone, pod, machine, ended)))
            await settle()
            quiet_pod.container(pod, tmp_path, SPEC, name="d")
            _end_output(agent, 1)
        assert container.status.exit_code == lifecycle.LOST_VM


async def test_a_container_made_while_who_is_linked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with quiet_pod.running() as (pod, _, _), quiet_pod.running() as (other, _, _):
        target = quiet_pod.container(pod, tmp_path, SPEC, name="t")
        links = (LinkSpec(target.id, "db", "t"),)
        quiet_pod.container(other, tmp_path, replace(SPEC, links=links), name="o")
        told = []

        async def change_hosts(_: object, owner: Container, alias: str, address: str) -> None:
            quiet_pod.container(other, tmp_path, SPEC, name="n")
            told.append((owner.row.name, alias, address))

        monkeypatch.setattr(linking, "_change_hosts", change_hosts)
        monkeypatch.setattr(linking, "_address", lambda _: "10.0.0.9")
        monkeypatch.setattr(pod.services, "pods", lambda: [pod, other])
        await linking.tell_owners(pod, target)
        assert told == [("o", "db", "10.0.0.9")]


ALWAYS = ContainerSpec("busybox", restart_policy=RestartPolicy(RestartPolicyName.ALWAYS))
PUBLISHING = ContainerSpec("busybox", ports=(PortBinding(80, "tcp"),))
TOLD = ProcessExited(process_id=1, exit_code=1, exited_ns=2)


async def test_who_comes_while_a_run_is_cleared_away_gets_the_next(tmp_path: Path) -> None:
    """It is shown as exited already, but its ports are not free yet."""
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, PUBLISHING)
        container.log.open()
        shut, powered_off = asyncio.Event(), asyncio.Event()

        async def power_off(message: Message) -> None:
            shut.set()
            await powered_off.wait()
            assert pod.machine is not None
            await pod.machine.vm.kill()

        agent.answer = power_off
        async with asyncio.TaskGroup() as group:
            before = group.create_task(container.next_exit())
            attached = container.hub.open(stdout=True, stderr=True)
            await asyncio.sleep(0)
            group.create_task(
                pod.supervisor.call(partial(lifecycle.record_exit, pod, container, TOLD))
            )
            await shut.wait()
            assert container.status.state is ContainerState.EXITED
            coming = group.create_task(container.next_exit())
            asking = group.create_task(container.last_exit())
            feed = container.hub.open(stdout=True, stderr=True)
            await settle()
            assert not (before.done() or coming.done() or asking.done())
            powered_off.set()
            assert (await before).exit_code == (await asking).exit_code == 1
            assert [piece async for piece in attached] == []
            await settle()
            assert not coming.done()
            await container.hub.publish(1, b"of the next run")
            assert await anext(aiter(feed)) == (1, b"of the next run")
            coming.cancel()


async def test_a_guest_that_cannot_clear_away_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, PUBLISHING)
        container.log.open()
        assert pod.machine is not None
        device = Device(bus=0, index=0)
        pod.machine.containers[container.id] = Attached((device,), device)

        def refuse(message: Message) -> None:
            raise Timeout(type(message).__name__, 0)

        agent.answer = refuse
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(container.next_exit())
            await asyncio.sleep(0)
            await pod.supervisor.call(partial(lifecycle.record_exit, pod, container, TOLD))
            async with asyncio.timeout(5):
                assert (await waiting).exit_code == 1
        assert pod.machine is None


async def _fail_hook_when(
    told: asyncio.Event, monkeypatch: pytest.MonkeyPatch, pod: Pod, container: Container
) -> None:
    """Begin a post-start hook that fails when `told`."""

    async def perform(*_: object, **__: object) -> ActionResult:
        await told.wait()
        return ActionResult(False, 137, "killed")

    monkeypatch.setattr(actions, "perform", perform)
    pod.supervisor.spawn(partial(lifecycle._after_start, pod, container), "post-start")
    await settle()


HOOKED = replace(ALWAYS, hooks=Hooks(post_start=Action(ActionKind.EXEC, command=("true",))))


@pytest.mark.parametrize("first", ["end", "hook"])
async def test_a_hook_that_its_container_s_end_made_fail_prevents_no_restart(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of both is learnt of first."""
    monkeypatch.setattr(plan, "restart_delay_s", lambda _: 60.0)
    async with quiet_pod.running() as (pod, _, store):
        container = quiet_pod.container(pod, tmp_path, HOOKED)
        container.log.open()
        told = asyncio.Event()
        await _fail_hook_when(told, monkeypatch, pod, container)
        store.slow = {"put_status"}
        pod.supervisor.post(partial(lifecycle.record_exit, pod, container, TOLD))
        await store.waiting.wait()
        if first == "hook":
            told.set()
            await settle()
        store.go.set()
        await settle()
        told.set()
        await settle()
        assert container.status.state is ContainerState.RESTARTING
        assert not container.status.stopped_by_user


async def test_a_hook_of_the_run_before_says_nothing_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, HOOKED)
        told = asyncio.Event()
        await _fail_hook_when(told, monkeypatch, pod, container)
        container.set_status(replace(container.status, state=ContainerState.RESTARTING))
        container.ended()
        container.set_status(replace(container.status, state=ContainerState.RUNNING))
        told.set()
        await settle()
        assert not container.readiness.hooked
        assert agent.asked == []


async def test_health_checks_end_with_the_run_that_ends_during_a_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probing, answered = asyncio.Event(), asyncio.Event()

    async def probe(*_: object) -> HealthProbe:
        probing.set()
        await answered.wait()
        return HealthProbe(1, 2, 0, "")

    monkeypatch.setattr(health, "_probe", probe)
    check = Healthcheck(("CMD", "true"), interval_s=0.001, timeout_s=1, retries=1)
    async with quiet_pod.running() as (pod, _, _), asyncio.TaskGroup() as group:
        container = quiet_pod.container(pod, tmp_path, ALWAYS)
        monitoring = group.create_task(health.monitor(pod, container, check))
        await probing.wait()
        container.set_status(replace(container.status, state=ContainerState.RESTARTING))
        container.ended()
        container.set_status(replace(container.status, state=ContainerState.RUNNING))
        container.health = Health(health.STARTING)
        answered.set()
        async with asyncio.timeout(5):
            await monitoring
        assert container.health == Health(health.STARTING)


async def test_a_container_that_dies_at_the_last_moment_takes_nobody_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "KILL_WAIT_S", 0.0)
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        container.log.open()
        quiet_pod.container(pod, tmp_path, SPEC, name="d")
        machine = pod.machine
        assert machine is not None

        async def answer(message: Message) -> None:
            if isinstance(message, Ping):
                await pod.supervisor.call(partial(lifecycle.record_exit, pod, container, TOLD))

        agent.answer = answer
        async with asyncio.timeout(5):
            await ending.kill_and_wait(pod, container)
        assert pod.machine is machine


async def test_a_command_whose_start_nobody_waits_for_leaves_nothing(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        assert pod.machine is not None

        async def never(message: Message) -> None:
            if isinstance(message, ProcessStart):
                await asyncio.Event().wait()

        agent.answer = never
        outcome = await actions.run(pod, pod.machine, container, ("true",), 0.01)
        assert outcome.timed_out
        await settle()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("output")]


async def test_what_is_begun_as_the_vm_ends_is_not_waited_for(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        assert pod.machine is not None
        pods = SimpleNamespace(all=lambda: [pod])
        sessions = Sessions(cast(Any, pods), Counter())
        exec_id = await sessions.exec_create(container.id, ExecSpec(("true",)))
        await agent.close()  # as a probe or a user may find it: the pod is being stopped
        outcome = await actions.run(pod, pod.machine, container, ("true",), 5)
        assert not outcome.ok and not outcome.timed_out
        with pytest.raises(Unavailable):
            await sessions.exec_start(exec_id, detach=True)
        async with asyncio.timeout(5):
            assert await sessions.exec_wait(exec_id) != 0
            await pod.supervisor.call(partial(pod.stop_machine, graceful=False))


async def test_who_waits_for_a_container_whose_pod_is_removed_by_force(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path / "c", SPEC)
        container.folder.mkdir()
        container.log.open()
        assert pod.machine is not None
        pod.processes.open_main(pod.supervisor, pod.machine, container, PLAIN)
        attached = container.hub.open(stdout=True, stderr=True)
        pods = SimpleNamespace(find=lambda _: pod)
        verbs = PodVerbs(pod.services, cast(Any, pods), cast(Any, None))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(container.next_exit())
            await settle()
            agent.outputs[1, 1].received(Data(0, b"last words"), False)
            await verbs.remove("p", force=True)
            assert [data async for _, data in attached] == [b"last words"]
        assert waiting.result().exit_code == 137


async def test_a_container_started_by_a_user_as_its_pod_is_started_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with quiet_pod.running(PodSpec("p")) as (pod, _, _):
        container = quiet_pod.container(pod, tmp_path, SPEC, Status())

        async def start() -> None:
            await settle()
            container.set_status(container.after(ContainerEvent.START))

        original = lifecycle.running_machine

        async def running_machine(pod: Pod, first: Container | None) -> object:
            pod.supervisor.post(start)
            return await original(pod, first)

        monkeypatch.setattr(lifecycle, "running_machine", running_machine)
        await pod_life.start(pod)
        assert container.status.state is ContainerState.RUNNING


async def test_each_sidecar_is_ended_once_though_all_end_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its hook would run once more with each that ends before it."""
    hooks: list[str] = []

    async def perform(pod: Pod, machine: object, asked: Container, *_: object, **__: object) -> Any:
        hooks.append(asked.row.name)
        await hooked.wait()
        return ActionResult(True, 0, "")

    hooked = asyncio.Event()
    monkeypatch.setattr(actions, "perform", perform)
    async with quiet_pod.running(PodSpec("p", follows=True)) as (pod, _, _):
        spec = replace(SPEC, role=Role.SIDECAR)
        first = quiet_pod.container(pod, tmp_path / "a", spec, name="a")
        hook = Hooks(pre_stop=Action(ActionKind.EXEC, command=("true",)))
        quiet_pod.container(pod, tmp_path / "b", replace(spec, hooks=hook), name="b")
        await pod.supervisor.call(pod.stop_if_idle)
        await settle()
        await pod.supervisor.call(partial(lifecycle.record_exit, pod, first, TOLD))
        await settle()
        assert hooks == ["b"]
        hooked.set()


async def test_a_vm_does_not_outlive_the_last_container_in_it_that_goes_when_it_ends(
    tmp_path: Path,
) -> None:
    """The one whose network it shares has ended before it."""
    async with quiet_pod.running(PodSpec("p", follows=True, lone=True)) as (pod, _, _):
        quiet_pod.container(pod, tmp_path / "a", SPEC, Status(ContainerState.EXITED), name="a")
        spec = replace(SPEC, auto_remove=True)
        passing = quiet_pod.container(pod, tmp_path / "b", spec, name="b")
        passing.folder.mkdir()
        passing.log.open()
        await pod.supervisor.call(partial(lifecycle.record_exit, pod, passing, TOLD))
        assert list(pod.containers) == ["a" * 64]
        assert pod.machine is None


async def test_a_container_started_as_its_pod_is_stopped_is_stopped_with_it(
    tmp_path: Path,
) -> None:
    """Else it would be shown as running, without a VM, and nothing could be done about it."""
    async with quiet_pod.running(PodSpec("p")) as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, SPEC, Status(ContainerState.EXITED))
        container.log.open()

        async def start() -> None:
            await settle()
            container.set_status(replace(container.after(ContainerEvent.START), process_id=1))

        async def answer(message: Message) -> None:
            if isinstance(message, ProcessSignal):
                pod.supervisor.post(partial(lifecycle.record_exit, pod, container, TOLD))
            elif isinstance(message, PodShutdown):
                await agent.vm.kill()

        agent.answer = answer
        pod.supervisor.post(start)
        async with asyncio.timeout(5):
            await pod_life.stop(pod, 1)
        assert pod.machine is None
        assert container.status.state is ContainerState.EXITED


async def test_a_vm_whose_containers_ended_as_a_start_of_their_pod_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with quiet_pod.running(PodSpec("p", follows=True)) as (pod, _, _):
        running = quiet_pod.container(pod, tmp_path / "a", SPEC, name="a")
        running.folder.mkdir()
        running.log.open()
        quiet_pod.container(pod, tmp_path / "b", SPEC, Status(ContainerState.EXITED), name="b")

        async def start(*_: object) -> None:
            await lifecycle.record_exit(pod, running, TOLD)
            raise Timeout("a process", 1)

        monkeypatch.setattr(lifecycle, "start", start)
        with pytest.raises(Failure, match="did not start"):
            await pod_life.start(pod)
        await settle()
        assert pod.machine is None


async def test_a_container_whose_vm_is_lost_as_it_is_stopped_is_stopped(tmp_path: Path) -> None:
    async with quiet_pod.running() as (pod, agent, _):
        container = quiet_pod.container(pod, tmp_path, SPEC)
        container.log.open()
        machine = pod.machine
        assert machine is not None
        gone = VmExit(status=0, signal=9, console_tail="")

        def lose(message: Message) -> None:
            pod.supervisor.post(partial(lifecycle._vm_gone, pod, machine, gone))
            raise Unavailable("the connection to the guest is lost")

        agent.answer = lose
        async with asyncio.timeout(5):
            await ending.end(pod, container, 15, 1)
        assert container.status.state is ContainerState.EXITED
