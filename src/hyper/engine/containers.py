"""Owns the set of containers and their verbs; each verb runs in the pod that carries the container.

Names, short ids and messages are Docker's.
"""

import asyncio
import contextlib
from dataclasses import replace
from time import time_ns
from typing import Literal

from hyper.agent import messages as guest
from hyper.core import signals
from hyper.core.errors import (
    Conflict,
    InvalidArgument,
    NotModified,
    Timeout,
    Unavailable,
)
from hyper.core.health import resolve_healthcheck
from hyper.core.ids import check_hostname, check_name, new_id, new_name
from hyper.core.pod_spec import PodSpec
from hyper.core.signals import signal_number
from hyper.core.spec import ContainerSpec, LogSpec, Resources, RestartPolicy
from hyper.engine import lifecycle, plan
from hyper.engine.container import Container
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods, find_container
from hyper.engine.services import Services
from hyper.engine.states import ACTIVE, ContainerState, PodState
from hyper.engine.store import ContainerRow, PodRow
from hyper.engine.views import ContainerView, Exit, Status
from hyper.engine.volumes import Volumes

KILL_WAIT_S = 10.0
WaitCondition = Literal["not-running", "next-exit", "removed"]


class Containers:
    """All containers, by id and by name."""

    def __init__(self, services: Services, pods: Pods, volumes: Volumes) -> None:
        self._services = services
        self._pods = pods
        self._volumes = volumes

    def get(self, reference: str) -> ContainerView:
        """Return a container's view. Raises NotFound."""
        pod, container = find_container(self._pods, reference)
        return container.view(pod.exec_ids(container))

    def list(self, all: bool = False) -> list[ContainerView]:
        """Return active containers, or all of them, newest first."""
        views = [
            container.view(pod.exec_ids(container))
            for pod in self._pods.all()
            for container in pod.containers.values()
            if all or container.status.state in ACTIVE
        ]
        return sorted(views, key=lambda view: view.created_ns, reverse=True)

    # --- life cycle ---------------------------------------------------------------------------

    async def create(self, spec: ContainerSpec, name: str = "") -> ContainerView:
        """Create a container, and a pod for it unless the spec names one.

        Raises NotFound (image, pod), Conflict (name), InvalidArgument.
        """
        if name:
            check_name(name.removeprefix("/"))
        image = self._services.images.get(spec.image)
        health = resolve_healthcheck(spec.healthcheck, image.config.healthcheck)
        spec = self._complete(replace(spec, image_id=image.id, healthcheck=health))
        container_id = new_id()
        command = plan.resolve_command(spec, image)
        plan.main_process(spec, command, 1, container_id, "check")
        plan.vm_vcpus([spec], 1, self._pods.host_cpus)
        mounts = await self._volumes.resolve(spec, image, self._volumes_from)
        plan.user_mounts(mounts)
        names = [name.removeprefix("/")] if name else [new_name() for _ in range(8)]
        for attempt, chosen in enumerate(names, 1):
            row = ContainerRow(container_id, chosen, "", time_ns(), spec, command, mounts, Status())
            try:
                return await self._add(row)
            except Conflict:
                if attempt == len(names):
                    await self._volumes.release(mounts)
                    raise
        raise AssertionError("unreachable")

    def _complete(self, spec: ContainerSpec) -> ContainerSpec:
        settings = self._services.settings
        if spec.hostname:
            check_hostname(spec.hostname)
        if spec.auto_remove and spec.restart_policy != RestartPolicy():
            raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
        if not spec.log.driver:
            options = spec.log.options or settings.log_options
            spec = replace(spec, log=LogSpec(settings.log_driver, options))
        if spec.kernel:
            self._services.kernel_of(spec.kernel)
        return replace(
            spec,
            dns=spec.dns or settings.dns,
            dns_search=spec.dns_search or settings.dns_search,
            dns_options=spec.dns_options or settings.dns_options,
        )

    async def _add(self, row: ContainerRow) -> ContainerView:
        store = self._services.store
        new_pod = None
        if row.spec.pod:
            pod = self._pods.find(row.spec.pod)
        else:
            pod_spec = PodSpec(name=row.id[:12], kernel=row.spec.kernel, follows=True, lone=True)
            new_pod = PodRow(new_id(), row.created_ns, pod_spec, PodState.STOPPED, "", "")
            pod = Pod(new_pod, self._services)
        row = replace(row, pod_id=pod.row.id)
        container = Container(row, self._services.places.containers / row.id)
        created = container.event("create")
        await store.call(store.add_container, row, new_pod, (created,))
        pod.containers[row.id] = container
        if new_pod:
            self._pods.add(pod)
        self._services.feed.publish(created)
        return container.view()

    def _volumes_from(self, reference: str) -> ContainerView:
        return find_container(self._pods, reference)[1].view()

    async def start(self, reference: str) -> None:
        """Start a container. Raises NotModified when it runs, Conflict, NotFound, Failure."""
        pod, container = find_container(self._pods, reference)
        if container.status.state is ContainerState.PAUSED:
            raise Conflict("cannot start a paused container, try unpause instead")
        if container.status.state in ACTIVE:
            raise NotModified(f"container {container.id} is already started")
        await pod.supervisor.call(lambda: lifecycle.start(pod, container))

    async def stop(self, reference: str, timeout_s: float | None = None, signal: str = "") -> None:
        """Stop a container: its stop signal, then SIGKILL after the timeout (-1: never).

        Raises NotModified when it does not run.
        """
        pod, container = find_container(self._pods, reference)
        if container.status.state not in ACTIVE:
            raise NotModified(f"container {container.id} is already stopped")
        limit_s = timeout_s
        if limit_s is None:
            asked = container.spec.stop_timeout_s
            limit_s = self._services.settings.stop_timeout_s if asked is None else float(asked)
        number = signal_number(signal or container.row.command.stop_signal)
        await self._end(pod, container, number, limit_s)
        stopped = container.event("stop")
        await self._services.store.call(self._services.store.put_events, (stopped,))
        self._services.feed.publish(stopped)

    async def _end(self, pod: Pod, container: Container, number: int, limit_s: float) -> None:
        ended = container.next_exit()
        try:
            await pod.supervisor.call(lambda: pod.signal(container, number, by_user=True))
        except BaseException:
            ended.close()
            raise
        try:
            async with asyncio.timeout(None if limit_s < 0 else limit_s):
                await ended
                return
        except TimeoutError:
            pass
        await self._kill_and_wait(pod, container)

    async def _kill_and_wait(self, pod: Pod, container: Container) -> None:
        """End a container for sure: SIGKILL, and if its guest does not obey, its VM."""
        ended = container.next_exit()
        try:
            await pod.supervisor.call(lambda: pod.signal(container, signals.SIGKILL, by_user=True))
            async with asyncio.timeout(KILL_WAIT_S):
                await ended
        except Conflict:
            ended.close()  # it ended by itself meanwhile
        except (TimeoutError, Unavailable, Timeout):
            ended = container.next_exit()
            await pod.kill_machine(f"container {container.id[:12]} does not die")
            await ended

    async def kill(self, reference: str, signal: str = "KILL") -> None:
        """Send a signal to a container's first process; SIGKILL returns when it has ended.

        Raises Conflict when it does not run.
        """
        pod, container = find_container(self._pods, reference)
        number = signal_number(signal or "KILL")
        if container.status.state not in ACTIVE:
            raise Conflict(
                f"cannot kill container: {reference}: container {container.id} is not running"
            )
        if number == signals.SIGKILL:
            await self._kill_and_wait(pod, container)
        else:
            by_user = number == signal_number(container.row.command.stop_signal)
            await pod.supervisor.call(lambda: pod.signal(container, number, by_user=by_user))
        killed = container.event("kill", signal=str(number))
        await self._services.store.call(self._services.store.put_events, (killed,))
        self._services.feed.publish(killed)

    async def restart(
        self, reference: str, timeout_s: float | None = None, signal: str = ""
    ) -> None:
        """Stop a container if it runs, and start it."""
        with contextlib.suppress(NotModified):
            await self.stop(reference, timeout_s, signal)
        await self.start(reference)
        _, container = find_container(self._pods, reference)
        restarted = container.event("restart")
        await self._services.store.call(self._services.store.put_events, (restarted,))
        self._services.feed.publish(restarted)

    async def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container, and its anonymous volumes if asked. Raises Conflict while it is
        active.
        """
        pod, container = find_container(self._pods, reference)
        mounts = container.mounts
        if force and container.status.state in ACTIVE:
            await self._kill_and_wait(pod, container)
        if container.id in pod.containers:
            await pod.supervisor.call(lambda: lifecycle.remove(pod, container))
        if volumes:
            await self._volumes.release(mounts)

    async def rename(self, reference: str, name: str) -> None:
        """Give a container another name. Raises Conflict when it is taken, InvalidArgument."""
        pod, container = find_container(self._pods, reference)
        new = check_name(name.removeprefix("/"))
        if new == container.row.name:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        old = container.row.name
        await pod.supervisor.call(lambda: self._rename(container, old, new))

    async def _rename(self, container: Container, old: str, new: str) -> None:
        renamed = container.event("rename", name=new, oldName="/" + old)
        store = self._services.store
        await store.call(store.rename, container.id, new, (renamed,))
        container.row = replace(container.row, name=new)
        self._services.feed.publish(renamed)

    async def wait(self, reference: str, condition: WaitCondition = "not-running") -> Exit:
        """Return how a container ended: now if it does not run, at its next end, or when
        removed.
        """
        _, container = find_container(self._pods, reference)
        if condition == "removed":
            return await container.removal()
        if condition == "not-running" and container.status.state not in ACTIVE:
            return container.exit
        return await container.next_exit()

    async def update(
        self, reference: str, resources: Resources, restart_policy: RestartPolicy | None
    ) -> None:
        """Change a container's limits, live when it runs, and its restart policy."""
        pod, container = find_container(self._pods, reference)
        policy = restart_policy or container.spec.restart_policy
        if policy != RestartPolicy() and container.spec.auto_remove:
            raise Conflict(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        await pod.supervisor.call(lambda: self._update(pod, container, resources, policy))

    async def _update(
        self, pod: Pod, container: Container, resources: Resources, policy: RestartPolicy
    ) -> None:
        if pod.machine and container.status.state in ACTIVE:
            limits = guest.ContainerUpdate(container=container.id, cgroup=plan.cgroup(resources))
            await pod.machine.agent.request(limits)
        spec = replace(container.spec, resources=resources, restart_policy=policy)
        updated = container.event("update")
        store = self._services.store
        await store.call(store.put_spec, container.id, spec, (updated,))
        container.row = replace(container.row, spec=spec)
        self._services.feed.publish(updated)

    async def set_paused(self, reference: str, paused: bool) -> None:
        """Freeze or thaw a container. Raises Conflict when it does not run or already is so."""
        pod, container = find_container(self._pods, reference)
        state = container.status.state
        if paused and state is ContainerState.PAUSED:
            raise Conflict(f"Container {container.id} is already paused")
        if paused and state is not ContainerState.RUNNING:
            raise Conflict(f"Container {container.id} is not running")
        if not paused and state is not ContainerState.PAUSED:
            raise Conflict(f"Container {container.id} is not paused")
        await pod.supervisor.call(lambda: pod.set_paused(container, paused))
