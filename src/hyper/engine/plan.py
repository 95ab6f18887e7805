"""Turns what a user asked for into what the guest is told: pure functions, no I/O.

Docker's rules: image and container configuration are merged as moby `daemon/commit.go: merge` does.
"""

import hashlib
import json
import math
import os
import posixpath
from collections.abc import Container, Sequence

from hyper.agent import messages as guest
from hyper.agent.capabilities import resolve as resolve_capabilities
from hyper.agent.seccomp import compile_profile, default_program
from hyper.core.errors import GuestError, HyperError, InvalidArgument, Unsupported
from hyper.core.mount_options import (
    FLAGS,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    TMPFS_OPTIONS,
)
from hyper.core.spec import (
    ContainerSpec,
    ExecSpec,
    MountKind,
    Resources,
    RestartPolicy,
    RestartPolicyName,
    Rlimit,
)
from hyper.core.units import MIB
from hyper.engine.views import Command, MountView, Status
from hyper.images.catalog import Image
from hyper.network.networks import Joined

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# asm-generic/resource.h
RLIMITS = (
    "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice "
    "rtprio rttime"
).split()
UNLIMITED = 2**64 - 1

KIND_TMPFS, KIND_VOLUME, KIND_FILE = 0, 1, 2


def resolve_command(spec: ContainerSpec, image: Image) -> Command:
    """Return the first process of a container of `image`.

    Raises InvalidArgument with Docker's text when neither names a command.
    """
    config = image.config
    entrypoint = config.entrypoint if spec.entrypoint is None else spec.entrypoint
    # An entrypoint given by the user drops the image's command (moby merge()).
    command = spec.command or (config.cmd if spec.entrypoint is None else ())
    if entrypoint == ("",):
        entrypoint = ()
    args = (*(entrypoint or ()), *(command or ()))
    if not args:
        raise InvalidArgument("No command specified")
    return Command(
        args=args,
        entrypoint=tuple(entrypoint or ()),
        command=tuple(command or ()),
        env=configured_env(spec.env, config.env or ()),
        working_dir=clean_path(spec.working_dir or config.working_dir or "/"),
        user=spec.user or config.user or "",
        stop_signal=spec.stop_signal or config.stop_signal or "SIGTERM",
    )


def configured_env(own: Sequence[str], images: Sequence[str]) -> tuple[str, ...]:
    """Return a container's configured environment: its own, then what it leaves of its image's.

    A NAME without a value stays: it removes the variable when a process starts (moby merge()).
    Raises InvalidArgument for a variable without a name.
    """
    for entry in own:
        if not entry.partition("=")[0]:
            raise InvalidArgument(f"invalid environment variable: {entry}")
    names = {entry.partition("=")[0] for entry in own}
    return (*own, *(entry for entry in images if entry.partition("=")[0] not in names))


def merge_env(base: Sequence[str], extra: Sequence[str]) -> tuple[str, ...]:
    """Return `base` with the variables of `extra` replaced or appended; NAME alone removes it."""
    merged = {entry.partition("=")[0]: entry for entry in base}
    for entry in extra:
        name, equals, _ = entry.partition("=")
        if not name:
            raise InvalidArgument(f"invalid environment variable: {entry}")
        if equals:
            merged[name] = entry
        else:
            merged.pop(name, None)
    return tuple(merged.values())


def process_env(
    spec: ContainerSpec,
    command: Command,
    hostname: str,
    address: str,
    tty: bool,
    linked: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the environment of a container's process: Docker's defaults below the configured,
    and `address`, the pod's, where the container asks for it. `linked` says what --link says.
    """
    base = [DEFAULT_PATH, f"HOSTNAME={hostname}"]
    if tty:
        base.append("TERM=xterm")
    return merge_env(
        merge_env([*base, *linked], command.env), [f"{x}={address}" for x in spec.address_env]
    )


def clean_path(path: str) -> str:
    """Return an absolute path without `.`, `..` and double slashes, as a container sees it."""
    return posixpath.normpath("/" + path.lstrip("/"))


def cgroup(resources: Resources) -> guest.Cgroup:
    """Return the limits in cgroup v2 terms (moby's conversion of cpu shares to weight)."""
    period = resources.cpu_period_us or 100_000
    quota = resources.cpu_quota_us or (round(resources.cpus * period) if resources.cpus else 0)
    weight = 0
    if resources.cpu_shares:
        weight = max(1, min(10000, 1 + (resources.cpu_shares - 2) * 9999 // 262142))
    swap = -1
    if resources.memory_swap_bytes > 0:
        swap = max(0, resources.memory_swap_bytes - resources.memory_bytes)
    return guest.Cgroup(
        cpu_quota_us=quota,
        cpu_period_us=period if quota or resources.cpu_period_us else 0,
        cpu_weight=weight,
        cpuset=resources.cpuset,
        memory_max_bytes=resources.memory_bytes,
        memory_low_bytes=resources.memory_reservation_bytes,
        swap_max_bytes=swap,
        pids_max=max(resources.pids_limit, 0),
        oom_group=False,
    )


def rlimits(limits: Sequence[Rlimit]) -> tuple[guest.Rlimit, ...]:
    """Return resource limits by number. Raises InvalidArgument for a name Linux does not know."""
    result = []
    for limit in limits:
        if limit.name not in RLIMITS:
            raise InvalidArgument(f"invalid ulimit type: {limit.name}")
        soft, hard = (UNLIMITED if value < 0 else value for value in (limit.soft, limit.hard))
        if soft > hard:
            raise InvalidArgument(
                f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > "
                f"{limit.hard}"
            )
        result.append(guest.Rlimit(RLIMITS.index(limit.name), soft, hard))
    return tuple(result)


def user_mounts(
    mounts: Sequence[MountView], fresh: bool = True, unsealed: Container[str] = ()
) -> tuple[guest.Mount, ...]:
    """Return a container's volumes and tmpfs in mount order (parents before children).

    A `fresh` container has never run: what the image has goes into its empty volumes, those that
    are only read if their share is among the `unsealed`.
    """
    ordered = sorted(mounts, key=lambda mount: mount.destination.count("/"))
    return tuple(
        _tmpfs(mount)
        if mount.kind is MountKind.TMPFS
        else _volume(mount, fresh and _is_filled(mount, unsealed))
        for mount in ordered
    )


def _is_filled(mount: MountView, unsealed: Container[str]) -> bool:
    written = not is_shared_read_only(mount) or share_name(mount) in unsealed
    return written and mount.copy and mount.kind is MountKind.VOLUME


def _volume(mount: MountView, populate: bool) -> guest.Mount:
    return guest.Mount(
        kind=KIND_VOLUME,
        source=share_name(mount),
        subpath=mount.subpath,
        destination=clean_path(mount.destination),
        flags=MS_RDONLY if mount.read_only else 0,
        mode=mount.subpath_mode,
        populate=populate,
    )


def share_name(mount: MountView) -> str:
    """Return the name by which the VM knows what a mount mounts."""
    if is_shared_read_only(mount):
        return f"read-{_digest(mount.source)}"
    return writable_name(mount)


def writable_name(mount: MountView) -> str:
    """Return the name of what a mount mounts where somebody may write to it."""
    return mount.name or f"bind-{_digest(mount.source)}"


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def is_shared_read_only(mount: MountView) -> bool:
    """Return whether the host itself lets nobody in the VM write through a mount.

    It is a share of its own beside the one for those who write. Of what is no directory the guest
    has one for all, and where a subpath may have to be made, the container alone is kept from
    writing.
    """
    return mount.read_only and not mount.volume and not (mount.subpath and mount.subpath_mode)


def _tmpfs(mount: MountView) -> guest.Mount:
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (MS_RDONLY if mount.read_only else 0)
    data = []
    for option in mount.options:
        if option in FLAGS:
            bit, on = FLAGS[option]
            flags = flags | bit if on else flags & ~bit
        elif option.partition("=")[0] in TMPFS_OPTIONS:
            data.append(option)
        else:
            raise InvalidArgument(f'invalid tmpfs option ["{option}"]')
    names = {option.partition("=")[0] for option in data}
    if mount.size_bytes and "size" not in names:
        data.append(f"size={mount.size_bytes}")
    if mount.mode and "mode" not in names:
        data.append(f"mode={mount.mode:o}")
    return guest.Mount(
        kind=KIND_TMPFS,
        destination=clean_path(mount.destination),
        flags=flags,
        options=",".join(data),
    )


def identity_files(
    spec: ContainerSpec,
    hostname: str,
    joined: Sequence[Joined],
    nameservers: Sequence[str],
    host_gateway: str,
    linked: Sequence[str] = (),
) -> tuple[guest.Mount, ...]:
    """Return /etc/hostname, /etc/hosts and /etc/resolv.conf as Docker writes them.

    `host_gateway` is what that word means in --add-host: an address that reaches the host.
    `linked` are the lines of /etc/hosts that --link makes.
    Raises Unsupported when it has none.
    """
    name = f"{hostname}.{spec.domainname}" if spec.domainname else hostname
    if "." in name:
        name += f" {name.partition('.')[0]}"
    hosts = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "ff00::0\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
    ]
    for entry in spec.extra_hosts:
        host, _, target = entry.partition(":")
        if target == "host-gateway":
            target = host_gateway
            if not target:
                raise Unsupported(f"--add-host {entry}: the host has no address that pods reach")
        hosts.append(f"{target}\t{host}")
    hosts += linked
    hosts += [f"{each.address}\t{name}" for each in joined]
    hosts += [f"{each.address6}\t{name}" for each in joined if each.address6]
    # As Docker: where members have names the pod's own resolver is asked, which asks spec.dns.
    named = any(each.names for each in joined)
    servers = nameservers if named else spec.dns or nameservers
    # "." is how a user says that there are none.
    domains = [] if spec.dns_search == (".",) else spec.dns_search
    resolv = ["search " + " ".join(domains)] if domains else []
    resolv += [f"nameserver {server}" for server in servers]
    options = spec.dns_options or (("ndots:0",) if named else ())
    if options:
        resolv.append("options " + " ".join(options))
    return tuple(
        guest.Mount(kind=KIND_FILE, destination=path, mode=0o644, data=text.encode())
        for path, text in (
            ("/etc/hostname", hostname + "\n"),
            ("/etc/hosts", "\n".join(hosts) + "\n"),
            ("/etc/resolv.conf", "\n".join(resolv) + "\n"),
        )
    )


def main_process(
    spec: ContainerSpec,
    command: Command,
    process_id: int,
    container_id: str,
    hostname: str,
    address: str = "",
    linked: Sequence[str] = (),
) -> guest.ProcessStart:
    """Return the request that starts a container's first process."""
    security = spec.security
    capabilities = resolve_capabilities(security.cap_add, security.cap_drop, security.privileged)
    return guest.ProcessStart(
        container=container_id,
        process_id=process_id,
        main=True,
        args=command.args,
        env=process_env(spec, command, hostname, address, spec.tty, linked),
        cwd=command.working_dir,
        user=command.user,
        groups=spec.groups,
        umask=0o022,
        tty=spec.tty,
        rows=spec.console_size[0],
        columns=spec.console_size[1],
        stdin=spec.open_stdin,
        capabilities=capabilities,
        no_new_privileges=security.no_new_privileges,
        seccomp=_seccomp(spec, capabilities),
        rlimits=rlimits(spec.resources.rlimits),
        oom_score_adj=spec.resources.oom_score_adj,
        create_cwd=True,
    )


def exec_process(
    spec: ContainerSpec,
    command: Command,
    asked: ExecSpec,
    process_id: int,
    container_id: str,
    hostname: str,
    address: str,
    size: tuple[int, int],
    linked: Sequence[str] = (),
) -> guest.ProcessStart:
    """Return the request that starts an additional process; it inherits what `asked` leaves out."""
    security = spec.security
    privileged = security.privileged or asked.privileged
    capabilities = resolve_capabilities(security.cap_add, security.cap_drop, privileged)
    base = process_env(spec, command, hostname, address, asked.tty, linked)
    return guest.ProcessStart(
        container=container_id,
        process_id=process_id,
        main=False,
        args=asked.command,
        env=merge_env(base, asked.env),
        cwd=clean_path(asked.working_dir or command.working_dir),
        user=asked.user or command.user,
        groups=spec.groups,
        umask=0o022,
        tty=asked.tty,
        rows=size[0],
        columns=size[1],
        stdin=asked.attach_stdin,
        capabilities=capabilities,
        no_new_privileges=security.no_new_privileges,
        seccomp=b"" if asked.privileged else _seccomp(spec, capabilities),
        rlimits=rlimits(spec.resources.rlimits),
        oom_score_adj=spec.resources.oom_score_adj,
        create_cwd=False,
    )


def _seccomp(spec: ContainerSpec, capabilities: int) -> bytes:
    security = spec.security
    if security.privileged or security.seccomp == "unconfined":
        return b""
    if security.seccomp:
        return compile_profile(security.seccomp, capabilities)
    return default_program(capabilities)


def vm_memory_bytes(specs: Sequence[ContainerSpec], default_bytes: int) -> int:
    """Return the memory of a pod's VM: what its containers may use, and the kernel's own share.

    That share grows with the memory: measured, 49 MiB of 128, 100 of 1024, 271 of 4224. In steps of
    128 MiB, so that few shapes of VM exist.
    """
    limits = [spec.resources.memory_bytes for spec in specs]
    if not limits or not all(limits):
        wanted = max(default_bytes, sum(limits))
    else:
        wanted = sum(limits) + max(64 * MIB, 56 * MIB + sum(limits) // 16)
    step = 128 * MIB
    return max(step, math.ceil(wanted / step) * step)


def vm_vcpus(specs: Sequence[ContainerSpec], default: int, host_cpus: int) -> int:
    """Return the vCPUs of a pod's VM. Raises InvalidArgument when the host has fewer CPUs."""
    wanted = max((spec.resources.cpus for spec in specs), default=0.0)
    for cpuset in (spec.resources.cpuset for spec in specs):
        last = highest_cpu(cpuset)
        if last >= host_cpus:
            raise InvalidArgument(
                f"Requested CPUs are not available - requested {cpuset}, available: "
                f"{f'0-{host_cpus - 1}' if host_cpus > 1 else '0'}"
            )
        wanted = max(wanted, last + 1.0)
    if wanted > host_cpus:
        raise InvalidArgument(
            f"Range of CPUs is from 0.01 to {host_cpus}.00, as there are only {host_cpus} CPUs "
            f"available"
        )
    return max(default, math.ceil(wanted))


def highest_cpu(cpuset: str) -> int:
    """Return the last CPU of a list such as 0-2,5; -1 for none."""
    numbers = [int(part) for item in cpuset.split(",") if item for part in item.split("-")]
    return max(numbers, default=-1)


# --- how starts fail and when they are repeated
# ----------------------------------------------------

ENOENT, EACCES, ENOTDIR, ENOEXEC = 2, 13, 20, 8
NOT_FOUND, NOT_EXECUTABLE, START_FAILED = 127, 126, 128


_REFUSALS = {
    ("user", ENOENT): "unable to find user {}: no matching entries in passwd file",
    ("group", ENOENT): "unable to find group {}: no matching entries in group file",
    ("groups", ENOENT): "Unable to find group {}: no matching entries in group file",
    ("chdir", ENOTDIR): "Cannot mkdir: {} is not a directory",
}


def start_failure_code(err: HyperError) -> int:
    """Return Docker's exit code of a container whose first process could not be started."""
    if isinstance(err, GuestError) and err.step == "exec":
        return NOT_FOUND if err.errno in (ENOENT, ENOTDIR) else NOT_EXECUTABLE
    return START_FAILED


def exec_failure_code(err: HyperError) -> int:
    """Return Docker's exit code of an exec that could not be started."""
    code = start_failure_code(err)
    return NOT_EXECUTABLE if code == START_FAILED else code


def start_error(err: HyperError) -> HyperError:
    """Return the error clients are shown for a failed start, in the words they look for.

    The docker command derives its status 126 or 127 from the text.
    """
    if not isinstance(err, GuestError):
        return err
    prefix = "failed to start the container's process: "
    if err.step == "exec":
        name = json.dumps(err.subject)
        if err.errno == ENOENT and "/" not in err.subject:
            return InvalidArgument(f"{prefix}exec: {name}: executable file not found in $PATH")
        reason = os.strerror(err.errno).lower()
        return InvalidArgument(f"{prefix}exec: {name}: {reason}")
    if text := _REFUSALS.get((err.step, err.errno)):
        return InvalidArgument(text.format(err.subject))
    return err


def restarts(policy: RestartPolicy, status: Status) -> bool:
    """Return whether a container that ended with `status` is to be started again."""
    if status.stopped_by_user:
        return False
    match policy.name:
        case RestartPolicyName.ALWAYS | RestartPolicyName.UNLESS_STOPPED:
            return True
        case RestartPolicyName.ON_FAILURE:
            left = not policy.maximum_retries or status.restart_count < policy.maximum_retries
            return status.exit_code != 0 and left
        case RestartPolicyName.NO:
            return False


def starts_with_daemon(policy: RestartPolicy, status: Status) -> bool:
    """Return whether a stopped container is started when the daemon starts."""
    match policy.name:
        case RestartPolicyName.ALWAYS:
            return True
        case RestartPolicyName.UNLESS_STOPPED:
            return not status.stopped_by_user
        case _:
            return False


def restart_delay_s(status: Status) -> float:
    """Return how long to wait before a restart: 100 ms doubling to a minute (moby restartmanager).

    A run of more than 10 s starts over. The restart it is asked for is counted already.
    """
    if status.finished_ns - status.started_ns > 10_000_000_000:
        return 0.1
    return float(min(0.1 * 2 ** min(max(status.restart_count - 1, 0), 20), 60.0))
