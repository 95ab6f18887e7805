"""What users ask for and what the packages hand each other, as frozen data. No behaviour, no I/O.

ContainerSpec and pod_spec.PodSpec are what a user asked for (immutable after create); Disk, Nic and
VmSpec are what the engine tells a hypervisor driver.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from hyper.core.pod_spec import NO_HOOKS, NO_PROBES, Hooks, InjectedFile, Probes, Role
from hyper.core.units import MIB


class MountKind(StrEnum):
    """Kinds of user mounts, with Docker's names; POD is a volume of the pod (PodSpec.volumes)."""

    VOLUME = "volume"
    BIND = "bind"
    TMPFS = "tmpfs"
    POD = "pod"


class MountSyntax(StrEnum):
    """Which field of Docker's create body asked for a mount, so that inspect shows it there
    again.
    """

    MOUNT = "Mounts"
    BIND = "Binds"
    TMPFS = "Tmpfs"
    VOLUME = "Volumes"


JOINS = "container:"  # before a container: the network mode that shares its network


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount a user asked for. An empty `source` of a volume makes an anonymous one.

    `create_source` makes a missing directory of a bind mount (always for MountSyntax.BIND),
    `subpath_mode`, if not 0, a missing directory `subpath` with that mode;
    `driver`, `driver_options` and `labels` are those of a volume that does not exist yet;
    `mode` is a tmpfs's, 0 that of the directory it covers.
    """

    kind: MountKind
    destination: str
    source: str = ""
    read_only: bool = False
    copy: bool = True
    subpath: str = ""
    subpath_mode: int = 0
    size_bytes: int = 0
    mode: int = 0
    options: tuple[str, ...] = ()
    propagation: str = ""
    anonymous: bool = False
    syntax: MountSyntax = MountSyntax.MOUNT
    create_source: bool = False
    driver: str = ""
    driver_options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """A block device of the host, or a device the guest has itself; `permissions` of r, w, m."""

    path: str
    path_in_container: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A resource limit; `name` as in ulimit -a without RLIMIT_, e.g. nofile. -1 is unlimited."""

    name: str
    soft: int
    hard: int


class RestartPolicyName(StrEnum):
    """Docker's restart policies."""

    NO = "no"
    ALWAYS = "always"
    UNLESS_STOPPED = "unless-stopped"
    ON_FAILURE = "on-failure"


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When to start a container again; `maximum_retries` 0 is no limit (on-failure only)."""

    name: RestartPolicyName = RestartPolicyName.NO
    maximum_retries: int = 0


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """A health check; `test` as Docker's: (NONE,), (CMD, args...) or (CMD-SHELL, command).

    In a ContainerSpec an empty `test` and a 0 mean: the image's, else Docker's default;
    `core.health.complete_healthcheck` fills them in.
    """

    test: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    start_period_s: float = 0.0
    start_interval_s: float = 5.0
    retries: int = 3


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A published port; `host_port` 0 asks for a free one, `host_ip` empty for every address.

    `sources` are the networks whose addresses may connect, none for all. `ipv6` is said of one of
    every address that is open: whether those of IPv6 are among them.
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0
    sources: tuple[str, ...] = ()
    ipv6: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """Another container that a container knows by an alias (Docker's --link).

    `container` is how it was asked for, and once created its id; `name` is then its name.
    """

    container: str
    alias: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """A container's place on a network, as asked. `network` is its name; the engine finds the id.

    Empty addresses are chosen at start. `links` are names that only this container uses there. The
    network of the highest `priority` has the way out.
    """

    network: str
    network_id: str = ""
    aliases: tuple[str, ...] = ()
    address: str = ""
    address6: str = ""
    mac: str = ""
    links: tuple[LinkSpec, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """One block of a network's address plan (Docker's IPAM.Config)."""

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    auxiliary: tuple[tuple[str, str], ...] = ()


MTU_OPTION = "com.docker.network.driver.mtu"
ICC_OPTION = "com.docker.network.bridge.enable_icc"
HOST_BINDING_OPTION = "com.docker.network.bridge.host_binding_ipv4"


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network as a user asked for it: one IPv4 subnet, and with `ipv6` one of that after it.

    `chosen`, `chosen6`: the subnet was not the user's wish.
    """

    name: str
    driver: str = "bridge"
    internal: bool = False
    attachable: bool = False
    subnets: tuple[SubnetSpec, ...] = ()
    ipam_options: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    chosen: bool = False
    ipv6: bool = False
    chosen6: bool = False


@dataclass(frozen=True, slots=True)
class LogSpec:
    """Where a container's output is kept; options as Docker's log drivers name them."""

    driver: str = "json-file"
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of a container; 0 is none. `cpus` counts CPUs (1.5 = 150 % of one)."""

    cpus: float = 0.0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    cpu_shares: int = 0
    cpuset: str = ""
    memory_bytes: int = 0
    memory_reservation_bytes: int = 0
    memory_swap_bytes: int = 0
    pids_limit: int = 0
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    memory_swappiness: int | None = None
    cpuset_mems: str = ""
    rlimits: tuple[Rlimit, ...] = ()


@dataclass(frozen=True, slots=True)
class Security:
    """What a container may do.

    Capabilities as CAP names or ALL; seccomp "" is the default profile. `options` are Docker's
    SecurityOpt as given; what they mean is in the other fields.
    """

    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    seccomp: str = ""
    masked_paths: tuple[str, ...] | None = None
    read_only_paths: tuple[str, ...] | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container as a user asked for it, in Docker's meaning of each field.

    `entrypoint`, `command`, ... of None mean: the image's. Resolution happens at start against the
    image the container was created from (`image_id`), and never changes afterwards. The last six
    are those of containers in pods; `name_in_pod` is unique in its pod only, `address_env` names
    variables that hold the pod's address.
    """

    image: str
    image_id: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    init: bool = False
    read_only_root: bool = False
    auto_remove: bool = False
    stop_signal: str = ""
    stop_timeout_s: int | None = None
    healthcheck: Healthcheck | None = None
    restart_policy: RestartPolicy = RestartPolicy()
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    publish_all: bool = False
    network_mode: str = "default"
    endpoints: tuple[EndpointSpec, ...] = ()
    links: tuple[LinkSpec, ...] = ()
    mac_address: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    shm_size_bytes: int = 64 * MIB
    storage_size_bytes: int = 0
    resources: Resources = Resources()
    security: Security = Security()
    log: LogSpec = LogSpec()
    platform: str = ""
    kernel: str = ""
    pod: str = ""
    annotations: tuple[tuple[str, str], ...] = ()
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] | None = None
    devices: tuple[Device, ...] = ()
    ipc_mode: str = ""
    pid_mode: str = ""
    cgroupns_mode: str = ""
    userns_mode: str = ""
    runtime: str = ""
    network_disabled: bool = False
    volume_driver: str = ""
    container_id_file: str = ""
    console_size: tuple[int, int] = (0, 0)
    name_in_pod: str = ""
    role: Role = Role.MAIN
    probes: Probes = NO_PROBES
    hooks: Hooks = NO_HOOKS
    files: tuple[InjectedFile, ...] = ()
    address_env: tuple[str, ...] = ()

    @property
    def shares_network_of(self) -> str:
        """The container whose network this one shares: as asked, its id once created; or ""."""
        mode = self.network_mode
        return mode.removeprefix(JOINS) if mode.startswith(JOINS) else ""


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """An additional process in a running container; None of `env`... inherit the container's."""

    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    privileged: bool = False
    detach_keys: str = ""
    console_size: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a VM: files read one after another (each a multiple of 512 bytes) as one device.

    More than one extent is only allowed when `read_only` and raw. `disk_id` names it within the VM;
    `image_format` is raw or qcow2.
    """

    disk_id: str
    extents: tuple[Path, ...]
    read_only: bool
    image_format: str = "raw"


class NicKind(StrEnum):
    """How a VM's one network device reaches the host."""

    NONE = "none"
    USER = "user"
    TAP = "tap"


@dataclass(frozen=True, slots=True)
class Forward:
    """A host port forwarded by the VMM itself (NicKind.USER only)."""

    protocol: str
    host_ip: str
    host_port: int
    guest_port: int


@dataclass(frozen=True, slots=True)
class Nic:
    """The one network device. For TAP: `tap` names it, `tap_fd` is open until the VMM has it."""

    kind: NicKind
    mac: str
    tap_fd: int = -1
    forwards: tuple[Forward, ...] = ()
    tap: str = ""


@dataclass(frozen=True, slots=True)
class VmSpec:
    """All a hypervisor driver needs to start one VM.

    `run_dir` exists, is private to the VM, and holds its sockets and console; `disks` go to the
    pre-plugged slots in order; `kernel_parameters` are appended to the driver's own. A `background`
    VM has low priority, where the daemon may raise it again, until it is bound to a spec without.
    `machine` "" is the driver's choice; `pci_devices` are addresses of the host's, given to the VM.
    """

    vm_id: str
    vcpus: int
    memory_bytes: int
    kernel: Path
    initrd: Path
    run_dir: Path
    disks: tuple[Disk, ...] = ()
    nic: Nic | None = None
    kernel_parameters: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = field(default=())
    background: bool = False
    machine: str = ""
    pci_devices: tuple[str, ...] = ()
