"""Turns a ContainerSpec into a container's document: the way back of container_model.py. Pure."""

import math
import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count

from hyper.core import pod_spec as model
from hyper.core.errors import InvalidArgument
from hyper.core.pod_spec import PodPort
from hyper.core.spec import ContainerSpec, Mount, MountKind
from hyper.core.units import parse_size
from hyper.schema.kube import actions
from hyper.schema.kube.compute import CPU, MEMORY, STORAGE, Amounts, Requirements
from hyper.schema.kube.containers import Container, Port
from hyper.schema.kube.environment import FieldReference, Source, Variable
from hyper.schema.kube.expansion import escape
from hyper.schema.kube.security import Capabilities, ContainerSecurity, Profile
from hyper.schema.kube.volumes import (
    ClaimVolume,
    EmptyDir,
    HostPath,
    Volume,
    VolumeMount,
)

_USER = re.compile(r"(\d+)(?::(\d+))?")


@dataclass(slots=True)
class MountNames:
    """Volumes that mounts of containers need, named in the order of their first use; the pod's own
    have the `taken` names.
    """

    taken: frozenset[str] = frozenset()
    volumes: dict[tuple[str, str], Volume] = field(default_factory=dict)

    def name(self, mount: Mount) -> str:
        """Return the name of a mount's volume in the pod."""
        if mount.kind is MountKind.POD:
            return mount.source
        key = (mount.kind.value, mount.source or mount.destination)
        if key not in self.volumes:
            names = (f"{mount.kind.value}-{number}" for number in count())
            used = self.taken.union(volume.name for volume in self.volumes.values())
            self.volumes[key] = _volume(next(name for name in names if name not in used), mount)
        return self.volumes[key].name


TMPFS_MODE = 0o1777  # of a container's own tmpfs that covers nothing


def _volume(name: str, mount: Mount) -> Volume:
    if mount.kind is MountKind.BIND:
        return Volume(name, host_path=HostPath(mount.source))
    if mount.kind is MountKind.VOLUME and mount.source:
        return Volume(name, persistent_volume_claim=ClaimVolume(mount.source))
    if mount.kind is not MountKind.TMPFS:
        return Volume(name, empty_dir=EmptyDir())
    plain = plain_tmpfs(mount)
    mode = None if plain.mode == 0o777 else plain.mode or TMPFS_MODE
    return Volume(name, empty_dir=EmptyDir("Memory", Fraction(plain.size_bytes), mode))


def plain_tmpfs(mount: Mount) -> Mount:
    """Return a tmpfs whose size and mode are no mount options; what else is one stays."""
    options = dict(option.partition("=")[::2] for option in mount.options)
    size, mode = options.get("size", ""), options.get("mode", "")
    try:
        size_bytes = parse_size(size) if size else mount.size_bytes
        mode_bits = int(mode, 8) if mode else mount.mode
    except (ValueError, InvalidArgument):  # a size in per cent, say
        return mount
    left = tuple(item for item in mount.options if item.partition("=")[0] not in ("size", "mode"))
    return replace(mount, size_bytes=size_bytes, mode=mode_bits, options=left)


def container_document(
    spec: ContainerSpec,
    published: tuple[PodPort, ...],
    names: MountNames,
    port_names: list[tuple[str, str]],
) -> Container:
    """Return a container's document; `published` are the pod's ports that it is to declare.

    It takes the names of its ports out of `port_names`.
    """
    return Container(
        name=spec.name_in_pod,
        image=spec.image,
        command=tuple(map(escape, spec.entrypoint or ())),
        args=tuple(map(escape, spec.command or ())),
        working_dir=spec.working_dir,
        env=_variables(spec),
        ports=tuple(_named(port, port_names) for port in _ports(spec, published)),
        resources=_requirements(spec),
        volume_mounts=tuple(_mount(mount, names) for mount in spec.mounts),
        liveness_probe=_probe(spec.probes.liveness),
        readiness_probe=_probe(spec.probes.readiness),
        startup_probe=_probe(spec.probes.startup),
        lifecycle=actions.Lifecycle(
            _hook(spec.hooks.post_start), _hook(spec.hooks.pre_stop), spec.stop_signal
        ),
        security_context=_security(spec),
        restart_policy="Always" if spec.role is model.Role.SIDECAR else "",
        stdin=spec.open_stdin,
        stdin_once=spec.stdin_once,
        tty=spec.tty,
    )


def _variables(spec: ContainerSpec) -> tuple[Variable, ...]:
    pairs = [entry.partition("=") for entry in spec.env]
    literal = [Variable(name, escape(value)) for name, equals, value in pairs if equals]
    address = Source(field_ref=FieldReference("status.podIP"))
    return (*literal, *(Variable(name, value_from=address) for name in spec.address_env))


def _ports(spec: ContainerSpec, published: tuple[PodPort, ...]) -> tuple[Port, ...]:
    found = []
    declared = set()
    for port in published:
        protocol = port.protocol.upper()
        declared.add((port.container_port, protocol))
        found.append(Port(port.container_port, "", port.host_port, port.host_ip, protocol))
    for text in spec.exposed_ports:
        number, _, protocol = text.partition("/")
        key = (number, (protocol or "tcp").upper())
        if number.isdecimal() and (int(number), key[1]) not in declared:
            found.append(Port(int(number), protocol=key[1]))
    return tuple(found)


def _named(port: Port, names: list[tuple[str, str]]) -> Port:
    for pair in names:
        if pair[1] == str(port.container_port):
            names.remove(pair)
            return replace(port, name=pair[0])
    return port


def _requirements(spec: ContainerSpec) -> Requirements:
    resources = spec.resources
    limits: Amounts = ()
    requests: Amounts = ()
    cpus = Fraction(resources.cpus).limit_denominator(1000)
    if resources.cpu_quota_us > 0:
        cpus = Fraction(resources.cpu_quota_us, resources.cpu_period_us or 100_000)
    if cpus:
        limits += ((CPU, cpus),)
    if resources.cpu_shares:
        # The smallest number of thousandths that becomes as many shares.
        shares = Fraction(math.ceil(Fraction(resources.cpu_shares * 1000, 1024)), 1000)
        requests += ((CPU, shares),)
    if resources.memory_bytes:
        limits += ((MEMORY, Fraction(resources.memory_bytes)),)
    if resources.memory_reservation_bytes:
        requests += ((MEMORY, Fraction(resources.memory_reservation_bytes)),)
    if spec.storage_size_bytes:
        limits += ((STORAGE, Fraction(spec.storage_size_bytes)),)
    unsaid = dict(limits)
    return Requirements(limits, tuple(pair for pair in requests if unsaid.get(pair[0]) != pair[1]))


def _security(spec: ContainerSpec) -> ContainerSecurity:
    security = spec.security
    match = _USER.fullmatch(spec.user)
    unmasked = security.masked_paths == () and security.read_only_paths == ()
    return ContainerSecurity(
        run_as_user=int(match[1]) if match else None,
        run_as_group=int(match[2]) if match and match[2] else None,
        seccomp_profile=Profile("Unconfined") if security.seccomp == "unconfined" else None,
        capabilities=Capabilities(security.cap_add, security.cap_drop),
        privileged=security.privileged,
        allow_privilege_escalation=not security.no_new_privileges,
        read_only_root_filesystem=spec.read_only_root,
        proc_mount="Unmasked" if unmasked else "Default",
    )


def _mount(mount: Mount, names: MountNames) -> VolumeMount:
    return VolumeMount(names.name(mount), mount.destination, mount.subpath, "", mount.read_only)


def _probe(probe: model.Probe | None) -> actions.Probe | None:
    if probe is None:
        return None
    grace = probe.termination_grace_s
    action = probe.action
    return actions.Probe(
        exec=_exec(action),
        http_get=_request(action),
        tcp_socket=(
            actions.Connection(action.port, action.host)
            if action.kind is model.ActionKind.TCP
            else None
        ),
        grpc=_grpc(action),
        initial_delay_seconds=math.ceil(probe.initial_delay_s),
        timeout_seconds=max(1, math.ceil(probe.timeout_s)),
        period_seconds=max(1, math.ceil(probe.period_s)),
        success_threshold=probe.success_threshold,
        failure_threshold=probe.failure_threshold,
        termination_grace_period_seconds=None if grace is None else max(1, math.ceil(grace)),
    )


def _hook(action: model.Action | None) -> actions.Hook | None:
    if action is None or action.kind in (model.ActionKind.TCP, model.ActionKind.GRPC):
        return None
    sleep = None
    if action.kind is model.ActionKind.SLEEP:
        sleep = actions.Sleep(math.ceil(action.seconds))
    return actions.Hook(_exec(action), _request(action), sleep)


def _grpc(action: model.Action) -> actions.HealthCheck | None:
    if action.kind is not model.ActionKind.GRPC:
        return None
    return actions.HealthCheck(action.port, action.service)


def _exec(action: model.Action) -> actions.Command | None:
    return actions.Command(action.command) if action.kind is model.ActionKind.EXEC else None


def _request(action: model.Action) -> actions.Request | None:
    if action.kind is not model.ActionKind.HTTP:
        return None
    headers = tuple(actions.Header(name, value) for name, value in action.headers)
    return actions.Request(action.port, action.path, action.host, "HTTP", headers)
