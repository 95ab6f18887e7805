"""Owns the way from what was asked of a container to what is stored of it; adds nothing itself."""

from collections.abc import Sequence
from dataclasses import replace
from time import time_ns

from hyper.core.errors import HyperError, InvalidArgument
from hyper.core.health import merge_healthcheck
from hyper.core.ids import check_hostname, new_id
from hyper.core.pod_spec import PodSpec
from hyper.core.spec import ContainerSpec, LinkSpec, LogSpec, RestartPolicy
from hyper.engine import linking, plan
from hyper.engine.pods import Pods, find_container
from hyper.engine.services import Services
from hyper.engine.store import ContainerRow, PodRow
from hyper.engine.views import ContainerView, Status
from hyper.engine.volumes import Volumes
from hyper.images.catalog import Image
from hyper.images.manifest import Platform


class Creation:
    """Checks and completes containers before they are added."""

    def __init__(self, services: Services, pods: Pods, volumes: Volumes) -> None:
        self._services = services
        self._pods = pods
        self._volumes = volumes

    async def prepare(self, spec: ContainerSpec, pod: PodRow | None) -> ContainerRow:
        """Return a container's row, without its name; its volumes are made when missing.

        `pod` is None for a lone container. Raises NotFound (image), InvalidArgument.
        """
        image = self._services.images.get(spec.image)
        if spec.platform:
            # After a NotFound the docker command pulls.
            image.check_platform(Platform.parse(spec.platform), spec.image)
        health = merge_healthcheck(spec.healthcheck, image.config.healthcheck)
        spec = _inherit(replace(spec, image_id=image.id, healthcheck=health), image)
        spec = self._complete(spec, pod)
        container_id = new_id()
        command = plan.resolve_command(spec, image)
        plan.main_process(spec, command, 1, container_id, "check")
        plan.vm_vcpus([spec], 1, self._pods.host_cpus)
        volumes = pod.spec.volumes if pod else ()
        mounts = await self._volumes.resolve(spec, image, self._volumes_from, volumes)
        try:
            plan.user_mounts(mounts)
        except HyperError:
            await self._volumes.release(mounts)
            raise
        pod_id = pod.id if pod else ""
        return ContainerRow(container_id, "", pod_id, time_ns(), spec, command, mounts, Status())

    def _complete(self, spec: ContainerSpec, pod: PodRow | None) -> ContainerSpec:
        settings = self._services.settings
        if pod and not pod.spec.lone and not spec.hostname:
            # The containers of a pod share its name, as they share its network.
            spec = replace(spec, hostname=pod.spec.hostname, domainname=pod.spec.domainname)
        if spec.hostname:
            check_hostname(spec.hostname)
        if spec.auto_remove and spec.restart_policy != RestartPolicy():
            raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
        of_pod = pod.spec if pod else PodSpec("")
        if not spec.log.driver:
            driver, options = of_pod.log_driver, of_pod.log_options
            if not driver:
                driver, options = settings.log_driver, settings.log_options
            spec = replace(spec, log=LogSpec(driver, spec.log.options or options))
        if spec.kernel:
            self._services.kernel_of(spec.kernel)
        mode = pod.spec.network_mode if pod and not pod.spec.lone else spec.network_mode
        links: tuple[LinkSpec, ...] = ()
        if linking.on_default_network(
            spec.network_mode if spec.network_mode != "default" else mode
        ):
            cut_off = bool(self._services.networks.fixed_subnet)
            links = linking.resolve(self._pods, spec, names_only=cut_off)
        return replace(
            spec,
            links=links,
            endpoints=self._services.registry.resolve(spec, pod.spec if pod else None),
            dns=spec.dns or of_pod.dns or settings.dns,
            dns_search=spec.dns_search or of_pod.dns_search or settings.dns_search,
            dns_options=spec.dns_options or of_pod.dns_options or settings.dns_options,
        )

    def _volumes_from(self, reference: str) -> ContainerView:
        return find_container(self._pods, reference)[1].view()

    async def release(self, rows: Sequence[ContainerRow]) -> None:
        """Give back what containers that were not added had made: their anonymous volumes."""
        for row in rows:
            await self._volumes.release(row.mounts)


def _inherit(spec: ContainerSpec, image: Image) -> ContainerSpec:
    """Return a specification with the image's labels and exposed ports, the user's own first."""
    labels = dict(image.config.labels) | dict(spec.labels)
    exposed = tuple(dict.fromkeys((*spec.exposed_ports, *image.config.exposed_ports)))
    return replace(spec, labels=tuple(labels.items()), exposed_ports=exposed)
