"""Owns one pod: its VM, its containers in memory, its stored state.

What happens to its containers is in lifecycle.py; both run only in the pod's supervisor.
"""

import asyncio
import errno
import logging
from dataclasses import replace
from functools import partial

from hyper.agent import messages as guest
from hyper.core import signals
from hyper.core.errors import Conflict, GuestError, HyperError, Unavailable
from hyper.core.pod_spec import Role
from hyper.core.spec import RestartPolicyName
from hyper.engine import boot, ending
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
from hyper.engine.supervisor import Supervisor
from hyper.engine.views import NetworkView, PodView, Status
from hyper.engine.visit import Visit

SHUTDOWN_S = 10.0
_STORED = (PodState.RUNNING, PodState.PAUSED, PodState.STOPPED)


class Pod:
    """A pod in memory. `row` is what is stored of it; `machine` exists while its VM runs.

    `turn`, `beginning` and `stop_wanted` belong to its start and stop as a whole (pod_life);
    `renewal` and `inits_due` to its return after its VM was lost (renewal).
    """

    def __init__(self, row: PodRow, services: Services) -> None:
        self.row = row
        self.services = services
        self.log = logging.getLogger("engine.pod").getChild(row.id[:12])
        self.supervisor = Supervisor(row.id[:12], self.log)
        self.containers: dict[str, Container] = {}
        self.machine: Machine | None = None
        self.processes = Processes(services.metrics.stream_bytes)
        self.execs: dict[str, Exec] = {}
        self.turn = asyncio.Lock()
        self.beginning = False
        self.stop_wanted = asyncio.Event()
        self.visits: dict[str, Visit] = {}
        self.renewal = asyncio.Lock()
        self.inits_due = False
        self.sidecars_ending: set[str] = set()

    async def run(self) -> None:
        """Serve the pod until it is removed or the daemon ends; a VM that runs is left running."""
        try:
            await self.supervisor.run()
        finally:
            if self.machine:
                await self.machine.agent.close()
                await self.machine.vm.close()
            for visit in self.visits.values():
                if visit.own:  # what was written is synced; nobody could find this VM again
                    visit.machine.ending = True
                    await visit.machine.vm.kill()

    async def move(self, event: PodEvent) -> None:
        """Take the pod to its next state and store it. Raises Conflict when it is not possible."""
        state = next_state(POD, self.row.state, event, f"pod {self.row.spec.name}")
        vm = resources = ""
        if self.machine and state is not PodState.STOPPED:
            vm = boot.vm_record(self.machine)
            resources = boot.resources_record(self.machine)
        self.row = replace(self.row, state=state, vm=vm, resources=resources)
        # STARTING and STOPPING are not worth a write: a daemon that dies then finds the VM, or not.
        if state in _STORED:
            store = self.services.store
            await store.call(store.pod_table.put_state, self.row.id, state, vm, resources)
        self.services.pods_changed.set()
        self.log.info("%s", state)
        ended = state is PodState.STOPPED and not self.beginning
        if ended and self.row.spec.auto_remove:
            self.services.pods_ended.put_nowait(self.row.id)

    async def stop_machine(self, *, graceful: bool) -> None:
        """End the VM; gracefully: file systems synced, within SHUTDOWN_S."""
        machine = self.machine
        if machine is None:
            return
        machine.ending = True
        await self.move(PodEvent.STOP)
        await self.end_vm(machine, graceful=graceful)
        await self.processes.abandon_execs()
        self.machine = None
        self.forget_visits(machine)
        await boot.release(self.services, self.row.id)
        await self.move(PodEvent.GONE)

    async def end_vm(self, machine: Machine, *, graceful: bool) -> None:
        """End a VM; gracefully: file systems synced, within SHUTDOWN_S.

        So ends one, too, that has volumes which would otherwise miss what was written last.
        """
        machine.ending = True
        if graceful or machine.durable:
            try:
                async with asyncio.timeout(SHUTDOWN_S):
                    await machine.agent.request(guest.PodShutdown(), timeout_s=SHUTDOWN_S)
                    await machine.vm.wait()
            except (TimeoutError, HyperError) as err:
                self.log.warning("the VM did not power off by itself: %s", err)
        await machine.vm.kill()
        await machine.agent.close()

    def forget_visits(self, machine: Machine) -> None:
        """Forget the visits in a VM that is gone."""
        for container_id, visit in tuple(self.visits.items()):
            if visit.machine is machine:
                del self.visits[container_id]
                visit.end()

    async def stop_if_idle(self) -> None:
        """End the VM of a pod that follows its containers once none of them is active.

        Its sidecars are ended then, and the VM after them.
        """
        if not self.row.spec.follows or self.beginning or self.machine is None:
            return
        active = [item for item in self.containers.values() if item.status.state in ACTIVE]
        if any(item.spec.role is not Role.SIDECAR for item in active):
            return
        for sidecar in active:
            if sidecar.id not in self.sidecars_ending:  # that of another may be why we look
                self.sidecars_ending.add(sidecar.id)
                self.supervisor.spawn(partial(ending.end_sidecar, self, sidecar), "end-sidecar")
        if not active:
            keep = any(not container.spec.auto_remove for container in self.containers.values())
            await self.stop_machine(graceful=keep)

    async def kill_machine(self, reason: str) -> None:
        """Kill the VM, from outside the supervisor; its containers are then recorded as lost."""
        if self.machine:
            self.log.warning("killing the VM: %s", reason)
            await self.machine.vm.kill()

    async def store_status(self, container: Container, status: Status, *events: Event) -> None:
        """Store a container's status with its events, then show both."""
        store = self.services.store
        await store.call(store.put_status, container.id, status, events)
        container.set_status(status)
        self.services.pods_changed.set()
        self.services.feed.publish(*events)
        self.log.info("container %s: %s", container.id[:12], status.state)
        await settle_pause(self)

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
            raise Conflict(f"Container {container.id} is not running")
        if by_user:
            stopped = replace(container.status, stopped_by_user=True)
            container.set_status(stopped)
            if container.spec.restart_policy.name is not RestartPolicyName.NO:
                # A daemon that dies before the container does must not start it again.
                store = self.services.store
                await store.call(store.put_status, container.id, stopped, ())
        if number == signals.SIGKILL:
            container.hub.release()
        self.machine.agent.check_going()
        request = guest.ProcessSignal(process_id=container.status.process_id, signal=number)
        try:
            await self.machine.agent.request(request)
        except GuestError as err:
            if err.errno != errno.ESRCH:  # otherwise it has ended, and its exit is on the way
                raise
        await self.services.tell(container.event("kill", signal=str(number)))
        if by_user and number != signals.SIGKILL:
            if container.status.state is ContainerState.PAUSED:
                await self.set_paused(container, False)  # so that it sees the signal, as with moby

    async def set_paused(self, container: Container, paused: bool) -> None:
        """Freeze or thaw a container's processes. Raises Conflict when it does not run."""
        status = container.after(ContainerEvent.PAUSE if paused else ContainerEvent.UNPAUSE)
        if self.machine is None:
            raise Unavailable(f"container {container.id} has no VM")
        self.machine.agent.check_going()
        request = guest.ContainerPause(container=container.id, paused=paused)
        await self.machine.agent.request(request)
        await self.store_status(
            container, status, container.event("pause" if paused else "unpause")
        )

    def exec_ids(self, container: Container) -> tuple[str, ...]:
        """Return the ids of a container's execs that run, or have not begun to."""
        return tuple(
            key
            for key, value in self.execs.items()
            if value.container is container and value.exit_code is None
        )

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
            network=self.machine.network if self.machine else NetworkView(),
            memory_bytes=(self.row.spec.memory_bytes or record.memory_bytes) if record else 0,
        )


async def settle_pause(pod: Pod) -> None:
    """Have a pod be paused exactly while every active container of it is.

    Its VM is not stopped: with all processes frozen its vCPUs idle, and the agent still answers.
    """
    states = {container.status.state for container in pod.containers.values()} & ACTIVE
    frozen = states == {ContainerState.PAUSED}
    if frozen and pod.row.state is PodState.RUNNING:
        await pod.move(PodEvent.PAUSE)
    elif not frozen and pod.row.state is PodState.PAUSED:
        await pod.move(PodEvent.RESUME)


def pod_event(row: PodRow, action: str, **attributes: str) -> Event:
    """Return an event about a pod."""
    own = {"name": row.spec.name} | dict(row.spec.labels) | attributes
    return Event("pod", action, row.id, tuple(own.items()))
