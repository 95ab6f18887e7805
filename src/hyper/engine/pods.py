"""Owns the set of pods and runs their supervisors."""

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from hyper.core.errors import InvalidArgument, NotFound
from hyper.engine.container import Container
from hyper.engine.views import PodView

if TYPE_CHECKING:
    from hyper.engine.pod import Pod

_log = logging.getLogger("engine.pods")


class Pods:
    """All pods, by id and by name; each has one supervisor task in `tasks`."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._pods: dict[str, Pod] = {}
        self._tasks = tasks
        self._supervisors: set[asyncio.Task[None]] = set()
        self.host_cpus = os.cpu_count() or 1

    def add(self, pod: "Pod") -> None:
        """Take in a pod and start its supervisor."""
        self._pods[pod.row.id] = pod
        task = self._tasks.create_task(self._supervise(pod), name=f"pod-{pod.row.id[:12]}")
        self._supervisors.add(task)
        task.add_done_callback(self._supervisors.discard)

    def close(self) -> None:
        """End every supervisor; the VMs go on."""
        for task in self._supervisors:
            task.cancel()

    async def _supervise(self, pod: "Pod") -> None:
        # One pod's failure must not cancel its siblings: this is the boundary.
        try:
            await pod.run()
        except Exception:
            _log.exception("the supervisor of pod %s failed", pod.row.id[:12])
        self._pods.pop(pod.row.id, None)

    def all(self) -> "list[Pod]":
        """Return every pod."""
        return list(self._pods.values())

    def find(self, reference: str) -> "Pod":
        """Return a pod by id, name or unique prefix of the id. Raises NotFound, InvalidArgument."""
        for pod in self._pods.values():
            if reference in (pod.row.id, pod.row.spec.name):
                return pod
        matches = [
            pod for key, pod in self._pods.items() if reference and key.startswith(reference)
        ]
        if len(matches) > 1:
            raise InvalidArgument(f"Multiple IDs found with provided prefix: {reference}")
        if not matches:
            raise NotFound("pod", reference)
        return matches[0]

    def get(self, reference: str) -> PodView:
        """Return a pod's view. Raises NotFound."""
        return self.find(reference).view()

    def list(self) -> list[PodView]:
        """Return every pod's view."""
        return [pod.view() for pod in self._pods.values()]


def find_container(pods: Pods, reference: str) -> "tuple[Pod, Container]":
    """Return a container and its pod by id, name, OWNER/ALIAS of a link or a unique prefix of
    the id.

    Raises NotFound, or InvalidArgument when a prefix is ambiguous.
    """
    every = [(pod, container) for pod in pods.all() for container in pod.containers.values()]
    name = reference.removeprefix("/")
    for found in every:
        if reference == found[1].id or name == found[1].row.name:
            return found
    owner, slash, alias = name.rpartition("/")
    for _, container in every if slash else ():
        for link in container.spec.links if container.row.name == owner else ():
            if link.alias == alias and any(each.id == link.container for _, each in every):
                return find_container(pods, link.container)
    matches = [found for found in every if reference and found[1].id.startswith(reference)]
    if len(matches) > 1:
        raise InvalidArgument(f"Multiple IDs found with provided prefix: {reference}")
    if not matches:
        raise NotFound("container", reference)
    return matches[0]


async def settled_container(pods: Pods, reference: str) -> "tuple[Pod, Container]":
    """As find_container, once no start of it is under way.

    Its process may print, and be asked for, before its status says that it runs.
    """
    found = find_container(pods, reference)
    await found[1].launch.over()
    return found
