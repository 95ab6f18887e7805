"""Plays Kubernetes documents: pulls images, makes volumes and pods, starts them; and removes them.

What documents mean is decided in schema.kube; here is only what needs the engine and the host.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hyper.core.errors import (
    Conflict,
    HyperError,
    InvalidArgument,
    NotFound,
    NotModified,
    Unsupported,
)
from hyper.core.pod_spec import NetworkService
from hyper.core.spec import NetworkSpec
from hyper.engine.engine import Engine
from hyper.engine.views import PodView
from hyper.host.files import free_bytes
from hyper.host.threads import in_thread
from hyper.images.catalog import Image
from hyper.images.credentials import Credentials
from hyper.images.reference import parse
from hyper.schema.kube.documents import Document
from hyper.schema.kube.translate import (
    NETWORK,
    Plan,
    PlannedPod,
    PlannedVolume,
    planned_names,
)
from hyper.schema.kube.volumes import HostPath

Tell = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class Player:
    """Plays on an engine; `tell` hears of what happens, one line each. Pods that have to go get
    their own grace, or `stop_timeout_s`.
    """

    engine: Engine
    tell: Tell
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    stop_timeout_s: float | None = None

    async def play(self, plan: Plan, *, again: bool, start: bool) -> None:
        """Make everything of a plan, `again` the pods there are already. Raises what fails first;
        pods that were not complete are gone then, one that did not start stays so that its logs
        can be read.
        """
        for note in plan.notes:
            self.tell({"warning": note})
        await self._check(plan, again)
        for pod in plan.pods:
            await self._images(pod)
        for volume in plan.volumes:
            await self._volume(volume)
        plan = await self._network(plan)
        for service in plan.services:
            await self._service(service)
        made: list[PodView] = []
        try:
            for pod in plan.pods:
                made.append(await self._create(pod, again))
        except BaseException:
            for view in made:
                await self.engine.pod_verbs.remove(view.id, force=True, volumes=True)
            raise
        begun: dict[str, list[str]] = {}
        for pod, view in zip(plan.pods, made, strict=True):
            if start:
                await self._room(begun.setdefault(pod.job, []), pod.parallelism)
                await self.engine.pod_verbs.start(view.id)
                begun[pod.job].append(view.id)
            self.tell({"pod": _shown(self.engine, view)})
        await self.engine.balancing.refresh()

    async def _room(self, begun: list[str], parallelism: int) -> None:
        """Wait until fewer pods of a job run than may at a time; 0 is no limit."""
        while parallelism and len(begun) >= parallelism:
            async with asyncio.TaskGroup() as group:
                ends = {
                    group.create_task(
                        self.engine.pod_verbs.wait(pod), name=f"end of {pod[:12]}"
                    ): pod
                    for pod in begun
                }
                done, left = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for task in left:
                    task.cancel()
            for task in done:
                begun.remove(ends[task])

    async def _check(self, plan: Plan, again: bool) -> None:
        for pod in plan.pods:
            if not again and self._find(pod.spec.name):
                raise Conflict(
                    f"{pod.document}: a pod named {pod.spec.name} exists: play with --replace, or "
                    "remove it with --down"
                )
            for path in pod.host_paths:
                await in_thread("host path", _check_host_path, path, pod.document)
        space = free_bytes(self.engine.places.volumes)
        wanted = sum(volume.size_bytes for volume in plan.volumes)
        if wanted > space:
            raise InvalidArgument(
                f"the claimed volumes need {wanted} bytes, the host has {space} free: claim less, "
                "or make room"
            )

    def _find(self, name: str) -> PodView | None:
        try:
            view = self.engine.pods.get(name)
        except (NotFound, InvalidArgument):
            return None
        return view if view.spec.name == name else None

    async def _images(self, pod: PlannedPod) -> None:
        for container in pod.containers:
            image = await self._image(container.spec.image, container.pull, container.place)
            if container.non_root:
                _check_user(container.spec.user or image.config.user or "", container.place)

    async def _image(self, reference: str, policy: str, place: str) -> Image:
        images = self.engine.images
        try:
            parsed = parse(reference).tagged()
        except InvalidArgument as err:
            raise InvalidArgument(f'{place}.image: Invalid value: "{reference}": {err}') from err
        name = str(parsed)
        if policy != "Always":
            try:
                return images.get(name)
            except NotFound:
                if policy == "Never":
                    raise NotFound(
                        "image", reference, f"{place}.imagePullPolicy is Never"
                    ) from None
        self.tell({"status": f"Pulling {name}"})
        return await images.pull(
            name,
            auth=self.credentials.get(parsed.domain),
            progress=lambda step: self.tell(step.as_json()),
        )

    async def _volume(self, volume: PlannedVolume) -> None:
        before = {view.name for view in await self.engine.volumes.list()}
        carried = volume.carried
        if carried.folder is not None:
            await in_thread("host path", _make_folder, carried.folder, volume.name)
        view = await self.engine.volumes.create(
            volume.name, labels=volume.labels, driver=carried.driver, options=carried.options
        )
        self.tell({"volume": view.name, "made": view.name not in before})

    async def _network(self, plan: Plan) -> Plan:
        """Make the network of played pods; where none can be, they are on the default one.

        Raises Unsupported when they have names that need it.
        """
        networks = self.engine.networks
        try:
            networks.registry.find(NETWORK)
        except NotFound:
            try:
                await networks.create(NetworkSpec(name=NETWORK))
            except Unsupported:
                if plan.named:
                    raise
                pods = [replace(p, spec=replace(p.spec, network_mode="default")) for p in plan.pods]
                return replace(plan, pods=tuple(pods))
        return plan

    async def _service(self, service: NetworkService) -> None:
        view = await self.engine.balancing.put(service)
        published = [port.host_port for port in view.spec.ports if port.host_port]
        self.tell({"service": view.spec.name, "address": view.spec.address, "ports": published})

    async def _create(self, pod: PlannedPod, again: bool) -> PodView:
        existing = self._find(pod.spec.name)
        if again and existing:
            await self._stop(existing)
            await self.engine.pod_verbs.remove(existing.id, force=True, volumes=True)
        specs = [container.spec for container in pod.containers]
        return await self.engine.pod_verbs.create(pod.spec, specs)

    async def down(self, documents: Iterable[Document], *, volumes: bool) -> None:
        """Stop and remove the pods of documents, and if asked the volumes they claim.

        What is not there is passed over.
        """
        names = planned_names(documents)
        for name in names.services:
            try:
                await self.engine.balancing.remove(name)
            except NotFound:
                continue
            self.tell({"serviceRemoved": name})
        found = [view for name in reversed(names.pods) if (view := self._find(name))]
        await self._stop_all(found)
        for view in found:
            await self.engine.pod_verbs.remove(view.id, force=True, volumes=True)
            self.tell({"removed": view.id})
        for name in names.volumes if volumes else ():
            try:
                await self.engine.volumes.remove(name)
            except NotFound:
                continue
            self.tell({"volumeRemoved": name})

    async def _stop_all(self, views: Sequence[PodView]) -> None:
        """Stop pods at the same time; raise the first failure once all had their chance."""
        failures: list[HyperError] = []

        async def stop(view: PodView) -> None:
            try:
                await self._stop(view)
            except HyperError as err:
                failures.append(err)
            else:
                self.tell({"stopped": view.id})

        async with asyncio.TaskGroup() as group:
            for view in views:
                group.create_task(stop(view), name=f"stop {view.id[:12]}")
        if failures:
            raise failures[0]

    async def _stop(self, view: PodView) -> None:
        try:
            await self.engine.pod_verbs.stop(view.id, self.stop_timeout_s)
        except NotModified:
            return  # it had ended


def _shown(engine: Engine, view: PodView) -> dict[str, object]:
    containers = [engine.containers.get(identifier) for identifier in view.container_ids]
    return {
        "Id": view.id,
        "Name": view.spec.name,
        "Containers": [{"Id": item.id, "Name": item.name} for item in containers],
    }


def _check_user(user: str, place: str) -> None:
    """Check what runAsNonRoot asks for (kubernetes pkg/kubelet/kuberuntime/security_context.go)."""
    name = user.partition(":")[0]
    if name.isdecimal() and int(name) != 0:
        return
    where = f"{place}.securityContext.runAsNonRoot"
    if not name or name.isdecimal() or name == "root":
        raise InvalidArgument(
            f"{where}: container has runAsNonRoot and image will run as root: set runAsUser"
        )
    raise InvalidArgument(
        f"{where}: container has runAsNonRoot and image has non-numeric user ({name}), cannot "
        "verify user is non-root: set runAsUser"
    )


def _make_folder(asked: HostPath, volume: str) -> None:
    """Make the folder of a PersistentVolume where it may be missing; check it otherwise."""
    document = f'PersistentVolumeClaim "{volume}"'
    if asked.type == "DirectoryOrCreate" and asked.path.startswith("/"):
        Path(asked.path).mkdir(mode=0o755, parents=True, exist_ok=True)
    _check_host_path(asked, document)


def _check_host_path(asked: HostPath, document: str) -> None:
    """Check or make what a hostPath's type says. Raises InvalidArgument."""
    path = Path(asked.path)
    problem = ""
    if not path.is_absolute():
        problem = "an absolute path is needed"
    elif asked.type in ("DirectoryOrCreate", "Directory") and not path.is_dir():
        if asked.type == "Directory" or path.exists():
            problem = "it is not a directory"
    elif asked.type in ("FileOrCreate", "File") and not path.is_file():
        if asked.type == "File" or path.exists():
            problem = "it is not a file"
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    if problem:
        raise InvalidArgument(
            f"{document}: hostPath type check failed: {asked.path}, {asked.type}: {problem}"
        )
