"""Owns one pod's life: its supervisor, the only writer of the pod's and its containers' state.

Requests come through the inbox and run one after another, so no two of them ever see a half-made
state. What takes long (waiting for an exit, a client that reads slowly) happens outside.
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from time import time_ns
from typing import Any, TypeVar

from hyper.agent import messages as guest
from hyper.core import signals
from hyper.core.errors import Conflict, Failure, GuestError, HyperError, Unavailable
from hyper.engine import boot, plan
from hyper.engine.container import Container
from hyper.engine.events import Event
from hyper.engine.execs import Exec
from hyper.engine.machine import Machine
from hyper.engine.processes import Processes
from hyper.engine.services import Services
from hyper.engine.states import (
    ACTIVE,
    POD,
    ContainerEvent,
    ContainerState,
    PodEvent,
    PodState,
    next_state,
)
from hyper.engine.store import PodRow
from hyper.engine.views import PodView, Status
from hyper.hypervisor.driver import VmExit

T = TypeVar("T")

SHUTDOWN_S = 10.0
LOST_VM = 255
_LEVELS = {3: logging.ERROR, 4: logging.WARNING, 6: logging.INFO, 7: logging.DEBUG}  # syslog(3)


class Pod:
    """A pod and its supervisor; `call` runs a request in the supervisor."""

    def __init__(self, row: PodRow, services: Services) -> None:
        self.row = row
        self.containers: dict[str, Container] = {}
        self.machine: Machine | None = None
        self.processes = Processes()
        self.execs: dict[str, Exec] = {}
        self.log = logging.getLogger("engine.pod").getChild(row.id[:12])
        self._services = services
        self._inbox: asyncio.Queue[Callable[[], Awaitable[None]] | None] = asyncio.Queue()
        self._tasks: asyncio.TaskGroup | None = None

    # --- the supervisor -----------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the inbox until the pod is removed or the daemon ends.

        The VM, if one runs, is left running: the next daemon takes it over.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                while (request := await self._inbox.get()) is not None:
                    await request()
                raise _Removed
        except* _Removed:
            pass
        finally:
            if self.machine:
                await self.machine.agent.close()
                await self.machine.vm.close()

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """Run `request` in the supervisor and return its result, or raise what it raised."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                value = await request()
            except HyperError as err:
                _settle(result, err)
            except Exception as err:
                self.log.exception("a request failed unexpectedly")
                _settle(result, Failure(f"internal error: {type(err).__name__}: {err}"))
            else:
                if not result.done():
                    result.set_result(value)

        self._inbox.put_nowait(run)
        return await result

    def post(self, request: Callable[[], Awaitable[None]]) -> None:
        """Run `request` in the supervisor some time; what it raises is logged."""

        async def run() -> None:
            try:
                await request()
            except Exception:
                self.log.exception("an internal step failed")

        self._inbox.put_nowait(run)

    def spawn(self, work: Callable[[], Awaitable[Any]], name: str) -> None:
        """Run `work` beside the inbox, named; what it raises is logged and ends nothing else."""

        async def run() -> None:
            try:
                await work()
            except Exception:
                self.log.exception("%s failed", name)

        assert self._tasks is not None
        self._tasks.create_task(run(), name=f"{name}-{self.row.id[:12]}")

    def finish(self) -> None:
        """End the supervisor after what is queued: the pod was removed."""
        self._inbox.put_nowait(None)

    # --- the VM -------------------------------------------------------------------------------

    async def running_machine(self, first: Container | None) -> Machine:
        """Return the pod's machine, started with `first`'s disks in its slots if there is none."""
        if self.machine is None:
            await self._move(PodEvent.START)
            try:
                self.machine = await boot.start(self, self._services, first)
            except BaseException:
                await self._move(PodEvent.GONE)
                raise
            await self._move(PodEvent.READY)
        return self.machine

    def watch(self, machine: Machine) -> None:
        """Serve a machine's agent and notice its end."""
        self.spawn(lambda: self._take_events(machine), "events")
        self.spawn(lambda: self._run_agent(machine), "agent")
        self.spawn(lambda: self._await_vm(machine), "vm")

    async def _take_events(self, machine: Machine) -> None:
        async for event in machine.agent.events:
            match event:
                case guest.ProcessExited():
                    self.spawn(partial(self.processes.ended, machine, event, self._record), "exit")
                case guest.Oom():
                    container = self.containers.get(event.container)
                    if container:
                        happened = container.event("oom")
                        store = self._services.store
                        await store.call(store.put_events, (happened,))
                        self._services.feed.publish(happened)
                case guest.Log():
                    self.log.log(_LEVELS.get(event.level, logging.INFO), "guest: %s", event.text)

    async def _run_agent(self, machine: Machine) -> None:
        await machine.agent.run()
        if not machine.ending:
            self.log.warning("the connection to the guest's agent was lost: ending the VM")
            await machine.vm.kill()

    async def _await_vm(self, machine: Machine) -> None:
        ended = await machine.vm.wait()
        self.post(lambda: self._vm_gone(machine, ended))

    async def _vm_gone(self, machine: Machine, ended: VmExit) -> None:
        if self.machine is not machine:
            return
        console = ended.console_tail.strip().splitlines()[-4:]
        how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
        reason = f"the VM ended unexpectedly ({how})" + "".join(f" / {line}" for line in console)
        for container in self.containers.values():
            await self.processes.abandon(container)
        self.processes.abandon_execs()
        await self.lost(reason)

    async def lost(self, reason: str) -> None:
        """Record that the pod has no VM any more, and that what ran in it is gone."""
        if self.machine:
            self.machine.ending = True
            await self.machine.agent.close()
            self.machine = None
        await self._services.networks.disconnect(self.row.id)
        await self._move(PodEvent.GONE)
        for container in tuple(self.containers.values()):
            if container.status.state in (ContainerState.RUNNING, ContainerState.PAUSED):
                self.log.error("container %s: %s", container.id[:12], reason)
                gone = guest.ProcessExited(
                    process_id=container.status.process_id, exit_code=LOST_VM, exited_ns=time_ns()
                )
                await self.record_exit(container, gone, reason)

    async def stop_machine(self, *, graceful: bool) -> None:
        """End the VM; gracefully: file systems synced, at most SHUTDOWN_S."""
        machine = self.machine
        if machine is None:
            return
        machine.ending = True
        await self._move(PodEvent.STOP)
        if graceful:
            try:
                async with asyncio.timeout(SHUTDOWN_S):
                    await machine.agent.request(guest.PodShutdown(), timeout_s=SHUTDOWN_S)
                    await machine.vm.wait()
            except (TimeoutError, HyperError) as err:
                self.log.warning("the VM did not power off by itself: %s", err)
        await machine.vm.kill()
        self.machine = None
        await machine.agent.close()
        await self._services.networks.disconnect(self.row.id)
        await self._move(PodEvent.GONE)

    async def stop_if_idle(self) -> None:
        """End the VM of a pod that follows its containers once none of them is active."""
        active = any(container.status.state in ACTIVE for container in self.containers.values())
        if self.row.spec.follows and not active:
            keep = any(not container.spec.auto_remove for container in self.containers.values())
            await self.stop_machine(graceful=keep)

    async def _record(self, container: Container, event: guest.ProcessExited) -> None:
        await self.call(lambda: self.record_exit(container, event))

    async def _move(self, event: PodEvent) -> None:
        state = next_state(POD, self.row.state, event, f"pod {self.row.spec.name}")
        vm = ""
        record = self.row.resources
        if self.machine and state is not PodState.STOPPED:
            vm = boot.vm_record(self.machine)
            record = boot.resources_record(self.machine)
        self.row = replace(self.row, state=state, vm=vm, resources=record)
        # STARTING is worth a write only once there is a VM to find again.
        if state in (PodState.RUNNING, PodState.STOPPED, PodState.PAUSED):
            store = self._services.store
            await store.call(store.put_pod_state, self.row.id, state, vm, record)
        self.log.info("%s", state)

    # --- containers ---------------------------------------------------------------------------

    async def start_container(self, container: Container) -> None:
        """Start a container's first process, and the VM if needed. Undoes everything on failure."""
        container.after(ContainerEvent.START)
        try:
            async with AsyncExitStack() as undo:
                container.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                container.log.open()
                undo.callback(container.log.close)
                machine = await self.running_machine(container)
                disks = await boot.prepare_disks(self._services, container)
                await machine.create(container, await machine.attach(container, disks))
                request = plan.main_process(
                    container.spec,
                    container.row.command,
                    machine.new_process_id(),
                    container.id,
                    container.hostname,
                )
                self.processes.open_main(self, machine, container, request)
                undo.callback(self.processes.discard, machine, request.process_id)
                pid = await machine.start(request)
                container.network = machine.network
                undo.pop_all()
        except HyperError as err:
            await self._start_failed(container, err)
            raise plan.start_error(err) from err
        status = container.after(
            ContainerEvent.START,
            pid=pid,
            process_id=request.process_id,
            started_ns=time_ns(),
            finished_ns=0,
            exit_code=0,
            error="",
            oom_killed=False,
            stopped_by_user=False,
        )
        await self.store_status(container, status, container.event("start"))

    async def _start_failed(self, container: Container, err: HyperError) -> None:
        code = plan.start_failure_code(err)
        status = container.after(
            ContainerEvent.FAIL, exit_code=code, error=str(plan.start_error(err)), finished_ns=0
        )
        await self.store_status(container, status)
        if self.machine and container.id in self.machine.containers:
            try:
                await self.machine.forget(container, detach=len(self.containers) > 1)
            except HyperError as cleanup:
                self.log.warning("clean-up after a failed start: %s", cleanup)
        await self.stop_if_idle()
        container.ended()

    async def store_status(self, container: Container, status: Status, *events: Event) -> None:
        """Store a container's status with its events, then show both."""
        store = self._services.store
        await store.call(store.put_status, container.id, status, events)
        container.set_status(status)
        self._services.feed.publish(*events)
        self.log.info("container %s: %s", container.id[:12], status.state)

    async def record_exit(
        self, container: Container, ended: guest.ProcessExited, error: str = ""
    ) -> None:
        """Store how a container's first process ended, and do what follows from it."""
        if container.status.state not in (ContainerState.RUNNING, ContainerState.PAUSED):
            return
        code = 128 + ended.signal if ended.signal else ended.exit_code
        status = container.after(
            ContainerEvent.EXIT,
            pid=0,
            process_id=0,
            exit_code=code,
            error=error,
            oom_killed=ended.oom_killed,
            finished_ns=ended.exited_ns or time_ns(),
        )
        died = container.event("die", exitCode=str(code))
        container.log.close()
        container.network = type(container.network)()
        if container.spec.auto_remove and not plan.restarts(container.spec.restart_policy, status):
            await self._remove_at_exit(container, status, died)
            return
        await self.store_status(container, status, died)
        container.hub.end()
        container.ended()
        if plan.restarts(container.spec.restart_policy, status):
            self.post(lambda: self._forget_in_guest(container))
            self.schedule_restart(container)
            return
        await self._forget_in_guest(container)
        await self.stop_if_idle()

    async def _forget_in_guest(self, container: Container) -> None:
        machine = self.machine
        others = any(other.status.state in ACTIVE for other in self.containers.values())
        if machine and (others or not self.row.spec.follows):
            await machine.forget(container, detach=True)

    async def _remove_at_exit(self, container: Container, status: Status, died: Event) -> None:
        """Forget a --rm container in the transaction that records its end; clean up afterwards."""
        container.set_status(replace(status, state=ContainerState.REMOVING))
        last = len(self.containers) == 1 and self.row.spec.follows
        destroyed = container.event("destroy")
        store = self._services.store
        await store.call(
            store.remove_container, container.id, self.row.id if last else None, (died, destroyed)
        )
        self._services.feed.publish(died, destroyed)
        container.hub.end()
        container.ended()
        container.removed()
        del self.containers[container.id]
        if last:
            await self.stop_machine(graceful=False)
            self.finish()
        else:
            await self._forget_in_guest(container)
        await boot.delete_files(container)
        await self._services.release_volumes(container.mounts)

    def schedule_restart(self, container: Container) -> None:
        """Start a container again after its delay."""
        self.spawn(lambda: self._restart_later(container), "restart")

    def restart_at_daemon_start(self, container: Container) -> None:
        """Start a container whose policy says so when the daemon starts (Docker: always, and
        unless-stopped when no user stopped it).
        """
        if plan.starts_with_daemon(container.spec.restart_policy, container.status):
            self.post(lambda: self.start_container(container))

    async def _restart_later(self, container: Container) -> None:
        delay_s = plan.restart_delay_s(container.status)
        if container.status.state is not ContainerState.RESTARTING:
            restarting = container.after(
                ContainerEvent.RETRY, restart_count=container.status.restart_count + 1
            )
            await self.call(lambda: self.store_status(container, restarting))
        await asyncio.sleep(delay_s)
        if container.status.state is ContainerState.RESTARTING:
            await self.call(lambda: self._restart(container))

    async def _restart(self, container: Container) -> None:
        if container.status.state is not ContainerState.RESTARTING:
            return
        try:
            await self.start_container(container)
        except HyperError as err:
            self.log.warning("restart of %s: %s", container.id[:12], err)
            give_up = container.after(ContainerEvent.GIVE_UP)
            await self.store_status(container, give_up)
            container.ended()
            await self.stop_if_idle()

    async def remove_container(self, container: Container) -> None:
        """Remove a container that is not active, and the pod with it if it was made for it.

        Raises Conflict while it is active.
        """
        if container.status.state in ACTIVE:
            raise Conflict(
                f'cannot remove container "/{container.row.name}": container is '
                f"{container.status.state}: stop the container before removing or force remove"
            )
        container.set_status(container.after(ContainerEvent.REMOVE))
        last = len(self.containers) == 1 and self.row.spec.follows
        if self.machine and container.id in self.machine.containers:
            await self.machine.forget(container, detach=True)
        destroyed = container.event("destroy")
        store = self._services.store
        await store.call(
            store.remove_container, container.id, self.row.id if last else None, (destroyed,)
        )
        self._services.feed.publish(destroyed)
        del self.containers[container.id]
        container.removed()
        await boot.delete_files(container)
        if last:
            await self.stop_machine(graceful=False)
            self.finish()

    async def signal(self, container: Container, number: int, *, by_user: bool) -> None:
        """Signal a container's first process; `by_user` keeps it from being restarted.

        Raises Conflict when it does not run.
        """
        if container.status.state is ContainerState.RESTARTING:
            give_up = container.after(ContainerEvent.GIVE_UP, stopped_by_user=True)
            await self.store_status(container, give_up)
            container.ended()
            await self.stop_if_idle()
            return
        if self.machine is None or container.status.state not in ACTIVE:
            raise Conflict(f"container {container.id} is not running")
        if by_user and not container.status.stopped_by_user:
            container.set_status(replace(container.status, stopped_by_user=True))
        if number == signals.SIGKILL:
            container.hub.release()
        try:
            await self.machine.agent.request(
                guest.ProcessSignal(process_id=container.status.process_id, signal=number)
            )
        except GuestError as err:
            if err.errno != errno.ESRCH:  # otherwise it has ended, and its exit is on the way
                raise

    async def kill_machine(self, reason: str) -> None:
        """Kill the VM, outside the supervisor; its containers are then recorded as lost."""
        if self.machine:
            self.log.warning("killing the VM: %s", reason)
            await self.machine.vm.kill()

    async def set_paused(self, container: Container, paused: bool) -> None:
        """Freeze or thaw a container's processes."""
        event = ContainerEvent.PAUSE if paused else ContainerEvent.UNPAUSE
        status = container.after(event)
        if self.machine is None:
            raise Unavailable(f"container {container.id} has no VM")
        await self.machine.agent.request(
            guest.ContainerPause(container=container.id, paused=paused)
        )
        await self.store_status(
            container, status, container.event("pause" if paused else "unpause")
        )

    def exec_ids(self, container: Container) -> tuple[str, ...]:
        """Return the ids of a container's execs."""
        return tuple(key for key, value in self.execs.items() if value.container is container)

    def view(self) -> PodView:
        """Return a snapshot."""
        record = self.machine.vm.record if self.machine else None
        return PodView(
            id=self.row.id,
            spec=self.row.spec,
            created_ns=self.row.created_ns,
            state=self.row.state,
            container_ids=tuple(self.containers),
            vmm_pid=record.pid if record else 0,
            accelerator=record.accelerator if record else "",
        )


class _Removed(Exception):
    pass


def _settle(result: asyncio.Future[Any], err: Exception) -> None:
    if not result.done():
        result.set_exception(err)
