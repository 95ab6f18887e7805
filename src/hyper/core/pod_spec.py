"""What a pod can be asked to be, as frozen data: PodSpec and what only containers of pods have.

Nothing here acts. `engine/pod_verbs.py` creates, starts and stops pods; Hyper's own pod document
and Kubernetes' manifests are translated into this model and have no other way in.
"""

from dataclasses import dataclass
from enum import StrEnum

Pairs = tuple[tuple[str, str], ...]


class Role(StrEnum):
    """What a container is in its pod.

    INIT containers run to completion one after another before the others start; SIDECARs are
    started in the same sequence but stay, and are stopped after every MAIN container.
    """

    MAIN = "main"
    INIT = "init"
    SIDECAR = "sidecar"


class ActionKind(StrEnum):
    """How a probe or a hook acts on a container."""

    EXEC = "exec"
    HTTP = "http"
    TCP = "tcp"
    GRPC = "grpc"
    SLEEP = "sleep"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing done to a running container.

    EXEC runs `command` in it; HTTP asks http://host:port/path (2xx and 3xx are success), TCP
    connects to host:port, GRPC (probes only) asks there how `service` is by gRPC's health protocol,
    all from inside the pod; an empty `host` is the pod itself. SLEEP (hooks only) waits `seconds`.
    """

    kind: ActionKind
    command: tuple[str, ...] = ()
    host: str = ""
    port: int = 0
    path: str = "/"
    headers: Pairs = ()
    seconds: float = 0.0
    service: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A check repeated while a container runs, with Kubernetes' meaning of each number."""

    action: Action
    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_s: float | None = None


@dataclass(frozen=True, slots=True)
class Probes:
    """A container's probes; the others wait until `startup` has succeeded once.

    A failed `liveness` or `startup` probe ends the container (its restart policy decides what
    follows), a failed `readiness` probe makes it not ready.
    """

    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is done right after a container's start, and before it is signalled to stop.

    A failed `post_start` ends the container; the time `pre_stop` takes is part of the grace.
    """

    post_start: Action | None = None
    pre_stop: Action | None = None


NO_PROBES = Probes()
NO_HOOKS = Hooks()


@dataclass(frozen=True, slots=True)
class InjectedFile:
    """A file that is there before a container's first process starts.

    `path` is absolute in a container, relative in a volume; `content` is base64; `owner` is
    user[:group] by number, or by name as the container's image knows them, "" for root.
    """

    path: str
    content: str = ""
    mode: int = 0o644
    owner: str = ""


class Medium(StrEnum):
    """What carries a volume.

    DIRECTORY: a folder of the host, shared; DISK: a file or block device of the host with a file
    system on it; MEMORY: a tmpfs of the pod; NFS: mounted by the pod itself.
    """

    DIRECTORY = "directory"
    DISK = "disk"
    MEMORY = "memory"
    NFS = "nfs"


@dataclass(frozen=True, slots=True)
class VolumeSource:
    """Where a volume's files are.

    `source` is a host path, or HOST:/EXPORT for NFS; a DISK without one is made empty for the pod,
    `size_bytes` large (0: the daemon's default), and deleted with it: Kubernetes' emptyDir.
    `options` are mount options; for a DISK made for the pod also mode=OCTAL and gid=NUMBER of its
    root. A DISK that may `grow` has its file system fill it when it is mounted. `files` are written
    before any container starts: into MEMORY only (ConfigMaps, Secrets).
    """

    medium: Medium
    source: str = ""
    image_format: str = "raw"
    fstype: str = "ext4"
    size_bytes: int = 0
    options: str = ""
    read_only: bool = False
    files: tuple[InjectedFile, ...] = ()
    grow: bool = False


@dataclass(frozen=True, slots=True)
class PodVolume:
    """A volume of the pod; its containers mount it with MountKind.POD and this `name`."""

    name: str
    source: VolumeSource


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a service of the pod sends connections; `weight` 0 sends no new ones."""

    address: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class PodService:
    """An address and port inside the pod, balanced over backends by the guest's kernel (IPVS).

    `address` is given to the pod's loopback; `scheduler` is rr, wrr, lc, wlc or sh.
    """

    name: str
    address: str
    port: int
    protocol: str = "tcp"
    scheduler: str = "rr"
    backends: tuple[Backend, ...] = ()


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a network's service; `target` is a pod's port, by number or by its name there.

    `host_port` publishes it on the host, -1 on one of the range of NodePorts.
    """

    port: int
    protocol: str = "tcp"
    target: str = ""
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class NetworkService:
    """A virtual address on a network, balanced over the ready pods there that have the labels.

    `names` lead to it; an empty `address` is chosen; `sticky`: a client stays with its pod;
    `unready`: pods that are not ready, too. A `headless` one has no address: its names have those
    of the pods, and POD.NAME that of one.
    """

    name: str
    network: str
    selector: Pairs
    ports: tuple[ServicePort, ...]
    names: tuple[str, ...] = ()
    address: str = ""
    sticky: bool = False
    unready: bool = False
    headless: bool = False


@dataclass(frozen=True, slots=True)
class HostDevice:
    """A device of the host given to the pod's VM: a PCI address (VFIO) or a block device's path.

    A block device is in all containers of the pod, at `target` or else where the host has it.
    """

    path: str
    read_only: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class PodPort:
    """A published port of the pod; `host_port` 0 asks for a free one, `host_ip` "" for all."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class PodEndpoint:
    """A pod's place on a network, as asked: what is empty or 0 is the network's to choose."""

    network: str
    address: str = ""
    mac: str = ""
    mtu: int = 0
    interface: str = ""


@dataclass(frozen=True, slots=True)
class PodSpec:
    """A pod as a user asked for it; 0 and "" mean the daemon's default.

    A pod lives until it is stopped, unless it `follows` its containers: then it stops when the last
    MAIN container ended for good. With `auto_remove` it is removed when it has stopped.
    `port_sources` are the networks that may connect to published ports, none for all. `port_names`
    are names by which services find its ports. `machine` is a type of the hypervisor's machines. A
    `lone` pod was made for one container (`hyper run`) and is removed with it. `deadline_s` after
    its start a pod is stopped, 0: never. `grace_s` is how long containers without their own stop
    timeout get; `dns...` and `log...` are for those that do not say, also for one added later.
    `max_vcpus` and `max_memory_bytes` are what it can be given while it runs, 0: no more than at
    its start.
    """

    name: str
    vcpus: int = 0
    memory_bytes: int = 0
    kernel: str = ""
    kernel_parameters: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    follows: bool = False
    lone: bool = False
    labels: Pairs = ()
    annotations: Pairs = ()
    share_pid: bool = False
    network_mode: str = "default"
    endpoints: tuple[PodEndpoint, ...] = ()
    port_sources: tuple[str, ...] = ()
    ports: tuple[PodPort, ...] = ()
    volumes: tuple[PodVolume, ...] = ()
    services: tuple[PodService, ...] = ()
    sysctls: Pairs = ()
    shm_size_bytes: int = 0
    grace_s: float | None = None
    deadline_s: float = 0.0
    port_names: Pairs = ()
    devices: tuple[HostDevice, ...] = ()
    machine: str = ""
    auto_remove: bool = False
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    log_driver: str = ""
    log_options: Pairs = ()
    max_vcpus: int = 0
    max_memory_bytes: int = 0
