"""The flags of run and create, one table. What they mean in a create request: container_body.py."""

from hyper.cli.flags import BOOL, DECIMAL, DURATION, INT, ITEMS, MAP, SIZE, TEXT, Flag, Kind
from hyper.core.errors import InvalidArgument

NETWORK = Kind("network", str, many=True)
MOUNT = Kind("mount", str, many=True)
ULIMIT = Kind("ulimit", str, many=True)
_STREAMS = ("stdin", "stdout", "stderr")


def _check_attach(text: str) -> None:
    if text.lower() not in _STREAMS:
        raise InvalidArgument("valid streams are STDIN, STDOUT and STDERR")


def _check_env(text: str) -> None:
    if not text.partition("=")[0]:
        raise InvalidArgument(f"invalid environment variable: {text}")


def _check_label(text: str) -> None:
    if not text.partition("=")[0]:
        raise InvalidArgument(f"invalid label '{text}': empty name")


def _check_mount(text: str) -> None:
    from hyper.cli.mounts import parse_mount

    parse_mount(text)


def _check_ulimit(text: str) -> None:
    from hyper.cli.container_body import parse_ulimit

    parse_ulimit(text)


def _check_host(text: str) -> None:
    from hyper.cli.values import parse_extra_host

    parse_extra_host(text)


def _check_ip(text: str) -> None:
    from hyper.sdk.words import check_ip

    check_ip(text)


def _check_sysctl(text: str) -> None:
    name = text.partition("=")[0]
    known = name.startswith(("net.", "fs.mqueue.")) or name in _SYSCTLS
    if "=" not in text or not known:
        raise InvalidArgument(f"sysctl '{text}' is not allowed")


_SYSCTLS = (
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
)

PROCESS = (
    Flag("attach", ITEMS, "Attach to STDIN, STDOUT or STDERR", short="a", check=_check_attach),
    Flag("entrypoint", TEXT, "Overwrite the default ENTRYPOINT of the image"),
    Flag("env", ITEMS, "Set environment variables", short="e", check=_check_env),
    Flag("env-file", ITEMS, "Read in a file of environment variables"),
    Flag("group-add", ITEMS, "Add additional groups to join"),
    Flag(
        "init", BOOL, "Run an init inside the container that forwards signals and reaps processes"
    ),
    Flag("interactive", BOOL, "Keep STDIN open even if not attached", short="i"),
    Flag("stop-signal", TEXT, "Signal to stop the container"),
    Flag("stop-timeout", INT, "Timeout (in seconds) to stop a container"),
    Flag("tty", BOOL, "Allocate a pseudo-TTY", short="t"),
    Flag("user", TEXT, "Username or UID (format: <name|uid>[:<group|gid>])", short="u"),
    Flag("workdir", TEXT, "Working directory inside the container", short="w"),
)
IDENTITY = (
    Flag("annotation", MAP, "Add an annotation to the container (passed through to the runtime)"),
    Flag("cidfile", TEXT, "Write the container ID to the file"),
    Flag("disable-content-trust", BOOL, "Skip image verification", default=True, hidden=True),
    Flag("domainname", TEXT, "Container NIS domain name"),
    Flag("hostname", TEXT, "Container host name", short="h"),
    Flag("kernel", TEXT, "Guest kernel: a path, or a name of `hyper kernel ls`"),
    Flag("label", ITEMS, "Set meta data on a container", short="l", check=_check_label),
    Flag("label-file", ITEMS, "Read in a line delimited file of labels"),
    Flag(
        "log-driver",
        TEXT,
        "Logging driver for the container",
        values=("json-file", "local", "none"),
    ),
    Flag("log-opt", ITEMS, "Log driver options"),
    Flag("name", TEXT, "Assign a name to the container"),
    Flag("platform", TEXT, "Set platform if server is multi-platform capable"),
    Flag("pod", TEXT, "Pod to create the container in (default: one of its own)"),
    Flag(
        "pull",
        TEXT,
        'Pull image before running ("always", "missing", "never")',
        default="missing",
        values=("always", "missing", "never"),
    ),
    Flag("quiet", BOOL, "Suppress the pull output", short="q"),
    Flag(
        "restart",
        TEXT,
        "Restart policy to apply when a container exits",
        default="no",
        values=("no", "always", "unless-stopped", "on-failure"),
    ),
    Flag(
        "rm",
        BOOL,
        "Automatically remove the container and its associated anonymous volumes when it exits",
    ),
    Flag("runtime", TEXT, "Runtime to use for this container"),
)
HEALTH = (
    Flag("health-cmd", TEXT, "Command to run to check health"),
    Flag("health-interval", DURATION, "Time between running the check (ms|s|m|h)"),
    Flag("health-retries", INT, "Consecutive failures needed to report unhealthy"),
    Flag(
        "health-start-interval",
        DURATION,
        "Time between running the check during the start period (ms|s|m|h)",
    ),
    Flag(
        "health-start-period",
        DURATION,
        "Start period for the container to initialize before starting health-retries countdown",
    ),
    Flag("health-timeout", DURATION, "Maximum time to allow one check to run (ms|s|m|h)"),
    Flag("no-healthcheck", BOOL, "Disable any container-specified HEALTHCHECK"),
)
NETWORKING = (
    Flag("add-host", ITEMS, "Add a custom host-to-IP mapping (host:ip)", check=_check_host),
    Flag("dns", ITEMS, "Set custom DNS servers", check=_check_ip),
    Flag("dns-opt", ITEMS, "Set DNS options", hidden=True),
    Flag("dns-option", ITEMS, "Set DNS options"),
    Flag("dns-search", ITEMS, "Set custom DNS search domains"),
    Flag("expose", ITEMS, "Expose a port or a range of ports"),
    Flag("ip", TEXT, "IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", TEXT, "IPv6 address (e.g., 2001:db8::33)"),
    Flag("link", ITEMS, "Add link to another container"),
    Flag("link-local-ip", ITEMS, "Container IPv4/IPv6 link-local addresses"),
    Flag("mac-address", TEXT, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("net", NETWORK, "Connect a container to a network", hidden=True),
    Flag("net-alias", ITEMS, "Add network-scoped alias for the container", hidden=True),
    Flag("network", NETWORK, "Connect a container to a network"),
    Flag("network-alias", ITEMS, "Add network-scoped alias for the container"),
    Flag("publish", ITEMS, "Publish a container's port(s) to the host", short="p"),
    Flag("publish-all", BOOL, "Publish all exposed ports to random ports", short="P"),
)
STORAGE = (
    Flag("mount", MOUNT, "Attach a filesystem mount to the container", check=_check_mount),
    Flag("read-only", BOOL, "Mount the container's root filesystem as read only"),
    Flag("shm-size", SIZE, "Size of /dev/shm"),
    Flag("storage-opt", ITEMS, "Storage driver options for the container"),
    Flag("tmpfs", ITEMS, "Mount a tmpfs directory"),
    Flag("volume", ITEMS, "Bind mount a volume", short="v"),
    Flag("volume-driver", TEXT, "Optional volume driver for the container"),
    Flag("volumes-from", ITEMS, "Mount volumes from the specified container(s)"),
)
LIMITS = (
    Flag("blkio-weight", INT, "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    Flag("cpu-period", INT, "Limit CPU CFS (Completely Fair Scheduler) period"),
    Flag("cpu-quota", INT, "Limit CPU CFS (Completely Fair Scheduler) quota"),
    Flag("cpu-rt-period", INT, "Limit CPU real-time period in microseconds"),
    Flag("cpu-rt-runtime", INT, "Limit CPU real-time runtime in microseconds"),
    Flag("cpu-shares", INT, "CPU shares (relative weight)", short="c"),
    Flag("cpus", DECIMAL, "Number of CPUs"),
    Flag("cpuset-cpus", TEXT, "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", TEXT, "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("memory", SIZE, "Memory limit", short="m"),
    Flag("memory-reservation", SIZE, "Memory soft limit"),
    Flag(
        "memory-swap",
        SIZE,
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    ),
    Flag("pids-limit", INT, "Tune container pids limit (set -1 for unlimited)"),
)
CONFINEMENT = (
    Flag("cap-add", ITEMS, "Add Linux capabilities"),
    Flag("cap-drop", ITEMS, "Drop Linux capabilities"),
    Flag("cgroup-parent", TEXT, "Optional parent cgroup for the container"),
    Flag("cgroupns", TEXT, "Cgroup namespace to use (host|private)", values=("host", "private")),
    Flag("device", ITEMS, "Add a host device to the container"),
    Flag("device-cgroup-rule", ITEMS, "Add a rule to the cgroup allowed devices list"),
    Flag("ipc", TEXT, "IPC mode to use"),
    Flag("memory-swappiness", INT, "Tune container memory swappiness (0 to 100)", default=-1),
    Flag("oom-kill-disable", BOOL, "Disable OOM Killer"),
    Flag("oom-score-adj", INT, "Tune host's OOM preferences (-1000 to 1000)"),
    Flag("pid", TEXT, "PID namespace to use"),
    Flag("privileged", BOOL, "Give extended privileges to this container"),
    Flag("security-opt", ITEMS, "Security Options"),
    Flag("sysctl", MAP, "Sysctl options", check=_check_sysctl),
    Flag("ulimit", ULIMIT, "Ulimit options", check=_check_ulimit),
    Flag("userns", TEXT, "User namespace to use"),
    Flag("uts", TEXT, "UTS namespace to use"),
)
CREATE_FLAGS = (
    *PROCESS,
    *IDENTITY,
    *HEALTH,
    *NETWORKING,
    *STORAGE,
    *LIMITS,
    *CONFINEMENT,
)
DETACH_KEYS = Flag("detach-keys", TEXT, "Override the key sequence for detaching a container")
RUN_FLAGS = (
    *CREATE_FLAGS,
    DETACH_KEYS,
    Flag("detach", BOOL, "Run container in background and print container ID", short="d"),
    Flag("sig-proxy", BOOL, "Proxy received signals to the process", default=True),
)
