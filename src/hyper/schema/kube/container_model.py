"""Turns a container's document into Hyper's ContainerSpec. Pure."""

from dataclasses import dataclass
from fractions import Fraction

from hyper.core import pod_spec as model
from hyper.core.pod_spec import Role
from hyper.core.spec import (
    ContainerSpec,
    LogSpec,
    Mount,
    MountKind,
    Resources,
    RestartPolicy,
    RestartPolicyName,
    Security,
)
from hyper.schema.kube import actions
from hyper.schema.kube.compute import CPU, MEMORY, STORAGE, Requirements
from hyper.schema.kube.containers import ALWAYS, NEVER, ON_FAILURE, Container
from hyper.schema.kube.place import Place
from hyper.schema.kube.pod import Pod
from hyper.schema.kube.security import ContainerSecurity, PodSecurity
from hyper.schema.kube.values import Environment, Surroundings, environment, expanded
from hyper.schema.kube.volumes import Volume, VolumeMount

MINIMUM_CPUS = 0.01
SUBPATH_MODE = 0o777
CLUSTER_DOMAIN = "svc.cluster.local"


@dataclass(frozen=True, slots=True)
class PlannedContainer:
    """A container to make: when its image is pulled, whether it must not run as root; `place`
    is where it stands, for errors.
    """

    spec: ContainerSpec
    pull: str
    non_root: bool
    place: str


def plan_container(
    container: Container, role: Role, pod: Pod, around: Surroundings, place: Place
) -> PlannedContainer:
    """Return a container of Hyper's own model. Raises InvalidArgument, Unsupported."""
    found = environment(container, pod, around, place)
    security, defaults = container.security_context, pod.spec.security_context
    ports = {port.name: port.container_port for port in container.ports if port.name}
    spec = ContainerSpec(
        image=container.image,
        entrypoint=_expanded(container.command, found, place.at("command")),
        command=_expanded(container.args, found, place.at("args")),
        env=tuple(f"{name}={value}" for name, value in found.variables.items()),
        address_env=found.addresses,
        working_dir=container.working_dir,
        user=_user(security, defaults, place),
        groups=_groups(defaults),
        labels=pod.metadata.labels,
        tty=container.tty,
        open_stdin=container.stdin,
        stdin_once=container.stdin_once,
        read_only_root=security.read_only_root_filesystem,
        stop_signal=container.lifecycle.stop_signal,
        restart_policy=restart_policy(pod.spec.restart_policy, role),
        mounts=_mounts(container, pod, found, place),
        exposed_ports=tuple(
            f"{port.container_port}/{port.protocol.lower()}" for port in container.ports
        ),
        extra_hosts=tuple(
            f"{name}:{alias.ip}" for alias in pod.spec.host_aliases for name in alias.hostnames
        ),
        dns=pod.spec.dns_config.nameservers,
        dns_search=pod.spec.dns_config.searches,
        dns_options=tuple(
            f"{item.name}:{item.value}" if item.value else item.name
            for item in pod.spec.dns_config.options
        ),
        resources=_resources(container.resources),
        storage_size_bytes=int(container.resources.limit(STORAGE) or 0),
        security=_security(security, defaults),
        log=LogSpec(""),
        name_in_pod=container.name,
        role=role,
        probes=model.Probes(
            startup=_probe(container.startup_probe, ports),
            liveness=_probe(container.liveness_probe, ports),
            readiness=_probe(container.readiness_probe, ports),
        ),
        hooks=model.Hooks(
            post_start=_hook(container.lifecycle.post_start, ports),
            pre_stop=_hook(container.lifecycle.pre_stop, ports),
        ),
    )
    non_root = security.run_as_non_root
    if non_root is None:
        non_root = bool(defaults.run_as_non_root)
    where = f"{place.document}: {place.path}"
    return PlannedContainer(spec, container.image_pull_policy, non_root, where)


def _expanded(words: tuple[str, ...], found: Environment, place: Place) -> tuple[str, ...] | None:
    return (
        tuple(expanded(word, found.variables, place.item(at)) for at, word in enumerate(words))
        or None
    )


def restart_policy(policy: str, role: Role) -> RestartPolicy:
    """Return when a container of a pod with this restartPolicy is started again."""
    if role is Role.SIDECAR:
        return RestartPolicy(RestartPolicyName.ALWAYS)
    if policy == NEVER:
        return RestartPolicy()
    if policy == ON_FAILURE or role is Role.INIT:
        return RestartPolicy(RestartPolicyName.ON_FAILURE)
    assert policy == ALWAYS
    return RestartPolicy(RestartPolicyName.ALWAYS)


def _user(own: ContainerSecurity, pod: PodSecurity, place: Place) -> str:
    user = pod.run_as_user if own.run_as_user is None else own.run_as_user
    group = pod.run_as_group if own.run_as_group is None else own.run_as_group
    if user is None:
        if group is not None:
            raise (
                place.at("securityContext")
                .at("runAsGroup")
                .invalid(group, "needs runAsUser: a group alone is not given to a process")
            )
        if pod.supplemental_groups_policy == "Strict":
            raise (
                place.at("securityContext")
                .at("runAsUser")
                .required("supplementalGroupsPolicy Strict needs it, and runAsGroup")
            )
        return ""
    if group is None and pod.supplemental_groups_policy == "Strict":
        raise (
            place.at("securityContext")
            .at("runAsGroup")
            .required("supplementalGroupsPolicy Strict needs it, else /etc/group says more groups")
        )
    return str(user) if group is None else f"{user}:{group}"


def _groups(pod: PodSecurity) -> tuple[str, ...]:
    groups = [*pod.supplemental_groups, *(() if pod.fs_group is None else (pod.fs_group,))]
    return tuple(str(group) for group in dict.fromkeys(groups))


def _security(own: ContainerSecurity, pod: PodSecurity) -> Security:
    profile = own.seccomp_profile or pod.seccomp_profile
    unconfined = profile is not None and profile.type == "Unconfined"
    options = []
    if unconfined:
        options.append("seccomp=unconfined")
    if not own.allow_privilege_escalation:
        options.append("no-new-privileges:true")
    unmasked = own.proc_mount == "Unmasked"
    return Security(
        cap_add=own.capabilities.add,
        cap_drop=own.capabilities.drop,
        privileged=own.privileged,
        no_new_privileges=not own.allow_privilege_escalation,
        seccomp="unconfined" if unconfined else "",
        masked_paths=() if unmasked else None,
        read_only_paths=() if unmasked else None,
        options=tuple(options),
    )


def _resources(needs: Requirements) -> Resources:
    limit, request = needs.limit(CPU), needs.request(CPU)
    return Resources(
        cpus=max(float(limit), MINIMUM_CPUS) if limit else 0.0,
        cpu_shares=_shares(request) if request else 0,
        memory_bytes=int(needs.limit(MEMORY) or 0),
        memory_reservation_bytes=int(needs.request(MEMORY) or 0),
    )


def _shares(cpus: Fraction) -> int:
    # kubernetes pkg/kubelet/cm/helpers_linux.go: MilliCPUToShares
    return max(2, min(262144, int(cpus * 1024)))


# --- mounts ---------------------------------------------------------------------------------------


def _mounts(container: Container, pod: Pod, found: Environment, place: Place) -> tuple[Mount, ...]:
    volumes = {volume.name: volume for volume in pod.spec.volumes}
    return tuple(
        _mount(mount, volumes[mount.name], found, place.at("volumeMounts").item(at))
        for at, mount in enumerate(container.volume_mounts)
    )


def _mount(mount: VolumeMount, volume: Volume, found: Environment, place: Place) -> Mount:
    subpath = mount.sub_path
    if mount.sub_path_expr:
        subpath = expanded(mount.sub_path_expr, found.variables, place.at("subPathExpr"))
        if subpath.startswith("/") or ".." in subpath.split("/") or "$(" in subpath:
            raise place.at("subPathExpr").invalid(
                mount.sub_path_expr, f"it becomes {subpath!r}, which is no path within the volume"
            )
    made = SUBPATH_MODE if subpath and not mount.read_only else 0
    destination = "/" + mount.mount_path.lstrip("/")
    if volume.host_path:
        path = volume.host_path
        return Mount(
            MountKind.BIND,
            destination,
            path.path,
            read_only=mount.read_only,
            subpath=subpath,
            create_source=path.type in ("", "DirectoryOrCreate"),
            subpath_mode=made,
        )
    if volume.persistent_volume_claim:
        claim = volume.persistent_volume_claim
        read_only = mount.read_only or claim.read_only
        return Mount(
            MountKind.VOLUME,
            destination,
            claim.claim_name,
            read_only=read_only,
            subpath=subpath,
            copy=False,
            subpath_mode=made,
        )
    writable = volume.empty_dir is not None or not _has_files(volume)
    return Mount(
        MountKind.POD,
        destination,
        volume.name,
        read_only=mount.read_only or not writable,
        subpath=subpath,
        subpath_mode=made if writable else 0,
    )


def _has_files(volume: Volume) -> bool:
    return any((volume.config_map, volume.secret, volume.downward_api, volume.projected))


# --- probes and hooks -----------------------------------------------------------------------------


def _probe(probe: actions.Probe | None, ports: dict[str, int]) -> model.Probe | None:
    if probe is None:
        return None
    grace = probe.termination_grace_period_seconds
    return model.Probe(
        action=_action(probe, ports),
        initial_delay_s=float(probe.initial_delay_seconds),
        period_s=float(probe.period_seconds),
        timeout_s=float(probe.timeout_seconds),
        success_threshold=probe.success_threshold,
        failure_threshold=probe.failure_threshold,
        termination_grace_s=None if grace is None else float(grace),
    )


def _hook(hook: actions.Hook | None, ports: dict[str, int]) -> model.Action | None:
    return None if hook is None else _action(hook, ports)


def _action(action: actions.Probe | actions.Hook, ports: dict[str, int]) -> model.Action:
    if action.exec:
        return model.Action(model.ActionKind.EXEC, command=action.exec.command)
    if action.http_get:
        request = action.http_get
        return model.Action(
            model.ActionKind.HTTP,
            host=request.host,
            port=_number(request.port, ports),
            path="/" + request.path.lstrip("/"),
            headers=tuple((header.name, header.value) for header in request.http_headers),
        )
    if isinstance(action, actions.Probe):
        if action.grpc:
            grpc = action.grpc
            return model.Action(model.ActionKind.GRPC, port=grpc.port, service=grpc.service)
        assert action.tcp_socket is not None  # the table's check
        socket = action.tcp_socket
        return model.Action(
            model.ActionKind.TCP, host=socket.host, port=_number(socket.port, ports)
        )
    assert action.sleep is not None  # the table's check
    return model.Action(model.ActionKind.SLEEP, seconds=float(action.sleep.seconds))


def _number(port: int | str, ports: dict[str, int]) -> int:
    return port if isinstance(port, int) else ports[port]
