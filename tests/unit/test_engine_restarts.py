"""A container that ends and comes back by its policy: what is shown of it between both."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

from hyper.agent.messages import ProcessExited
from hyper.core.pod_spec import PodSpec
from hyper.core.spec import ContainerSpec, RestartPolicy, RestartPolicyName
from hyper.engine.container import Container
from hyper.engine.events import EventFeed
from hyper.engine.lifecycle import record_exit
from hyper.engine.plan import restart_delay_s
from hyper.engine.pod import Pod
from hyper.engine.states import ContainerState, PodState
from hyper.engine.store import ContainerRow, PodRow
from hyper.engine.views import Command, Status

COMMAND = Command(("false",), (), ("false",), (), "/", "", "SIGTERM")
RUNNING = Status(state=ContainerState.RUNNING, pid=7, started_ns=1)


class _Store:
    """Remembers each state a container is stored in."""

    def __init__(self) -> None:
        self.seen: list[ContainerState] = []

    async def call(self, _, container_id, status, events) -> None:
        self.seen.append(status.state)

    def put_status(self) -> None:
        raise AssertionError("only named")


async def _end(name: RestartPolicyName, tmp_path) -> tuple[list[ContainerState], Container]:
    store = _Store()
    metrics = SimpleNamespace(stream_bytes=None)
    services = SimpleNamespace(
        store=store, feed=EventFeed(), metrics=metrics, registry=None, pods_changed=asyncio.Event()
    )
    pod = Pod(PodRow("p", 1, PodSpec("p"), PodState.RUNNING, "", ""), services)
    spec = ContainerSpec("busybox", restart_policy=RestartPolicy(name))
    container = Container(ContainerRow("c", "c", "p", 1, spec, COMMAND, (), RUNNING), tmp_path)
    pod.containers["c"] = container
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(pod.supervisor.run())
        await asyncio.sleep(0)
        await record_exit(pod, container, ProcessExited(exit_code=1, exited_ns=2))
        task.cancel()
    return store.seen, container


async def test_who_comes_back_is_never_shown_as_ended(tmp_path) -> None:
    seen, container = await _end(RestartPolicyName.ALWAYS, tmp_path)
    assert seen == [ContainerState.RESTARTING]
    assert (container.status.restart_count, container.status.exit_code) == (1, 1)


async def test_who_does_not_come_back_has_ended(tmp_path) -> None:
    seen, container = await _end(RestartPolicyName.NO, tmp_path)
    assert seen == [ContainerState.EXITED]
    assert container.status.restart_count == 0


def test_the_wait_doubles_with_each_restart_and_a_long_run_begins_anew() -> None:
    short = [Status(restart_count=count, started_ns=1, finished_ns=2) for count in (1, 2, 3, 40)]
    assert [restart_delay_s(status) for status in short] == [0.1, 0.2, 0.4, 60.0]
    assert restart_delay_s(replace(short[-1], finished_ns=11_000_000_000)) == 0.1
