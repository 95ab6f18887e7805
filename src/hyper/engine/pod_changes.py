"""Owns what of a pod can be changed after its creation: services, ports, size; live if it runs."""

from collections.abc import Sequence
from dataclasses import replace

from hyper.agent import messages as guest
from hyper.core.errors import Conflict, NotFound, Unsupported
from hyper.core.pod_spec import PodPort, PodService, PodSpec
from hyper.core.spec import PortBinding
from hyper.core.units import MIB
from hyper.engine import devices, membership, pod_checks, pod_plan
from hyper.engine.events import Event
from hyper.engine.machine import Machine
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods
from hyper.engine.services import Services
from hyper.engine.views import PodView


class PodChanges:
    """Changes of pods."""

    def __init__(self, services: Services, pods: Pods) -> None:
        self._services = services
        self._pods = pods

    async def set_service(self, reference: str, service: PodService) -> None:
        """Add a service to a pod, or give the one of its name other backends.

        Raises InvalidArgument, Conflict when another service has its address and port.
        """
        pod = self._pods.find(reference)
        pod_checks.check_services([service])
        await pod.supervisor.call(lambda: self._set_service(pod, service))

    async def _set_service(self, pod: Pod, service: PodService) -> None:
        others = tuple(item for item in pod.row.spec.services if item.name != service.name)
        for other in others:
            if _place(other) == _place(service):
                raise Conflict(f"service {other.name} has {service.address}:{service.port} already")
        replaced = next((s for s in pod.row.spec.services if s.name == service.name), None)
        if pod.machine:
            if replaced and _place(replaced) != _place(service):
                await pod.machine.agent.request(pod_plan.service_removal(replaced, others))
            await pod.machine.agent.request(
                pod_plan.service_request(service, others, pod.machine.network.address)
            )
        await self._store(pod, replace(pod.row.spec, services=(*others, service)))

    async def remove_service(self, reference: str, name: str) -> None:
        """Take a service of a pod away. Raises NotFound."""
        pod = self._pods.find(reference)
        await pod.supervisor.call(lambda: self._remove_service(pod, name))

    async def _remove_service(self, pod: Pod, name: str) -> None:
        found = next((item for item in pod.row.spec.services if item.name == name), None)
        if found is None:
            raise NotFound("service", name)
        left = tuple(item for item in pod.row.spec.services if item is not found)
        spec = replace(pod.row.spec, services=left)
        if pod.machine:
            await pod.machine.agent.request(pod_plan.service_removal(found, left))
        await self._store(pod, spec)

    async def resize(self, reference: str, vcpus: int = 0, memory_bytes: int = 0) -> PodView:
        """Change the size of a pod; 0 leaves it. A running VM's memory is limited by its balloon,
        vCPUs it is not to use sleep; one that does not run gets a larger ceiling if it has one.

        Raises Unsupported for what a running VM cannot: more than it was started with.
        """
        pod = self._pods.find(reference)
        return await pod.supervisor.call(lambda: self._resize(pod, vcpus, memory_bytes))

    async def _resize(self, pod: Pod, vcpus: int, memory_bytes: int) -> PodView:
        spec = pod.row.spec
        asked = replace(
            spec,
            vcpus=vcpus or spec.vcpus,
            memory_bytes=memory_bytes or spec.memory_bytes,
            max_vcpus=max(spec.max_vcpus, vcpus) if spec.max_vcpus else 0,
            max_memory_bytes=max(spec.max_memory_bytes, memory_bytes)
            if spec.max_memory_bytes
            else 0,
        )
        if pod.machine:
            _check_room(pod, pod.machine, vcpus, memory_bytes)
        pod_checks.check_size(asked, self._pods.host_cpus)
        if pod.machine and vcpus:
            await pod.machine.agent.request(guest.CpusSet(online=vcpus))
        if pod.machine and memory_bytes:
            await pod.machine.vm.balloon(memory_bytes)
        await self._store(pod, asked)
        return pod.view()

    async def publish(
        self, reference: str, added: Sequence[PodPort] = (), removed: Sequence[PodPort] = ()
    ) -> PodView:
        """Publish ports of a pod and take others away: now if it runs, else at its start.

        Raises Conflict when one is taken, NotFound for one to remove that is not published.
        """
        pod = self._pods.find(reference)
        return await pod.supervisor.call(lambda: self._publish(pod, added, removed))

    async def _publish(
        self, pod: Pod, added: Sequence[PodPort], removed: Sequence[PodPort]
    ) -> PodView:
        left = list(pod.row.spec.ports)
        for port in removed:
            match = [item for item in left if _matches(item, port)]
            if not match:
                raise NotFound("published port", f"{port.container_port}/{port.protocol}")
            left = [item for item in left if item not in match]
        spec = replace(pod.row.spec, ports=(*left, *added))
        pod_checks.check_ports(spec.ports)
        if pod.machine:
            gone = [port for port in pod.machine.link.ports if _is_one_of(port, removed)]
            new = [pod_plan.binding(port, spec) for port in added]
            await membership.publish(pod, pod.machine, new, gone)
        await self._store(pod, spec)
        return pod.view()

    async def _store(self, pod: Pod, spec: PodSpec) -> None:
        store = self._services.store
        own = {"name": spec.name} | dict(spec.labels)
        updated = Event("pod", "update", pod.row.id, tuple(own.items()))
        await store.call(store.pod_table.put_spec, pod.row.id, spec, (updated,))
        pod.row = replace(pod.row, spec=spec)
        self._services.feed.publish(updated)


def _check_room(pod: Pod, machine: Machine, vcpus: int, memory_bytes: int) -> None:
    """Raises Unsupported when a running VM cannot have this size."""
    name = pod.row.spec.name
    if vcpus > (most := machine.agent.welcome.cpus):
        raise Unsupported(
            f"pod {name} was started with {most} vCPUs: a running VM can only use fewer: stop the "
            "pod, resize, start it; one created with a larger maxVcpu can grow to that"
        )
    if memory_bytes > (size := machine.vm.record.memory_bytes):
        raise Unsupported(
            f"pod {name} was started with {size // MIB} MiB: a running VM can only be given less: "
            "stop the pod, resize, start it; one created with a larger maxMemory can grow to that"
        )
    if memory_bytes and devices.pci_devices(pod.row.spec):
        raise Unsupported(
            f"pod {name} has PCI devices of the host, which may use all of its memory at any time: "
            "stop the pod, resize, start it"
        )


def _place(service: PodService) -> tuple[str, int, str]:
    return service.address, service.port, service.protocol


def _is_one_of(port: PortBinding, wanted: Sequence[PodPort]) -> bool:
    here = PodPort(port.container_port, port.protocol, port.host_ip, port.host_port)
    return any(_matches(here, one) for one in wanted)


def _matches(port: PodPort, wanted: PodPort) -> bool:
    same = (port.container_port, port.protocol) == (wanted.container_port, wanted.protocol)
    return same and wanted.host_port in (0, port.host_port)
