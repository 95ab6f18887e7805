"""Owns what is done to pods as a whole: create, start, stop, remove... (pod_life has the order).

A pod is created with all its containers in one transaction, or not at all.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from time import time_ns

from hyper.core.errors import Conflict, HyperError, InvalidArgument, NotFound, NotModified
from hyper.core.ids import check_hostname, check_name, check_short_name, new_id, new_name
from hyper.core.pod_spec import PodSpec
from hyper.core.signals import signal_number
from hyper.core.spec import ContainerSpec
from hyper.engine import boot, devices, pod_checks, pod_life, visits
from hyper.engine.container import RUNS, Container
from hyper.engine.creation import Creation
from hyper.engine.pod import Pod, pod_event
from hyper.engine.pods import Pods
from hyper.engine.processes import exit_code
from hyper.engine.services import Services
from hyper.engine.states import ACTIVE, ContainerState, PodState
from hyper.engine.store import ContainerRow, PodRow
from hyper.engine.views import ContainerView, Exit, PodView

_log = logging.getLogger("engine.pods")


class PodVerbs:
    """The verbs of pods."""

    def __init__(self, services: Services, pods: Pods, creation: Creation) -> None:
        self._services = services
        self._pods = pods
        self._creation = creation

    async def create(self, spec: PodSpec, containers: Sequence[ContainerSpec] = ()) -> PodView:
        """Create a pod with its containers, in the order they will start.

        A container's name is <pod>-<name_in_pod>. Raises InvalidArgument, NotFound (image,
        kernel), Conflict (a name is taken); nothing is left behind then.
        """
        if spec.name:
            check_short_name(spec.name, "pod")
        spec = replace(spec, name=spec.name or new_name())
        spec = replace(spec, hostname=check_hostname(spec.hostname or _as_hostname(spec.name)))
        pod_checks.check_pod(spec, containers, self._pods.host_cpus)
        pod_checks.check_kernel_parameters(spec, self._services.settings.kernel_parameters)
        self._services.kernel_of(spec.kernel)
        self._services.registry.check_places(spec)
        devices.check(spec, spec.memory_bytes or self._services.settings.memory_bytes)
        row = PodRow(new_id(), time_ns(), spec, PodState.STOPPED, "", "")
        prepared: list[ContainerRow] = []
        try:
            for asked in containers:
                prepared.append(await self._prepare(row, asked))
            return await self._add(row, prepared)
        except BaseException:
            await self._creation.release(prepared)
            raise

    async def _prepare(self, pod: PodRow, spec: ContainerSpec) -> ContainerRow:
        if spec.shares_network_of:
            raise InvalidArgument(
                f"NetworkMode {spec.network_mode}: a container of a pod shares the pod's network: "
                "leave it out"
            )
        spec = replace(spec, network_mode=pod.spec.network_mode)
        row = await self._creation.prepare(spec, pod)
        name = check_name(f"{pod.spec.name}-{spec.name_in_pod}")
        return replace(row, name=name, created_ns=time_ns())

    async def _add(self, row: PodRow, containers: Sequence[ContainerRow]) -> PodView:
        store = self._services.store
        pod = Pod(row, self._services)
        made = [Container(item, self._services.places.containers / item.id) for item in containers]
        events = (pod_event(row, "create"), *(item.event("create") for item in made))
        await store.call(store.pod_table.add, row, containers, events)
        pod.containers = {item.id: item for item in made}
        self._pods.add(pod)
        self._services.feed.publish(*events)
        return pod.view()

    async def add_container(self, reference: str, spec: ContainerSpec) -> ContainerView:
        """Add a container to a pod, which may run; it is not started. Raises as `create`."""
        pod = self._pods.find(reference)
        taken = [container.spec.name_in_pod for container in pod.containers.values()]
        pod_checks.check_container_names([*taken, spec.name_in_pod])
        row = await self._prepare(pod.row, spec)
        container = Container(row, self._services.places.containers / row.id)
        created = container.event("create")
        store = self._services.store

        async def add() -> None:
            await store.call(store.add_container, row, None, (created,))
            pod.containers[row.id] = container

        try:
            await pod.supervisor.call(add)  # which may be removing the pod
        except BaseException:
            await self._creation.release([row])
            raise
        self._services.feed.publish(created)
        return container.view()

    async def start(self, reference: str) -> None:
        """Start a pod and its containers in order. Raises NotModified when it runs, Failure."""
        pod = self._pods.find(reference)
        await pod_life.start(pod)
        await self._tell(pod, "start")

    async def stop(self, reference: str, timeout_s: float | None = None) -> None:
        """Stop a pod: its containers within their grace, then its VM. Raises NotModified."""
        pod = self._pods.find(reference)
        await pod_life.stop(pod, timeout_s)
        await self._tell(pod, "stop")

    async def restart(self, reference: str, timeout_s: float | None = None) -> None:
        """Stop a pod if it runs, and start it. Raises Conflict for one that is removed then."""
        if (spec := self._pods.find(reference).row.spec).auto_remove:
            raise Conflict(f"cannot restart pod {spec.name}: it is removed when it stops (--rm)")
        with contextlib.suppress(NotModified):
            await self.stop(reference, timeout_s)
        await self.start(reference)

    async def kill(self, reference: str, signal: str = "KILL") -> None:
        """Signal every container of a pod. Raises Conflict when none runs, InvalidArgument."""
        pod = self._pods.find(reference)
        await pod_life.kill(pod, signal_number(signal or "KILL"))
        await self._tell(pod, "kill", signal=signal)

    async def set_paused(self, reference: str, paused: bool) -> None:
        """Freeze or thaw every container of a pod. Raises Conflict when there is none to."""
        pod = self._pods.find(reference)
        await pod_life.set_paused(pod, tuple(pod.containers.values()), paused)
        await self._tell(pod, "pause" if paused else "unpause")

    async def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a pod with its containers, its own volumes and, if asked, anonymous ones.

        Raises Conflict while it runs, unless `force`d.
        """
        pod = self._pods.find(reference)
        _check_removable(pod, force)
        pod.stop_wanted.set()
        if pod.beginning:
            await pod.kill_machine("it is removed while it starts")
        async with pod.turn:
            mounts = [mount for item in pod.containers.values() for mount in item.mounts]
            await pod.supervisor.call(lambda: self._remove(pod, force))
        if volumes:
            await self._services.release_volumes(mounts)

    async def _remove(self, pod: Pod, force: bool) -> None:
        _check_removable(pod, force)  # again: a container of it may have been started
        await visits.end_all(pod)
        await pod.stop_machine(graceful=False)
        containers = tuple(pod.containers.values())
        destroyed = (*(item.event("destroy") for item in containers), pod_event(pod.row, "destroy"))
        store = self._services.store
        await store.call(store.pod_table.remove, pod.row.id, destroyed)
        pod.containers.clear()
        pod.execs.clear()
        self._services.feed.publish(*destroyed)
        for container in containers:
            exited = await pod.processes.abandon(container)
            status = container.status
            if status.state in RUNS:
                gone = replace(status, state=ContainerState.REMOVING, exit_code=exit_code(exited))
                container.set_status(gone)
            if status.state in ACTIVE:
                container.ended()
            container.removed()
        pod.supervisor.finish()
        for container in containers:
            await boot.delete_files(container)
        await boot.delete_pod_files(self._services, pod.row.id)

    async def remove_ended(self) -> None:
        """Remove pods that are not to outlive their end, those an earlier daemon left as well."""
        for pod in self._pods.all():
            ended = any(item.status.started_ns for item in pod.containers.values())
            if pod.row.spec.auto_remove and pod.row.state is PodState.STOPPED and ended:
                self._services.pods_ended.put_nowait(pod.row.id)
        while True:
            ended_id = await self._services.pods_ended.get()
            try:
                await self.remove(ended_id, volumes=True)
            except (NotFound, Conflict):
                continue  # somebody was faster, or has started it again
            except HyperError as err:
                _log.warning("pod %s has ended and could not be removed: %s", ended_id[:12], err)

    async def wait(self, reference: str) -> Exit:
        """Return, once no container of a pod is active, how its last one ended."""
        pod = self._pods.find(reference)
        await pod_life.settled(pod)
        while active := [c for c in pod.containers.values() if c.status.state in ACTIVE]:
            async with asyncio.TaskGroup() as group:
                for container in active:
                    group.create_task(container.next_exit(), name=f"wait {container.id[:12]}")
            with contextlib.suppress(Conflict):  # removed meanwhile
                await pod.supervisor.call(pod.stop_if_idle)
        ended = max(pod.containers.values(), key=lambda c: c.status.finished_ns, default=None)
        return ended.exit if ended else Exit(0)

    async def label(
        self, reference: str, labels: Sequence[tuple[str, str]], removed: Sequence[str] = ()
    ) -> PodView:
        """Change a pod's labels: those given are set, those `removed` are gone."""
        pod = self._pods.find(reference)
        if any(not key for key, _ in labels):
            raise InvalidArgument("a label needs a name")
        return await pod.supervisor.call(lambda: self._label(pod, labels, removed))

    async def _label(
        self, pod: Pod, labels: Sequence[tuple[str, str]], removed: Sequence[str]
    ) -> PodView:
        changed = dict(pod.row.spec.labels) | dict(labels)
        kept = tuple((key, value) for key, value in changed.items() if key not in removed)
        spec = replace(pod.row.spec, labels=kept)
        store = self._services.store
        updated = pod_event(replace(pod.row, spec=spec), "update")
        await store.call(store.pod_table.put_spec, pod.row.id, spec, (updated,))
        pod.row = replace(pod.row, spec=spec)
        self._services.feed.publish(updated)
        return pod.view()

    async def _tell(self, pod: Pod, action: str, **attributes: str) -> None:
        await self._services.tell(pod_event(pod.row, action, **attributes))


def _check_removable(pod: Pod, force: bool) -> None:
    if pod.row.state is not PodState.STOPPED and not force:
        raise Conflict(
            f"cannot remove pod {pod.row.spec.name}: it is {pod.row.state}: stop it first or "
            "force the removal"
        )


def _as_hostname(name: str) -> str:
    return name.replace("_", "-").replace(".", "-")[:63].strip("-")
