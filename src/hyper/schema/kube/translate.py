"""Turns documents into pods of Hyper's own model: PodSpec and ContainerSpecs. Pure, no I/O.

What only the host can tell (an image's user, whether a path exists) is handed on in PlannedPod.
"""

import ipaddress
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from hyper.core.errors import InvalidArgument
from hyper.core.pod_spec import (
    InjectedFile,
    Medium,
    NetworkService,
    PodPort,
    PodSpec,
    PodVolume,
    Role,
    VolumeSource,
)
from hyper.core.spec import EndpointSpec, RestartPolicy, RestartPolicyName
from hyper.core.units import MIB
from hyper.schema.kube.claim import Claim
from hyper.schema.kube.compute import CPU, MEMORY
from hyper.schema.kube.configuration import ConfigMap, Contents, Secret
from hyper.schema.kube.container_model import (
    CLUSTER_DOMAIN,
    PlannedContainer,
    plan_container,
)
from hyper.schema.kube.containers import ALWAYS, Container
from hyper.schema.kube.documents import Document
from hyper.schema.kube.environment import Variable
from hyper.schema.kube.persistent import OWN, Binding, Carried, Persistent
from hyper.schema.kube.place import Place
from hyper.schema.kube.pod import Pod
from hyper.schema.kube.service import Service, balanced, pod_names_of
from hyper.schema.kube.values import CONFIG_MAP, SECRET, Files, Surroundings
from hyper.schema.kube.volumes import ClaimVolume, HostPath, Volume
from hyper.schema.kube.workloads import (
    INDEXED,
    MAXIMUM_PODS,
    JobSpec,
    Stateful,
    Workload,
    pod_names,
)

NamedClaim = tuple[str, Claim]
"""A claim with the name of its volume."""

NETWORK = "kube"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
LEAST_DISK_BYTES = 32 * MIB
"""What a file system of its own takes at least (storage/disks.py)."""
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
"""Begins annotations that act, as the field appArmorProfile does in later versions."""
DIRECTORY_MODE = "mode=0755"


@dataclass(frozen=True, slots=True)
class PlannedVolume:
    """A named volume to make if there is none; `size_bytes` is the free space it needs."""

    name: str
    size_bytes: int
    labels: tuple[tuple[str, str], ...] = ()
    carried: Carried = OWN


@dataclass(frozen=True, slots=True)
class PlannedPod:
    """A pod to make; `host_paths` are paths of the host with the types they must have.

    Of the pods of one `job` at most `parallelism` run at a time.
    """

    spec: PodSpec
    containers: tuple[PlannedContainer, ...]
    host_paths: tuple[HostPath, ...]
    document: str
    job: str = ""
    parallelism: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a play makes, in this order, and what the user should know; its pods find each
    other on NETWORK, which they need if they are `named`.
    """

    volumes: tuple[PlannedVolume, ...]
    pods: tuple[PlannedPod, ...]
    notes: tuple[str, ...]
    services: tuple[NetworkService, ...] = ()
    named: bool = False


def make_plan(
    documents: Iterable[Document],
    configuration: Iterable[Document] = (),
    *,
    node_name: str = "",
    node_sizes: Mapping[str, int] | None = None,
    notes: Iterable[str] = (),
) -> Plan:
    """Return what a play makes. ConfigMaps and Secrets of `configuration` may be referred to, and
    `node_sizes` by those who ask for the limits of a container that has none.

    Raises InvalidArgument, Unsupported, each with document and path.
    """
    told = list(notes)
    documents = tuple(documents)
    contents = _contents((*configuration, *documents))
    around = Surroundings(contents, node_name, node_sizes or {})
    services = [document for document in documents if isinstance(document, Service)]
    binding = Binding(document for document in documents if isinstance(document, Persistent))
    volumes: dict[str, PlannedVolume] = {}
    pods: list[PlannedPod] = []
    for document in documents:
        if isinstance(document, Claim):
            _add_volume(volumes, _volume(document, document.metadata.name, binding, told))
        for pod, claims, title in _pods(document):
            place = Place(title, "spec", told)
            if len(pods) == MAXIMUM_PODS:
                raise InvalidArgument(f"{title}: a play has at most {MAXIMUM_PODS} pods")
            planned = _plan_pod(pod, around, place, _backoff_limit(document))
            if any(planned.spec.name == other.spec.name for other in pods):
                raise InvalidArgument(
                    f"{title}: two pods of this play are named {pod.metadata.name}"
                )
            if isinstance(document, Workload) and isinstance(document.spec, JobSpec):
                planned = _of_job(planned, document.metadata.name, document.spec)
            pods.append(_served(planned, services))
            for name, claim in claims:
                _add_volume(volumes, _volume(claim, name, binding, told))
    told += [
        f'PersistentVolume "{name}": has no effect: no claim of this play fits it'
        for name in binding.left()
    ]
    return Plan(
        tuple(volumes.values()),
        tuple(pods),
        tuple(dict.fromkeys(told)),
        _balanced(services),
        named=bool(services),
    )


def _of_job(planned: PlannedPod, name: str, job: JobSpec) -> PlannedPod:
    limits = [limit for limit in (planned.spec.deadline_s, job.active_deadline_seconds) if limit]
    spec = replace(planned.spec, deadline_s=float(min(limits, default=0)))
    return replace(planned, spec=spec, job=name, parallelism=job.parallelism)


def _balanced(services: Iterable[Service]) -> tuple[NetworkService, ...]:
    found: dict[str, NetworkService] = {}
    for service in services:
        if service.metadata.name in found:
            raise InvalidArgument(f"two Services are named {service.metadata.name!r}")
        found[service.metadata.name] = balanced(service, NETWORK)
    return tuple(found.values())


def _served(planned: PlannedPod, services: Iterable[Service]) -> PlannedPod:
    """Return a pod on the network of names, with those of the services that select it."""
    labels = set(planned.spec.labels)
    aliases: list[str] = []
    for service in services:
        if set(service.spec.selector) <= labels:
            aliases += pod_names_of(service, planned.spec.name)
    spec = replace(planned.spec, network_mode=NETWORK)
    if not aliases:
        return replace(planned, spec=spec)
    endpoint = EndpointSpec(NETWORK, aliases=tuple(dict.fromkeys(aliases)))
    first, *others = planned.containers
    first = replace(first, spec=replace(first.spec, endpoints=(endpoint,)))
    return replace(planned, spec=spec, containers=(first, *others))


def _contents(documents: Iterable[Document]) -> dict[tuple[str, str], Contents]:
    found: dict[tuple[str, str], Contents] = {}
    for document in documents:
        if isinstance(document, ConfigMap | Secret):
            kind = CONFIG_MAP if isinstance(document, ConfigMap) else SECRET
            key = (kind, document.metadata.name)
            if key in found:
                raise InvalidArgument(f"two documents are the {kind} {document.metadata.name!r}")
            found[key] = document.contents
    return found


def _add_volume(volumes: dict[str, PlannedVolume], volume: PlannedVolume) -> None:
    if volume.name in volumes:
        raise InvalidArgument(f"two documents claim the volume {volume.name!r}")
    volumes[volume.name] = volume


def _volume(claim: Claim, name: str, binding: Binding, told: list[str]) -> PlannedVolume:
    labels = claim.metadata.labels
    if carried := binding.bind(claim, name):
        return PlannedVolume(name, 0, labels, carried)
    if claim.spec.storage_class_name:
        place = Place(f'PersistentVolumeClaim "{name}"', "spec", told)
        place.at("storageClassName").note("volumes are folders of hyperd")
    return PlannedVolume(name, int(claim.spec.resources.requests), labels)


@dataclass(frozen=True, slots=True)
class PlannedNames:
    """The names of what documents stand for."""

    pods: tuple[str, ...]
    volumes: tuple[str, ...]
    services: tuple[str, ...]


def planned_names(documents: Iterable[Document]) -> PlannedNames:
    """Return the names of what documents stand for."""
    pods, volumes, services = [], [], []
    for document in documents:
        if isinstance(document, Service):
            services.append(document.metadata.name)
        if isinstance(document, Claim):
            volumes.append(document.metadata.name)
        for pod, claims, _ in _pods(document):
            pods.append(pod.metadata.name)
            volumes += [name for name, _ in claims]
    return PlannedNames(tuple(pods), tuple(volumes), tuple(services))


# --- pods of workloads ----------------------------------------------------------------------------


def _pods(document: Document) -> Iterable[tuple[Pod, tuple[NamedClaim, ...], str]]:
    """Give the pods of a document, each with the volumes claimed for it and its title."""
    if isinstance(document, Pod):
        yield document, (), f'Pod "{document.metadata.name}"'
    if not isinstance(document, Workload):
        return
    template = document.spec.template
    for name in pod_names(document):
        metadata = replace(template.metadata, name=name, namespace=document.metadata.namespace)
        pod = replace(template, metadata=metadata)
        claims: tuple[NamedClaim, ...] = ()
        if isinstance(document.spec, Stateful):
            pod, claims = _stateful(pod, document.spec)
        elif isinstance(document.spec, JobSpec) and document.spec.completion_mode == INDEXED:
            pod = _indexed(pod, int(name.rpartition("-")[2]))
        yield pod, claims, f'pod "{name}" of "{document.metadata.name}"'


def _stateful(pod: Pod, spec: Stateful) -> tuple[Pod, tuple[NamedClaim, ...]]:
    """Return a StatefulSet's pod with its own claims in the place of the templates."""
    name = pod.metadata.name
    claimed = {
        claim.metadata.name: f"{claim.metadata.name}-{name}"
        for claim in spec.volume_claim_templates
    }
    kept = tuple(volume for volume in pod.spec.volumes if volume.name not in claimed)
    own = tuple(
        Volume(volume, persistent_volume_claim=ClaimVolume(claim))
        for volume, claim in claimed.items()
    )
    changed = replace(
        pod.spec,
        volumes=(*kept, *own),
        hostname=pod.spec.hostname or name,
        subdomain=pod.spec.subdomain or spec.service_name,
    )
    claims = tuple((claimed[claim.metadata.name], claim) for claim in spec.volume_claim_templates)
    return replace(pod, spec=changed), claims


def _indexed(pod: Pod, index: int) -> Pod:
    """Return a pod of an indexed Job, whose containers know their index."""
    variable = Variable(INDEX_VARIABLE, str(index))
    metadata, spec = pod.metadata, pod.spec
    annotations = (*metadata.annotations, (INDEX_ANNOTATION, str(index)))
    changed = replace(
        spec,
        hostname=spec.hostname or metadata.name,
        containers=tuple(_with_variable(item, variable) for item in spec.containers),
        init_containers=tuple(_with_variable(item, variable) for item in spec.init_containers),
    )
    return replace(pod, metadata=replace(metadata, annotations=annotations), spec=changed)


def _with_variable(container: Container, variable: Variable) -> Container:
    return replace(container, env=(*container.env, variable))


def _backoff_limit(document: Document) -> int | None:
    if isinstance(document, Workload) and isinstance(document.spec, JobSpec):
        return document.spec.backoff_limit
    return None


# --- one pod --------------------------------------------------------------------------------------


def _plan_pod(
    pod: Pod, around: Surroundings, place: Place, backoff_limit: int | None
) -> PlannedPod:
    spec, metadata = pod.spec, pod.metadata
    for name, profile in metadata.annotations:
        if name.startswith(APPARMOR) and profile != "unconfined":
            where = Place(place.document, "metadata.annotations", place.notes).key(name)
            raise where.refused("the guest has no AppArmor; the VM is the boundary")
    containers: list[PlannedContainer] = []
    for kind, members in (
        ("initContainers", spec.init_containers),
        ("containers", spec.containers),
    ):
        for at, container in enumerate(members):
            role = Role.MAIN
            if kind == "initContainers":
                role = Role.SIDECAR if container.restart_policy == ALWAYS else Role.INIT
            where = place.at(kind).item(at)
            planned = plan_container(container, role, pod, around, where)
            containers.append(_limited(planned, backoff_limit))
    _check_addresses(pod, place)
    domain = f"{spec.subdomain}.{metadata.namespace}.{CLUSTER_DOMAIN}" if spec.subdomain else ""
    limits = spec.resources
    return PlannedPod(
        spec=PodSpec(
            name=metadata.name,
            vcpus=math.ceil(limits.limit(CPU) or 0),
            memory_bytes=_whole_mib(limits.limit(MEMORY)),
            hostname=spec.hostname,
            domainname=domain,
            follows=spec.restart_policy != ALWAYS,
            labels=metadata.labels,
            annotations=metadata.annotations,
            share_pid=spec.share_process_namespace,
            ports=_ports(pod, place),
            port_names=tuple(
                (port.name, str(port.container_port))
                for container in (*spec.init_containers, *spec.containers)
                for port in container.ports
                if port.name
            ),
            volumes=_volumes(pod, around, place.at("volumes")),
            sysctls=tuple((item.name, item.value) for item in spec.security_context.sysctls),
            grace_s=float(spec.termination_grace_period_seconds),
            deadline_s=float(spec.active_deadline_seconds),
        ),
        containers=tuple(containers),
        host_paths=tuple(volume.host_path for volume in spec.volumes if volume.host_path),
        document=place.document,
    )


def _limited(planned: PlannedContainer, backoff_limit: int | None) -> PlannedContainer:
    """Return a container of a Job: restarted at most `backoff_limit` times."""
    policy = planned.spec.restart_policy
    if backoff_limit is None or policy.name is not RestartPolicyName.ON_FAILURE:
        return planned
    limited = replace(policy, maximum_retries=backoff_limit) if backoff_limit else RestartPolicy()
    return replace(planned, spec=replace(planned.spec, restart_policy=limited))


def _whole_mib(amount: Fraction | None) -> int:
    return math.ceil((amount or 0) / MIB) * MIB


def _ports(pod: Pod, place: Place) -> tuple[PodPort, ...]:
    ports = []
    for at, container in enumerate(pod.spec.containers):
        for number, port in enumerate(container.ports):
            where = place.at("containers").item(at).at("ports").item(number)
            if port.host_ip:
                _check_address(port.host_ip, where.at("hostIP"))
            if port.host_port:
                ports.append(
                    PodPort(
                        port.container_port, port.protocol.lower(), port.host_ip, port.host_port
                    )
                )
    return tuple(ports)


def _check_addresses(pod: Pod, place: Place) -> None:
    for at, alias in enumerate(pod.spec.host_aliases):
        _check_address(alias.ip, place.at("hostAliases").item(at).at("ip"))
    for at, server in enumerate(pod.spec.dns_config.nameservers):
        _check_address(server, place.at("dnsConfig").at("nameservers").item(at))


def _check_address(text: str, place: Place) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise place.invalid(
            text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        ) from None


# --- volumes --------------------------------------------------------------------------------------


def _volumes(pod: Pod, around: Surroundings, place: Place) -> tuple[PodVolume, ...]:
    files = Files(pod, around)
    found = []
    for at, volume in enumerate(pod.spec.volumes):
        if volume.host_path or volume.persistent_volume_claim:
            continue  # mounts of the containers themselves
        source = _source(volume, files, place.item(at))
        found.append(PodVolume(volume.name, source))
    return tuple(found)


def _source(volume: Volume, files: Files, place: Place) -> VolumeSource:
    written: tuple[InjectedFile, ...]
    if volume.nfs:
        export = f"{volume.nfs.server}:{volume.nfs.path}"
        return VolumeSource(Medium.NFS, export, read_only=volume.nfs.read_only)
    if volume.config_map:
        written = files.config_map(volume.config_map, place.at("configMap"))
    elif volume.secret:
        written = files.secret(volume.secret, place.at("secret"))
    elif volume.downward_api:
        where = place.at("downwardAPI")
        written = files.downward(volume.downward_api, where, volume.downward_api.default_mode)
    elif volume.projected:
        written = files.projected(volume.projected, place.at("projected"))
    else:
        return _empty_dir(volume, files.pod.spec.security_context.fs_group)
    return VolumeSource(Medium.MEMORY, options=DIRECTORY_MODE, files=written)


def _empty_dir(volume: Volume, fs_group: int | None) -> VolumeSource:
    # A folder everyone may write, unless told otherwise; with fsGroup new files are that group's.
    asked = volume.empty_dir
    mode = 0o777 if asked is None or asked.mode is None else asked.mode
    options = f"mode={mode:04o}"
    if fs_group is not None:
        options = f"mode={mode | 0o2000:04o},gid={fs_group}"
    size_bytes = int(asked.size_limit) if asked else 0
    if asked and asked.medium == "Memory":
        return VolumeSource(Medium.MEMORY, size_bytes=size_bytes, options=options)
    if size_bytes:
        size_bytes = max(size_bytes, LEAST_DISK_BYTES)
    return VolumeSource(Medium.DISK, size_bytes=size_bytes, options=options)
