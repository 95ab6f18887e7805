"""Owns what of a container can be changed after its creation: name, limits, restart policy."""

from collections.abc import Callable
from dataclasses import replace

from hyper.agent import messages as guest
from hyper.core.errors import Conflict, InvalidArgument
from hyper.core.ids import check_name
from hyper.core.spec import Resources, RestartPolicy
from hyper.core.units import binary_size
from hyper.engine import linking, membership, plan
from hyper.engine.container import Container
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods, find_container
from hyper.engine.services import Services

_NEW_NAME = "Error when allocating new name: "


class ContainerChanges:
    """Changes of containers."""

    def __init__(self, services: Services, pods: Pods) -> None:
        self._services = services
        self._pods = pods

    async def rename(self, reference: str, name: str) -> None:
        """Give a container another name. Raises Conflict when it is taken, InvalidArgument."""
        pod, container = find_container(self._pods, reference)
        try:
            new = check_name("/" + name.removeprefix("/")).removeprefix("/")
        except InvalidArgument as err:
            raise InvalidArgument(f"{_NEW_NAME}{err}") from err
        if new == container.row.name:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        old = container.row.name
        await pod.supervisor.call(lambda: self._rename(pod, container, old, new))
        await linking.renamed(pod, container)

    async def _rename(self, pod: Pod, container: Container, old: str, new: str) -> None:
        renamed = container.event("rename", name=new, oldName="/" + old)
        store = self._services.store
        try:
            await store.call(store.rename, container.id, new, (renamed,))
        except Conflict as err:
            raise Conflict(f"{_NEW_NAME}{err}") from err
        container.row = replace(container.row, name=new)
        membership.rename(pod)
        self._services.feed.publish(renamed)

    async def update(
        self,
        reference: str,
        change: Callable[[Resources], Resources],
        restart_policy: RestartPolicy | None,
    ) -> None:
        """Change a container's limits, live when it runs, and its restart policy.

        Raises what `change` raises.
        """
        pod, container = find_container(self._pods, reference)
        await pod.supervisor.call(lambda: self._update(pod, container, change, restart_policy))

    async def _update(
        self,
        pod: Pod,
        container: Container,
        change: Callable[[Resources], Resources],
        restart_policy: RestartPolicy | None,
    ) -> None:
        resources = change(container.spec.resources)
        policy = restart_policy or container.spec.restart_policy
        plan.vm_vcpus([replace(container.spec, resources=resources)], 1, self._pods.host_cpus)
        if policy != RestartPolicy() and container.spec.auto_remove:
            raise Conflict(
                f"Cannot update container {container.id}: Restart policy cannot be updated because "
                "AutoRemove is enabled for the container"
            )
        if pod.machine and container.id in pod.machine.containers:
            _check_room(container, resources, pod.machine.vm.record.memory_bytes)
            cgroup = plan.cgroup(resources)
            # The guest leaves what is 0 as it was.
            cgroup = replace(cgroup, pids_max=cgroup.pids_max or -1)
            await pod.machine.agent.request(guest.ContainerUpdate(container.id, cgroup))
        spec = replace(container.spec, resources=resources, restart_policy=policy)
        updated = container.event("update")
        store = self._services.store
        await store.call(store.put_spec, container.id, spec, (updated,))
        container.row = replace(container.row, spec=spec)
        self._services.feed.publish(updated)


def _check_room(container: Container, resources: Resources, vm_bytes: int) -> None:
    """Raise Conflict for a limit that could never be reached, as the VM has less memory."""
    asked = resources.memory_bytes
    if asked > vm_bytes and asked > container.spec.resources.memory_bytes:
        raise Conflict(
            f"Cannot update container {container.id}: its VM has {binary_size(vm_bytes)} of memory "
            f"while it runs, so it cannot use {binary_size(asked)}: stop it, update it, start it"
        )
