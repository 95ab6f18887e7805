"""Turns pods of Hyper's own model into Kubernetes documents: the way back of translate.py. Pure.

What has no place in a manifest is found by translating it back, and said in a comment.
"""

import math
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from itertools import count
from typing import Any

from hyper.core.errors import HyperError
from hyper.core.pod_spec import (
    InjectedFile,
    Medium,
    PodPort,
    PodSpec,
    PodVolume,
    Role,
    VolumeSource,
)
from hyper.core.spec import ContainerSpec, EndpointSpec, Mount, MountKind, RestartPolicyName
from hyper.schema.kube.compute import CPU, MEMORY, Amounts, Requirements
from hyper.schema.kube.configuration import CONFIG_MAP, ConfigMap
from hyper.schema.kube.container_document import (
    TMPFS_MODE,
    MountNames,
    container_document,
    plain_tmpfs,
)
from hyper.schema.kube.container_model import CLUSTER_DOMAIN
from hyper.schema.kube.containers import ALWAYS, NEVER, ON_FAILURE
from hyper.schema.kube.documents import read_documents
from hyper.schema.kube.metadata import DEFAULT_NAMESPACE, Metadata
from hyper.schema.kube.pod import (
    POD,
    DnsConfig,
    DnsOption,
    HostAlias,
    Pod,
)
from hyper.schema.kube.pod import PodSpec as PodDocument
from hyper.schema.kube.security import PodSecurity, Sysctl
from hyper.schema.kube.text import dump_all
from hyper.schema.kube.translate import DIRECTORY_MODE, NETWORK, make_plan
from hyper.schema.kube.volumes import (
    ConfigMapVolume,
    EmptyDir,
    Item,
    NfsVolume,
    Volume,
)

_GROUP = re.compile(r"(?:^|,)gid=(\d+)")
_MODE = re.compile(r"mode=([0-7]+)")
_HEAD = "# Made by `hyper generate kube`; play it with `hyper play kube`.\n"
_PLAIN_NETWORKS = ("bridge", "default", NETWORK)  # where a played pod is anyhow
# Filled in when a container is made, from its image, its pod or the daemon's settings.
FILLED_IN = frozenset({
    "image_id", "labels", "exposed_ports", "log", "hostname", "domainname", "pod",
    # What a client does with a container is no part of it.
    "attach_stdin", "attach_stdout", "attach_stderr", "auto_remove", "console_size",
    "container_id_file",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownPod:
    """A pod to write a manifest of; containers of a lone one have a name in it too."""

    spec: PodSpec
    containers: tuple[ContainerSpec, ...]


def generate(pods: Sequence[KnownPod]) -> str:
    """Return a manifest that plays back to these pods, with a comment for what is not in it."""
    documents: list[dict[str, object]] = []
    missing: list[str] = []
    for pod in map(_reworded, pods):
        names = MountNames(frozenset(volume.name for volume in pod.spec.volumes))
        written = _documents(pod, names)
        documents += written
        missing += [f"{pod.spec.name}: {text}" for text in _differences(pod, written, names)]
    head = _HEAD + "".join(f"# Not in it: {text}\n" for text in missing)
    return head + dump_all(documents)


def _documents(pod: KnownPod, names: MountNames) -> list[dict[str, object]]:
    group = _fs_group(pod)
    maps = [
        (volume, _config_map(pod.spec.name, volume))
        for volume in pod.spec.volumes
        if _has_files(volume.source)
    ]
    written: list[dict[str, object]] = [
        {"apiVersion": "v1", "kind": "ConfigMap", **CONFIG_MAP.write(found)} for _, found in maps
    ]
    document = _pod(pod, names, group)
    written.append({"apiVersion": "v1", "kind": "Pod", **POD.write(document)})
    return written


# What a fresh disk and a tmpfs have where nothing is said, and an emptyDir has not.
_PLAIN_MODES = {Medium.DISK: "mode=0755", Medium.MEMORY: "mode=1777"}


def _reworded(pod: KnownPod) -> KnownPod:
    """Return the same pod as a manifest would say it: folders of the host are mounts of containers,
    their files are of ConfigMaps, published ports are the pod's, and the mode of an empty volume is
    said.
    """
    folders = {
        volume.name: volume.source
        for volume in pod.spec.volumes
        if volume.source.medium is Medium.DIRECTORY
    }
    volumes = tuple(
        replace(volume, source=_with_mode(volume.source))
        for volume in pod.spec.volumes
        if volume.name not in folders
    )
    published = tuple(
        PodPort(port.container_port, port.protocol, port.host_ip, port.host_port)
        for item in pod.containers
        for port in item.ports
        if port.host_port and not port.host_port_end
    )
    containers = tuple(
        replace(
            item,
            mounts=tuple(_of_folder(mount, folders) for mount in item.mounts),
            ports=tuple(p for p in item.ports if not p.host_port or p.host_port_end),
        )
        for item in pod.containers
    )
    taken = {volume.name for volume in pod.spec.volumes}
    given = [_of_files(item, taken) for item in containers]
    spec = replace(
        pod.spec,
        volumes=(*volumes, *(volume for found, _ in given for volume in found)),
        ports=(*pod.spec.ports, *published),
    )
    return KnownPod(spec, tuple(item for _, item in given))


def _of_files(spec: ContainerSpec, taken: set[str]) -> tuple[list[PodVolume], ContainerSpec]:
    """Return a container that mounts its files out of a volume, and that volume; files that belong
    to somebody stay: the owner of a ConfigMap's is root.
    """
    files = [file for file in spec.files if not file.owner]
    if not files:
        return [], spec
    name = next(n for n in (f"files-{at}" for at in count()) if n not in taken)
    taken.add(name)
    keyed = tuple(
        InjectedFile(f"file-{at}", file.content, file.mode) for at, file in enumerate(files)
    )
    source = VolumeSource(Medium.MEMORY, options=DIRECTORY_MODE, files=keyed)
    mounts = tuple(
        Mount(MountKind.POD, file.path, name, read_only=True, subpath=key.path)
        for file, key in zip(files, keyed, strict=True)
    )
    left = tuple(file for file in spec.files if file.owner)
    spec = replace(spec, files=left, mounts=(*spec.mounts, *mounts))
    return [PodVolume(name, source)], spec


def _with_mode(source: VolumeSource) -> VolumeSource:
    plain = not (source.source or source.files or source.options)
    return replace(source, options=_PLAIN_MODES.get(source.medium, "")) if plain else source


def _of_folder(mount: Mount, folders: dict[str, VolumeSource]) -> Mount:
    source = folders.get(mount.source) if mount.kind is MountKind.POD else None
    if source is None:
        return mount
    read_only = mount.read_only or source.read_only
    return replace(mount, kind=MountKind.BIND, source=source.source, read_only=read_only)


def _has_files(source: VolumeSource) -> bool:
    return source.medium is Medium.MEMORY and bool(source.files or source.options == DIRECTORY_MODE)


def _map_name(pod: str, volume: str) -> str:
    return f"{pod}-{volume}"


def _config_map(pod: str, volume: PodVolume) -> ConfigMap:
    texts, binary = [], []
    for number, file in enumerate(volume.source.files):
        data = b64decode(file.content)
        key = _key(number, file.path)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:  # a string of a document cannot hold it
            binary.append((key, data))
        else:
            texts.append((key, text))
    name = Metadata(_map_name(pod, volume.name))
    return ConfigMap(name, tuple(pair for pair in texts), tuple(binary))


def _key(number: int, path: str) -> str:
    """Return a key for a file: its path where that can be one."""
    return path if re.fullmatch(r"(?!\.\.)[-._a-zA-Z0-9]+", path) else f"file-{number}"


# --- the pod --------------------------------------------------------------------------------------


def _pod(pod: KnownPod, names: MountNames, group: int | None) -> Pod:
    spec = pod.spec
    mains = [item for item in pod.containers if item.role is Role.MAIN]
    inits = [item for item in pod.containers if item.role is not Role.MAIN]
    ports = _assigned(mains, spec.ports)
    port_names = list(spec.port_names)
    containers = tuple(
        container_document(item, ports.get(at, ()), names, port_names)
        for at, item in enumerate(mains)
    )
    init_containers = tuple(container_document(item, (), names, port_names) for item in inits)
    first = mains[0] if mains else pod.containers[0]
    subdomain, namespace = _domain(spec.domainname)
    volumes = [_volume(spec.name, volume) for volume in spec.volumes]
    return Pod(
        Metadata(spec.name, namespace, spec.labels, spec.annotations),
        PodDocument(
            containers=containers,
            init_containers=init_containers,
            volumes=(*volumes, *names.volumes.values()),
            restart_policy=_restart_policy(first),
            termination_grace_period_seconds=30 if spec.grace_s is None else int(spec.grace_s),
            active_deadline_seconds=math.ceil(spec.deadline_s),
            hostname="" if spec.hostname == spec.name else spec.hostname,
            subdomain=subdomain,
            host_aliases=_host_aliases(first),
            dns_policy="None" if first.dns else "ClusterFirst",
            dns_config=DnsConfig(first.dns, first.dns_search, _dns_options(first)),
            security_context=PodSecurity(
                fs_group=group,
                supplemental_groups=tuple(
                    int(item) for item in first.groups if item.isdecimal() and item != str(group)
                ),
                sysctls=tuple(Sysctl(name, value) for name, value in spec.sysctls),
            ),
            share_process_namespace=spec.share_pid,
            resources=_vm_resources(spec),
        ),
    )


def _restart_policy(container: ContainerSpec) -> str:
    match container.restart_policy.name:
        case RestartPolicyName.NO:
            return NEVER
        case RestartPolicyName.ON_FAILURE:
            return ON_FAILURE
        case _:
            return ALWAYS


def _vm_resources(spec: PodSpec) -> Requirements:
    limits: Amounts = ()
    if spec.vcpus:
        limits += ((CPU, Fraction(spec.vcpus)),)
    if spec.memory_bytes:
        limits += ((MEMORY, Fraction(spec.memory_bytes)),)
    return Requirements(limits)


def _domain(domainname: str) -> tuple[str, str]:
    """Return the subdomain and the namespace that a domain name stands for."""
    head, found, tail = domainname.partition(f".{CLUSTER_DOMAIN}")
    subdomain, _, namespace = head.partition(".")
    if not found or tail or not namespace:
        return "", DEFAULT_NAMESPACE
    return subdomain, namespace


def _host_aliases(container: ContainerSpec) -> tuple[HostAlias, ...]:
    """Return a line for each run of names of one address, so that the order stays."""
    aliases: list[HostAlias] = []
    for entry in container.extra_hosts:
        name, _, address = entry.partition(":")
        if aliases and aliases[-1].ip == address:
            aliases[-1] = replace(aliases[-1], hostnames=(*aliases[-1].hostnames, name))
        else:
            aliases.append(HostAlias(address, (name,)))
    return tuple(aliases)


def _dns_options(container: ContainerSpec) -> tuple[DnsOption, ...]:
    pairs = [text.partition(":") for text in container.dns_options]
    return tuple(DnsOption(name, value) for name, _, value in pairs)


def _assigned(
    containers: Sequence[ContainerSpec], ports: Iterable[PodPort]
) -> dict[int, tuple[PodPort, ...]]:
    """Return the published ports by the container that exposes each, else the first."""
    found: dict[int, tuple[PodPort, ...]] = {}
    for port in ports:
        text = f"{port.container_port}/{port.protocol}"
        at = next((n for n, item in enumerate(containers) if text in item.exposed_ports), 0)
        found[at] = (*found.get(at, ()), port)
    return found


def _fs_group(pod: KnownPod) -> int | None:
    for volume in pod.spec.volumes:
        if match := _GROUP.search(volume.source.options):
            return int(match[1])
        for file in volume.source.files:
            if file.owner.startswith("0:") and file.owner[2:].isdecimal():
                return int(file.owner[2:])
    return None


def _volume(pod: str, volume: PodVolume) -> Volume:
    source = volume.source
    if _has_files(source):
        items = tuple(
            Item(_key(number, file.path), file.path, file.mode)
            for number, file in enumerate(source.files)
        )
        found = ConfigMapVolume(_map_name(pod, volume.name), items)
        return Volume(volume.name, config_map=found)
    if source.medium is Medium.NFS and not source.options:
        server, _, path = source.source.rpartition(":")
        return Volume(volume.name, nfs=NfsVolume(server, path, source.read_only))
    medium = "Memory" if source.medium is Medium.MEMORY else ""
    size = Fraction(source.size_bytes)
    return Volume(volume.name, empty_dir=EmptyDir(medium, size, _folder_mode(source.options)))


def _folder_mode(options: str) -> int | None:
    """Return the mode of an emptyDir where it is not the one that needs no saying."""
    match = _MODE.search(options)
    mode = int(match[1], 8) if match else 0o777
    if _GROUP.search(options):
        mode &= ~0o2000  # fsGroup adds it
    return None if mode == 0o777 else mode


# --- what is not in it ----------------------------------------------------------------------------


def _differences(
    pod: KnownPod, written: Sequence[dict[str, object]], names: MountNames
) -> list[str]:
    """Return what the documents do not say of a pod, found by translating them back."""
    try:
        (back,) = make_plan(read_documents(dump_all(written)).documents).pods
    except HyperError as err:
        return [f"it does not play as it is: {err}"]
    emptied = {volume.name: kind for (kind, _), volume in names.volumes.items() if volume.empty_dir}
    made = {item.name: item.source for item in back.spec.volumes if item.name in emptied}
    kept = tuple(item for item in back.spec.volumes if item.name not in emptied)
    asked = _comparable_pod(pod.spec)
    told = _comparable_pod(replace(back.spec, volumes=kept))
    if pod.spec.lone:
        asked = replace(asked, follows=told.follows)
    found = [f"{name} of the pod" for name in _differing(asked, told)]
    again = {}
    for item in back.containers:
        mounts = tuple(_as_asked(mount, emptied, made) for mount in item.spec.mounts)
        again[item.spec.name_in_pod] = _comparable(replace(item.spec, mounts=mounts), told.grace_s)
    for spec in pod.containers:
        mine = _comparable(spec, asked.grace_s)
        names_of = _differing(mine, again[spec.name_in_pod], FILLED_IN)
        found += [f"{name} of container {spec.name_in_pod}" for name in names_of]
    return found


def _as_asked(mount: Mount, emptied: dict[str, str], made: dict[str, VolumeSource]) -> Mount:
    """Return what an emptyDir was that stands for a container's own tmpfs or unnamed volume."""
    if mount.kind is not MountKind.POD or mount.source not in emptied:
        return mount
    mount = replace(mount, kind=MountKind(emptied[mount.source]))
    if mount.kind is MountKind.TMPFS:
        source = made[mount.source]
        mode = _MODE.search(source.options)
        mount = replace(
            mount, size_bytes=source.size_bytes, mode=int(mode[1], 8) if mode else 0o777
        )
    return replace(mount, source="")


def _comparable_pod(spec: PodSpec) -> PodSpec:
    """Return a spec in which what the engine fills in is as a manifest leaves it."""
    hostname = "" if spec.hostname == spec.name else spec.hostname
    grace_s = 30.0 if spec.grace_s is None else spec.grace_s
    mode = "default" if spec.network_mode in _PLAIN_NETWORKS else spec.network_mode
    named = tuple(sorted(spec.port_names))
    spec = replace(spec, network_mode=mode, port_names=named, lone=False)
    spec = replace(spec, dns=(), dns_options=(), dns_search=())  # those of its containers
    return replace(spec, hostname=hostname, grace_s=grace_s)


def _comparable(spec: ContainerSpec, grace_s: float | None) -> ContainerSpec:
    """Return a spec without what is said in other words, or has no meaning in a manifest."""
    limit_s = spec.stop_timeout_s
    return replace(
        spec,
        entrypoint=spec.entrypoint or None,
        command=spec.command or None,
        mounts=tuple(_comparable_mount(item) for item in spec.mounts),
        stop_timeout_s=None if limit_s == grace_s else limit_s,
        network_mode="default" if spec.network_mode in _PLAIN_NETWORKS else spec.network_mode,
        endpoints=tuple(item for item in spec.endpoints if not _is_default(item)),
        security=replace(spec.security, options=()),
    )


def _comparable_mount(mount: Mount) -> Mount:
    plain = Mount(mount.kind, mount.destination, mount.source, mount.read_only)
    if mount.kind is not MountKind.TMPFS:
        return replace(plain, subpath=mount.subpath)
    memory = plain_tmpfs(mount)
    return replace(
        plain, size_bytes=memory.size_bytes, mode=memory.mode or TMPFS_MODE, options=memory.options
    )


def _is_default(endpoint: EndpointSpec) -> bool:
    plain = EndpointSpec(endpoint.network, endpoint.network_id)
    return endpoint == plain and endpoint.network in _PLAIN_NETWORKS


def _differing(
    one: Any, other: Any, ignored: frozenset[str] = frozenset(), prefix: str = ""
) -> Iterator[str]:
    """Give the dotted names of the attributes that differ."""
    for item in fields(one):
        mine, others = getattr(one, item.name), getattr(other, item.name)
        if mine == others or item.name in ignored:
            continue
        if is_dataclass(mine) and is_dataclass(others):
            yield from _differing(mine, others, prefix=f"{prefix}{item.name}.")
        else:
            yield prefix + item.name
