"""The create request's body from the flags of run and create. Sends nothing.

Specification: Docker Engine API, ContainerCreate. Only what was asked for is in the body.
"""

from hyper.cli.flags import Options
from hyper.cli.values import environment, labels, pairs
from hyper.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    Body = dict[str, object]

_TEXTS = (
    ("hostname", "Hostname"),
    ("domainname", "Domainname"),
    ("user", "User"),
    ("workdir", "WorkingDir"),
    ("stop-signal", "StopSignal"),
)
_HOST_TEXTS = (
    ("ipc", "IpcMode"),
    ("pid", "PidMode"),
    ("uts", "UTSMode"),
    ("userns", "UsernsMode"),
    ("cgroupns", "CgroupnsMode"),
    ("cgroup-parent", "CgroupParent"),
    ("runtime", "Runtime"),
    ("volume-driver", "VolumeDriver"),
)
_HOST_NUMBERS = (
    ("cpus", "NanoCpus"),
    ("memory", "Memory"),
    ("memory-reservation", "MemoryReservation"),
    ("memory-swap", "MemorySwap"),
    ("memory-swappiness", "MemorySwappiness"),
    ("cpu-shares", "CpuShares"),
    ("cpu-period", "CpuPeriod"),
    ("cpu-quota", "CpuQuota"),
    ("cpu-rt-period", "CpuRealtimePeriod"),
    ("cpu-rt-runtime", "CpuRealtimeRuntime"),
    ("blkio-weight", "BlkioWeight"),
    ("pids-limit", "PidsLimit"),
    ("oom-score-adj", "OomScoreAdj"),
    ("shm-size", "ShmSize"),
)
_HOST_SWITCHES = (
    ("rm", "AutoRemove"),
    ("read-only", "ReadonlyRootfs"),
    ("privileged", "Privileged"),
    ("publish-all", "PublishAllPorts"),
    ("oom-kill-disable", "OomKillDisable"),
    ("init", "Init"),
)
_HOST_LISTS = (
    ("cap-add", "CapAdd"),
    ("cap-drop", "CapDrop"),
    ("dns", "Dns"),
    ("dns-search", "DnsSearch"),
    ("group-add", "GroupAdd"),
    ("volumes-from", "VolumesFrom"),
    ("device-cgroup-rule", "DeviceCgroupRules"),
    ("link", "Links"),
)


def create_body(options: Options, arguments: list[str]) -> "Body":
    """Return the body that creates a container of `arguments` (image, command...).

    Raises InvalidArgument with docker's text.
    """
    _check(options)
    body: Body = {"Image": arguments[0]}
    if len(arguments) > 1:
        body["Cmd"] = arguments[1:]
    _copy(options, body, _TEXTS)
    _put_process(options, body)
    health = _health(options)
    if health:
        body["Healthcheck"] = health
    host = _host_config(options)
    _put_mounts(options, body, host)
    _put_ports(options, body, host)
    from hyper.cli.networks import endpoints

    mode, networking = endpoints(options)
    host["NetworkMode"] = mode
    if networking:
        body["NetworkingConfig"] = {"EndpointsConfig": networking}
    body["HostConfig"] = host
    if options.text("kernel"):
        body["Kernel"] = _kernel(options.text("kernel"))
    if options.text("pod"):
        body["Pod"] = options.text("pod")
    return body


def _check(options: Options) -> None:
    pull = options.text("pull")
    if pull not in ("always", "missing", "never"):
        raise InvalidArgument(
            f'invalid pull option: \'{pull}\': must be one of "always", "missing" or "never"'
        )
    if options.on("rm") and options.given("restart") and options.text("restart") != "no":
        raise InvalidArgument("conflicting options: cannot specify both --restart and --rm")
    if options.given("memory-swappiness") and not -1 <= options.number("memory-swappiness") <= 100:
        raise InvalidArgument(
            f"invalid value: {options.number('memory-swappiness')}. "
            "Valid memory swappiness range is 0-100"
        )


def _copy(options: Options, target: "Body", names: tuple[tuple[str, str], ...]) -> None:
    for flag, field in names:
        if options.text(flag):
            target[field] = options.text(flag)


def _put_process(options: Options, body: "Body") -> None:
    streams = {name.lower() for name in options.items("attach")}
    attach_stdin = "stdin" in streams or options.on("interactive")
    body["AttachStdin"] = attach_stdin
    body["AttachStdout"] = not streams or "stdout" in streams
    body["AttachStderr"] = not streams or "stderr" in streams
    if options.on("tty"):
        body["Tty"] = True
    if options.on("interactive"):
        body["OpenStdin"] = True
        body["StdinOnce"] = attach_stdin
    if options.given("entrypoint"):
        body["Entrypoint"] = [options.text("entrypoint")]
    if options.given("stop-timeout"):
        body["StopTimeout"] = options.number("stop-timeout")
    env = environment(options.items("env-file"), options.items("env"))
    if env:
        body["Env"] = env
    names = labels(options.items("label-file"), options.items("label"))
    if names:
        body["Labels"] = names


def _health(options: Options) -> "Body":
    numbers = (
        ("health-interval", "Interval"),
        ("health-timeout", "Timeout"),
        ("health-start-period", "StartPeriod"),
        ("health-start-interval", "StartInterval"),
        ("health-retries", "Retries"),
    )
    if options.on("no-healthcheck"):
        if options.given("health-cmd", *(name for name, _ in numbers)):
            raise InvalidArgument("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    health: Body = {}
    if options.text("health-cmd"):
        health["Test"] = ["CMD-SHELL", options.text("health-cmd")]
    for flag, field in numbers:
        if options.number(flag) < 0:
            raise InvalidArgument(f"--{flag} cannot be negative")
        if options.number(flag):
            health[field] = options.number(flag)
    return health


def resource_fields(options: Options) -> "Body":
    """Return the limits that are given, as HostConfig and update have them."""
    fields: Body = {
        field: options.number(flag) for flag, field in _HOST_NUMBERS if options.given(flag)
    }
    for flag, field in (("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems")):
        if options.given(flag):
            fields[field] = options.text(flag)
    return fields


def _host_config(options: Options) -> "Body":
    host = resource_fields(options)
    _copy(options, host, _HOST_TEXTS)
    for flag, field in _HOST_SWITCHES:
        if options.given(flag):
            host[field] = options.on(flag)
    for flag, field in _HOST_LISTS:
        if options.given(flag):
            host[field] = options.items(flag)
    if options.given("dns-option", "dns-opt"):
        host["DnsOptions"] = options.items("dns-option") + options.items("dns-opt")
    if options.given("add-host"):
        from hyper.cli.values import parse_extra_host

        host["ExtraHosts"] = [parse_extra_host(word) for word in options.items("add-host")]
    if options.given("sysctl"):
        host["Sysctls"] = pairs(options.items("sysctl"))
    if options.given("storage-opt"):
        host["StorageOpt"] = pairs(options.items("storage-opt"))
    if options.given("ulimit"):
        host["Ulimits"] = [parse_ulimit(word) for word in options.items("ulimit")]
    if options.given("device"):
        host["Devices"] = [_device(word) for word in options.items("device")]
    if options.given("security-opt"):
        _put_security(options.items("security-opt"), host)
    annotations = pairs(options.items("annotation"))
    if annotations:
        host["Annotations"] = annotations
    if options.given("restart"):
        host["RestartPolicy"] = parse_restart(options.text("restart"))
    if options.given("log-driver", "log-opt"):
        host["LogConfig"] = _log_config(options)
    return host


def _kernel(text: str) -> str:
    """Return the kernel's name, or its path made absolute: the daemon has another directory."""
    if "/" not in text:
        return text
    import os

    return os.path.abspath(text)


def _log_config(options: Options) -> "Body":
    driver = options.text("log-driver")
    settings = pairs(options.items("log-opt"))
    if driver == "none" and settings:
        raise InvalidArgument("invalid logging opts for driver none")
    config: Body = {"Type": driver}
    if settings:
        config["Config"] = settings
    return config


def parse_restart(text: str) -> "Body":
    """Return a --restart as the API's RestartPolicy. Raises InvalidArgument with docker's text."""
    name, separator, count = text.partition(":")
    if text and not name:
        raise InvalidArgument("invalid restart policy format: no policy provided before colon")
    policy: Body = {"Name": name}
    if separator:
        if not count.isdigit():
            raise InvalidArgument(
                "invalid restart policy format: maximum retry count must be an integer"
            )
        policy["MaximumRetryCount"] = int(count)
    return policy


def parse_ulimit(text: str) -> "Body":
    """Return a --ulimit as the API's Ulimit. Raises InvalidArgument with docker's text."""
    name, separator, values = text.partition("=")
    if not separator:
        raise InvalidArgument(f"invalid ulimit argument: {text}")
    soft, _, hard = values.partition(":")
    numbers = []
    for word in (soft, hard or soft):
        try:
            numbers.append(int(word))
        except ValueError as err:
            raise InvalidArgument(f'strconv.ParseInt: parsing "{word}": invalid syntax') from err
    if numbers[1] != -1 and (numbers[0] > numbers[1] or numbers[0] == -1):
        raise InvalidArgument(
            "ulimit soft limit must be less than or equal to hard limit: "
            f"{numbers[0]} > {numbers[1]}"
        )
    return {"Name": name, "Soft": numbers[0], "Hard": numbers[1]}


def _device(text: str) -> "Body":
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise InvalidArgument(f"invalid device specification: {text}")
    inside, permissions = parts[0], "rwm"
    for part in parts[1:]:
        if part and not set(part) - set("rwm"):
            permissions = part
        else:
            inside = part
    return {"PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": permissions}


def _put_security(words: list[str], host: "Body") -> None:
    result = []
    for word in words:
        if word == "systempaths=unconfined":
            host["MaskedPaths"], host["ReadonlyPaths"] = [], []
            continue
        name, separator, value = word.partition("=" if "=" in word else ":")
        if not separator and word != "no-new-privileges":
            raise InvalidArgument(f'Invalid --security-opt: "{word}"')
        if name == "seccomp" and value not in ("unconfined", "builtin"):
            word = f"seccomp={_read_profile(value)}"
        result.append(word)
    if result:
        host["SecurityOpt"] = result


def _read_profile(path: str) -> str:
    from hyper.sdk import jsontext

    try:
        with open(path, encoding="utf-8") as source:
            return jsontext.dumps(jsontext.loads(source.read()))
    except OSError as err:
        reason = (err.strerror or str(err)).lower()
        raise InvalidArgument(
            f"opening seccomp profile ({path}) failed: open {path}: {reason}"
        ) from err
    except (InvalidArgument, UnicodeDecodeError) as err:
        raise InvalidArgument(
            f"compacting json for seccomp profile ({path}) failed: {err}"
        ) from err


def _put_mounts(options: Options, body: "Body", host: "Body") -> None:
    if not options.given("volume", "mount", "tmpfs"):
        return
    from hyper.cli.mounts import parse_mount, parse_tmpfs, split_volumes

    binds, anonymous = split_volumes(options.items("volume"))
    if binds:
        host["Binds"] = binds
    if anonymous:
        body["Volumes"] = anonymous
    if options.given("mount"):
        host["Mounts"] = [parse_mount(word) for word in options.items("mount")]
    if options.given("tmpfs"):
        host["Tmpfs"] = parse_tmpfs(options.items("tmpfs"))


def _put_ports(options: Options, body: "Body", host: "Body") -> None:
    if not options.given("publish", "expose"):
        return
    from hyper.sdk.ports import parse_exposed, parse_published

    published = parse_published(options.items("publish"))
    exposed = [*published, *parse_exposed(options.items("expose"))]
    if published:
        host["PortBindings"] = published
    body["ExposedPorts"] = {port: {} for port in exposed}
