"""Checks what is asked of a pod before anything of it exists. Pure functions, no I/O."""

import posixpath
from collections.abc import Iterable, Sequence

from hyper.core.errors import Forbidden, InvalidArgument
from hyper.core.ids import check_name, check_short_name
from hyper.core.pod_spec import (
    ActionKind,
    InjectedFile,
    Medium,
    PodPort,
    PodService,
    PodSpec,
    Role,
)
from hyper.core.spec import ContainerSpec, MountKind
from hyper.core.units import MIB
from hyper.engine.devices import pci_devices
from hyper.engine.plan import clean_path
from hyper.engine.pod_plan import file_content, pack_address
from hyper.storage.disks import check_size as check_disk_size

FILES_MAX_BYTES = 16 * MIB
LIMIT_LEAST_BYTES = 6 * MIB
"""Docker's least memory limit: with less a process may not even begin."""
KERNEL_FOLDERS = ("/proc", "/sys", "/dev")


def check_pod(spec: PodSpec, containers: Sequence[ContainerSpec], host_cpus: int) -> None:
    """Check that a pod can be so. Raises InvalidArgument naming what cannot."""
    check_size(spec, host_cpus)
    check_services(spec.services)
    check_ports(spec.ports)
    _check_unique("volume", [volume.name for volume in spec.volumes])
    for volume in spec.volumes:
        check_short_name(volume.name, "volume")
        if volume.source.files and volume.source.medium is not Medium.MEMORY:
            raise InvalidArgument(f"volume {volume.name}: only one in memory can have files")
        if volume.source.medium is Medium.DISK and volume.source.size_bytes:
            check_disk_size(volume.source.size_bytes, f"volume {volume.name}: a disk")
    check_container_names([container.name_in_pod for container in containers])
    if containers and not any(item.role is Role.MAIN for item in containers):
        raise InvalidArgument("a pod with init containers only: it needs one that is not")
    files = [file for volume in spec.volumes for file in volume.source.files]
    for container in containers:
        _check_container(container, spec)
        files += container.files
    size = sum(len(file_content(file)) for file in files)
    if size > FILES_MAX_BYTES:
        raise InvalidArgument(f"files of {size} bytes: at most {FILES_MAX_BYTES} are possible")


def check_size(spec: PodSpec, host_cpus: int) -> None:
    """Check the size of a pod's VM. Raises InvalidArgument."""
    if not 0 <= spec.vcpus <= host_cpus:
        raise InvalidArgument(f"vcpus: {spec.vcpus}: this host has {host_cpus} CPUs")
    if spec.memory_bytes and spec.memory_bytes < 64 * MIB:
        raise InvalidArgument(f"memory: {spec.memory_bytes} bytes: a pod needs 64 MiB at least")
    if spec.memory_bytes % MIB:
        raise InvalidArgument(f"memory: {spec.memory_bytes} bytes: whole MiB are needed")
    if spec.max_vcpus and not 0 < spec.vcpus <= spec.max_vcpus <= host_cpus:
        raise InvalidArgument(
            f"maxVcpu: {spec.max_vcpus}: it needs a vcpu, of at most that number, and this host "
            f"has {host_cpus} CPUs"
        )
    if spec.max_memory_bytes and not 0 < spec.memory_bytes <= spec.max_memory_bytes:
        raise InvalidArgument(
            f"maxMemory: {spec.max_memory_bytes} bytes: it needs a memory, of at most that size"
        )
    if spec.max_memory_bytes % MIB:
        raise InvalidArgument(f"maxMemory: {spec.max_memory_bytes} bytes: whole MiB are needed")
    if spec.max_memory_bytes and pci_devices(spec):
        raise InvalidArgument("maxMemory: a pod with PCI devices of the host has all its memory")


def check_services(services: Sequence[PodService]) -> None:
    """Check services of a pod. Raises InvalidArgument."""
    _check_unique("service", [service.name for service in services])
    _check_unique("service", [f"{s.address}:{s.port}/{s.protocol}" for s in services])
    for service in services:
        version = len(pack_address(service.address))
        for backend in service.backends:
            if len(pack_address(backend.address)) != version:
                raise InvalidArgument(
                    f"service {service.name}: backend {backend.address} is not of the address "
                    f"family of {service.address}"
                )


def check_ports(ports: Sequence[PodPort]) -> None:
    """Check published ports of a pod. Raises InvalidArgument."""
    _check_unique(
        "published port",
        [f"{port.host_ip}:{port.host_port}/{port.protocol}" for port in ports if port.host_port],
    )


def check_kernel_parameters(spec: PodSpec, allowed: Sequence[str]) -> None:
    """Check a pod's kernel parameters against the daemon's list. Raises Forbidden."""
    for parameter in spec.kernel_parameters:
        name = parameter.partition("=")[0]
        if not name or any(sign.isspace() or not sign.isprintable() for sign in parameter):
            raise InvalidArgument(f"kernel parameter {parameter!r}: one word is needed")
        if name not in allowed:
            raise Forbidden(
                f"kernel parameter {name} is not allowed: the daemon allows {', '.join(allowed)} "
                "(hyper.kernel-parameters in its configuration)"
            )


def check_container_names(names: Sequence[str]) -> None:
    """Check names of containers within a pod. Raises InvalidArgument."""
    _check_unique("container", names)
    for name in names:
        check_name(f"x-{name}" if name else name)


def _check_unique(kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidArgument(f"two {kind}s of the pod are named {name!r}")
        seen.add(name)


def _check_container(container: ContainerSpec, spec: PodSpec) -> None:
    where = f"container {container.name_in_pod}"
    known = {volume.name for volume in spec.volumes}
    for mount in container.mounts:
        if mount.kind is MountKind.POD and mount.source not in known:
            raise InvalidArgument(f"{where}: the pod has no volume named {mount.source!r}")
    limit = container.resources.memory_bytes
    if limit and limit < LIMIT_LEAST_BYTES:
        raise InvalidArgument(
            f"{where}: memory limit of {limit} bytes: {LIMIT_LEAST_BYTES // MIB} MiB at least"
        )
    _check_unique("file", [clean_path(file.path) for file in container.files])
    for file in container.files:
        _check_file(file, container, where)
    if container.role is Role.INIT and (container.hooks.post_start or container.probes.readiness):
        raise InvalidArgument(f"{where}: an init container has no hooks and probes")
    for probe in (
        container.probes.startup,
        container.probes.liveness,
        container.probes.readiness,
    ):
        if probe is None:
            continue
        if probe.action.kind is ActionKind.SLEEP:
            raise InvalidArgument(f"{where}: a probe cannot sleep")
        if probe.period_s <= 0 or probe.timeout_s <= 0 or probe.initial_delay_s < 0:
            raise InvalidArgument(f"{where}: a probe's period and timeout are positive")
        if probe.failure_threshold < 1 or probe.success_threshold < 1:
            raise InvalidArgument(f"{where}: a probe's thresholds are 1 at least")


def _check_file(file: InjectedFile, container: ContainerSpec, where: str) -> None:
    path = clean_path(file.path)
    if not file.path.startswith("/") or path == "/":
        raise InvalidArgument(f"{where}: file {file.path!r}: an absolute path is needed")
    for below in (*KERNEL_FOLDERS, *(clean_path(mount.destination) for mount in container.mounts)):
        if posixpath.commonpath((path, below)) == below:
            raise InvalidArgument(
                f"{where}: file {file.path} lies below the mount {below}, "
                "which would hide it: put it into that volume"
            )
