"""What the engine shows of its objects: frozen snapshots. They do not change when the object
does.
"""

from dataclasses import dataclass

from hyper.core.pod_spec import PodSpec, VolumeSource
from hyper.core.spec import ContainerSpec, ExecSpec, MountKind, NetworkSpec, PortBinding
from hyper.engine.states import ACTIVE, ContainerState, PodState
from hyper.network.networks import Joined


@dataclass(frozen=True, slots=True)
class MountView:
    """A mount as resolved at create; `name` is the volume's, `source` a host path or volume
    data; `volume` is what carries it when that is not a directory of the host, `driver`
    the volume's.
    """

    kind: MountKind
    destination: str
    name: str = ""
    source: str = ""
    read_only: bool = False
    subpath: str = ""
    subpath_mode: int = 0
    copy: bool = True
    anonymous: bool = False
    propagation: str = ""
    options: tuple[str, ...] = ()
    size_bytes: int = 0
    mode: int = 0
    volume: VolumeSource | None = None
    driver: str = ""


@dataclass(frozen=True, slots=True)
class NetworkView:
    """The addresses of a running container's pod, that with the default route first."""

    joined: tuple[Joined, ...] = ()
    ports: tuple[PortBinding, ...] = ()

    @property
    def address(self) -> str:
        """The first address, "" when it has none."""
        return self.joined[0].address if self.joined else ""


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """A network that exists."""

    id: str
    created_ns: int
    spec: NetworkSpec
    predefined: bool = False


@dataclass(frozen=True, slots=True)
class HealthProbe:
    """One finished health check."""

    started_ns: int
    ended_ns: int
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True)
class Health:
    """Health of a container: starting, healthy or unhealthy, and its last probes."""

    status: str
    failing_streak: int = 0
    log: tuple[HealthProbe, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A container's first process, resolved from the spec and the image."""

    args: tuple[str, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    stop_signal: str


@dataclass(frozen=True, slots=True)
class Status:
    """The changing part of a container, written in one transaction per transition.

    `vm_oom` says that a process of it was killed because the VM had no memory left, not only in
    this run but since somebody other than its restart policy started it. `health` is that of its
    last change: what the probes after it said is in memory only.
    """

    state: ContainerState = ContainerState.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    vm_oom: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    process_id: int = 0
    stopped_by_user: bool = False
    health: Health | None = None


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container at one moment; `started` and `ready` are what its probes say while it runs."""

    id: str
    name: str
    pod_id: str
    created_ns: int
    spec: ContainerSpec
    command: Command
    status: Status
    mounts: tuple[MountView, ...] = ()
    network: NetworkView = NetworkView()
    exec_ids: tuple[str, ...] = ()
    log_path: str = ""
    health: Health | None = None
    started: bool = False
    ready: bool = False
    linked_as: tuple[str, ...] = ()

    @property
    def state(self) -> ContainerState:
        """The state, short for status.state."""
        return self.status.state

    @property
    def active(self) -> bool:
        """Whether Docker would call it Running (also when paused or restarting)."""
        return self.status.state in ACTIVE


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod at one moment; `memory_bytes` is what its VM may use, 0 while it has none."""

    id: str
    spec: PodSpec
    created_ns: int
    state: PodState
    container_ids: tuple[str, ...]
    vmm_pid: int = 0
    accelerator: str = ""
    network: NetworkView = NetworkView()
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ExecView:
    """An exec at one moment; `exit_code` is None until it ended."""

    id: str
    container_id: str
    spec: ExecSpec
    running: bool
    exit_code: int | None
    pid: int


@dataclass(frozen=True, slots=True)
class VolumeView:
    """A named volume; `mountpoint` is its folder or image on the host, "" where it has none,
    `reference_count` who uses it, `source` what carries it when that is no folder of Hyper's.
    """

    name: str
    driver: str
    mountpoint: str
    created_ns: int
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False
    reference_count: int = 0
    source: VolumeSource | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended, for wait."""

    exit_code: int
    error: str = ""
