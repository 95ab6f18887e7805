"""What happens to a pod at the same moment as something else: each is told as it was."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from hyper.agent.messages import Data, ProcessExited, ProcessStart
from hyper.core.spec import ContainerSpec, ExecSpec, LinkSpec
from hyper.engine import lifecycle, linking
from hyper.engine.container import Container
from hyper.engine.execs import Exec
from hyper.engine.output import Feed
from hyper.engine.pod import Pod
from hyper.engine.states import ContainerState
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
        await settle()
        await pod.supervisor.call(partial(pod.stop_machine, graceful=False))
        async with asyncio.timeout(5):
            assert [data async for _, data in feed] == [b"before"]
            assert await asked.wait() == 137


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
