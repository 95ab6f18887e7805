"""Owns the set of containers and their verbs; each verb runs in the pod that carries the container.

Names, short ids and messages are Docker's.
"""

import contextlib
from dataclasses import replace
from typing import Literal

from hyper.core import signals
from hyper.core.errors import (
    Conflict,
    Failure,
    HyperError,
    InvalidArgument,
    NotFound,
    NotModified,
)
from hyper.core.ids import check_name, new_id, new_name
from hyper.core.pod_spec import PodSpec
from hyper.core.signals import signal_number
from hyper.core.spec import ContainerSpec
from hyper.engine import ending, joining, lifecycle, linking
from hyper.engine.container import Container
from hyper.engine.creation import Creation
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods, find_container, settled_container
from hyper.engine.services import Services
from hyper.engine.states import ACTIVE, ContainerState, PodState
from hyper.engine.store import ContainerRow, PodRow
from hyper.engine.views import ContainerView, Exit
from hyper.engine.volumes import Volumes

WaitCondition = Literal["not-running", "next-exit", "removed"]


class Containers:
    """All containers, by id and by name."""

    def __init__(
        self, services: Services, pods: Pods, volumes: Volumes, creation: Creation
    ) -> None:
        self._services = services
        self._pods = pods
        self._volumes = volumes
        self._creation = creation

    def get(self, reference: str) -> ContainerView:
        """Return a container's view. Raises NotFound."""
        pod, container = find_container(self._pods, reference)
        return container.view(pod.exec_ids(container))

    async def get_settled(self, reference: str) -> ContainerView:
        """Return a container's view once no start of it is under way. Raises NotFound."""
        await settled_container(self._pods, reference)
        return self.get(reference)

    def list(self, all: bool = False) -> list[ContainerView]:
        """Return active containers, or all of them, newest first."""
        names = linking.link_names(self._pods.all())
        views = [
            container.view(pod.exec_ids(container), tuple(names.get(container.id, ())))
            for pod in self._pods.all()
            for container in pod.containers.values()
            if all or container.status.state in ACTIVE
        ]
        return sorted(views, key=lambda view: view.created_ns, reverse=True)

    # --- life cycle ---------------------------------------------------------------------------

    async def create(
        self, spec: ContainerSpec, name: str = "", *, attached: bool = False
    ) -> ContainerView:
        """Create a container, and a pod for it unless the spec names one, or a container of one.

        `attached`: somebody attaches at once, and the event of that is stored with it. Raises
        NotFound (image, pod), Conflict (name), InvalidArgument.
        """
        if name:
            check_name(name)
        host = self._pods.find(spec.pod) if spec.pod else None
        spec, host = joining.settle(self._pods, spec, host)
        row = await self._creation.prepare(spec, host.row if host else None)
        names = [name.removeprefix("/")] if name else [new_name() for _ in range(8)]
        for attempt, chosen in enumerate(names, 1):
            try:
                return await self._add(replace(row, name=chosen), host, attached)
            except HyperError as err:
                if attempt == len(names) or not isinstance(err, Conflict):
                    await self._volumes.release(row.mounts)
                    raise
        raise AssertionError("unreachable")

    async def _add(self, row: ContainerRow, host: Pod | None, attached: bool) -> ContainerView:
        store = self._services.store
        new_pod = None
        if host is None:
            pod_spec = PodSpec(name=row.id[:12], kernel=row.spec.kernel, follows=True, lone=True)
            new_pod = PodRow(new_id(), row.created_ns, pod_spec, PodState.STOPPED, "", "")
            pod = Pod(new_pod, self._services)
        else:
            pod = host
        row = replace(row, pod_id=pod.row.id)
        container = Container(row, self._services.places.containers / row.id)
        events = [container.event("create"), *([container.event("attach")] if attached else ())]

        async def add() -> None:
            await store.call(store.add_container, row, new_pod, events)
            pod.containers[row.id] = container

        if host is None:
            await add()
            self._pods.add(pod)
        else:
            await host.supervisor.call(add)  # which may be removing the pod
        self._services.feed.publish(*events)
        return container.view()

    async def start(self, reference: str) -> None:
        """Start a container. Raises NotModified when it runs, Conflict, NotFound, Failure."""
        pod, container = find_container(self._pods, reference)
        _check_startable(container)
        await pod.supervisor.call(lambda: self._start(pod, container))

    async def _start(self, pod: Pod, container: Container) -> None:
        _check_startable(container)  # again: somebody else may have been faster
        await lifecycle.start(pod, container)

    async def stop(self, reference: str, timeout_s: float | None = None, signal: str = "") -> None:
        """Stop a container: its stop signal, then SIGKILL after the timeout (-1: never).

        Raises NotModified when it does not run.
        """
        pod, container = await settled_container(self._pods, reference)
        if container.status.state not in ACTIVE:
            raise NotModified(f"container {container.id} is already stopped")
        number = signal_number(signal or container.row.command.stop_signal)
        limit_s = ending.grace_s(pod, container) if timeout_s is None else timeout_s
        try:
            await ending.end(pod, container, number, limit_s)
        except Conflict:  # it ended by itself meanwhile
            raise NotModified(f"container {container.id} is already stopped") from None
        await self._services.tell(container.event("stop"))

    async def kill(self, reference: str, signal: str = "KILL") -> None:
        """Send a signal to a container's first process; SIGKILL returns when it has ended.

        Raises Conflict when it does not run.
        """
        try:
            pod, container = await settled_container(self._pods, reference)
        except NotFound as err:
            raise NotFound("container to kill", reference) from err
        if signal.isdecimal() and int(signal) > signals.RTMAX:
            raise InvalidArgument(
                f"Cannot kill container: {reference}: The linux daemon does not support signal "
                f"{int(signal)}"
            )
        number = signal_number(signal or "KILL")
        if container.status.state not in ACTIVE:
            raise Conflict(
                f"Cannot kill container: {reference}: Container {container.id} is not running"
            )
        if number == signals.SIGKILL:
            await ending.kill_and_wait(pod, container)
        else:
            by_user = number == signal_number(container.row.command.stop_signal)
            await pod.supervisor.call(lambda: pod.signal(container, number, by_user=by_user))

    async def restart(
        self, reference: str, timeout_s: float | None = None, signal: str = ""
    ) -> None:
        """Stop a container if it runs, and start it."""
        _, container = find_container(self._pods, reference)
        container.restarted += 1  # --rm does not mean this end
        try:
            with contextlib.suppress(NotModified):
                await self.stop(reference, timeout_s, signal)
        finally:
            container.restarted -= 1
        try:
            with contextlib.suppress(NotModified):  # somebody else was faster
                await self.start(reference)
        except HyperError as err:
            raise Failure(f"Cannot restart container {reference}: {err}") from err
        await self._services.tell(container.event("restart"))

    async def remove(
        self, reference: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove a container, and its anonymous volumes if asked; or only the `link` of that name.

        Raises Conflict while it is active.
        """
        if link:
            await linking.unlink(self._pods, reference)
            return
        pod, container = find_container(self._pods, reference)
        mounts = container.mounts
        while container.id in pod.containers:
            if force and container.active:
                await ending.kill_and_wait(pod, container)
                continue  # with --rm it is gone now
            try:
                await pod.supervisor.call(lambda: lifecycle.remove(pod, container))
            except Conflict:
                if container.id not in pod.containers:
                    # Somebody else was before us; the pod may have gone with it.
                    text = f"removal of container {reference} is already in progress"
                    raise Conflict(text) from None
                if not (force and container.active):
                    raise  # else a start of it was under way
        if volumes:
            await self._volumes.release(mounts)

    async def wait(self, reference: str, condition: WaitCondition = "not-running") -> Exit:
        """Return how a container ended: now if it does not run, at its next end, or when
        removed.
        """
        _, container = find_container(self._pods, reference)
        if condition == "removed":
            return await container.removal()
        if condition == "not-running":
            await container.launch.over()
            if container.status.state not in ACTIVE:
                return await container.last_exit()
        return await container.next_exit()

    async def set_paused(self, reference: str, paused: bool) -> None:
        """Freeze or thaw a container. Raises Conflict when it does not run or already is so."""
        pod, container = await settled_container(self._pods, reference)
        state = container.status.state
        if paused and state is ContainerState.PAUSED:
            raise Conflict(f"Container {container.id} is already paused")
        if paused:
            container.check_running()
        if not paused and state is not ContainerState.PAUSED:
            raise Conflict(f"Container {container.id} is not paused")
        await pod.supervisor.call(lambda: pod.set_paused(container, paused))


def _check_startable(container: Container) -> None:
    if container.status.state is ContainerState.PAUSED:
        raise Conflict("cannot start a paused container, try unpause instead")
    if container.status.state in ACTIVE:
        raise NotModified(f"container {container.id} is already started")
