"""Owns the table of Docker's HostConfig; its Resources and mounts have files of their own."""

import ipaddress
import json
import re
from collections.abc import Mapping

from hyper.core.errors import InvalidArgument, Unsupported
from hyper.core.spec import JOINS, ContainerSpec, LogSpec, RestartPolicy, RestartPolicyName
from hyper.core.units import parse_size
from hyper.core.values import (
    BOOL,
    INT,
    OPTIONAL_STRINGS,
    PAIRS_OR_NULL,
    STRING,
    STRINGS_OR_NULL,
    WORDS_OR_NULL,
    Codec,
    read_int,
    read_list,
    read_object,
    read_pairs,
    read_string,
    read_strings,
)
from hyper.schema.fields import Field, Support, Updates, differs, refused, works
from hyper.schema.mounts import BINDS, MOUNTS, TMPFS
from hyper.schema.networks import read_links, show_links
from hyper.schema.ports import read_bindings, show_bindings
from hyper.schema.resources import RESOURCES

RUNTIME = "hyper"
LOG_DRIVERS = ("json-file", "local", "none")
_LOG_OPTIONS = (
    "max-size",
    "max-file",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
)
_DELIVERY_OPTIONS = ("mode", "max-buffer-size")
_SIZE_OPTIONS = 3  # those that the driver local has as well
_TAG_FIELDS = (".ID", ".FullID", ".Name", ".ImageID", ".ImageFullID", ".ImageName", ".DaemonName")


def _read_log(value: object, where: str) -> Updates:
    body = read_object(value, where)
    driver = read_string(body.get("Type") or "", f"{where}.Type")
    options = read_pairs(body.get("Config"), f"{where}.Config")
    if driver and driver not in LOG_DRIVERS:
        # Word for word dockerd's, which clients compare; `hyper info` lists the drivers.
        raise InvalidArgument(
            f'error looking up logging plugin {driver}: plugin "{driver}" not found'
        )
    check_log_options(driver, dict(options))
    return {"log": LogSpec(driver, options)}  # an empty driver: the daemon's default


def check_log_options(driver: str, options: Mapping[str, str]) -> None:
    """Check the options of a log driver ("": either of those that keep logs).

    Raises InvalidArgument with Docker's text (moby daemon/logger/jsonfilelog, .../local),
    Unsupported for compression.
    """
    name = driver or "json-file"
    if name != "none":
        _check_delivery(options)
    allowed = _LOG_OPTIONS if name == "json-file" else _LOG_OPTIONS[:_SIZE_OPTIONS]
    for option in options if name != "none" else ():
        if option not in (*allowed, *_DELIVERY_OPTIONS):
            raise InvalidArgument(f"unknown log opt '{option}' for {name} log driver")
    if name != "none" and options.get("compress", "false").lower() in ("1", "t", "true"):
        raise Unsupported("log option compress is not supported: rotated logs are kept as they are")
    try:
        _check_log_values(options)
    except (ValueError, re.error, InvalidArgument) as err:
        raise InvalidArgument(f"failed to initialize logging driver: {err}") from err


def _check_delivery(options: Mapping[str, str]) -> None:
    """Check the options of every driver that say what happens when the log cannot keep up.

    They ask for nothing here: writing the log waits for nobody. (moby logger.ValidateLogOpts)
    """
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidArgument(f"logger: logging mode not supported: {mode}")
    if size := options.get("max-buffer-size", ""):
        if mode != "non-blocking":
            raise InvalidArgument(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
            )
        try:
            parse_size(size)
        except InvalidArgument as err:
            raise InvalidArgument(f"error parsing option max-buffer-size: {err}") from err


def _check_log_values(options: Mapping[str, str]) -> None:
    size = options.get("max-size", "-1")
    if size != "-1" and parse_size(size) < 1:
        raise InvalidArgument("max-size should be a positive number")
    if int(options.get("max-file", "1")) < 1:
        raise InvalidArgument("max-file cannot be less than 1")
    for name in ("labels-regex", "env-regex"):
        re.compile(options.get(name, ""))
    for field in re.findall(r"\{\{(.*?)\}\}", options.get("tag", "")):
        if field.strip() not in _TAG_FIELDS:
            raise InvalidArgument(f"tag: {{{{{field}}}}} is none of {', '.join(_TAG_FIELDS)}")


def _show_log(spec: ContainerSpec) -> object:
    return {"Type": spec.log.driver, "Config": dict(sorted(spec.log.options))}


def _read_restart(value: object, where: str) -> Updates:
    body = read_object(value, where)
    name = read_string(body.get("Name") or "no", f"{where}.Name")
    retries = read_int(body.get("MaximumRetryCount") or 0, f"{where}.MaximumRetryCount")
    if name not in tuple(RestartPolicyName):
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if retries and name != RestartPolicyName.ON_FAILURE:
        raise InvalidArgument(f"maximum retry count cannot be used with restart policy '{name}'")
    if retries < 0:
        raise InvalidArgument("maximum retry count cannot be negative")
    return {"restart_policy": RestartPolicy(RestartPolicyName(name), retries)}


def _show_restart(spec: ContainerSpec) -> object:
    policy = spec.restart_policy
    return {"Name": str(policy.name), "MaximumRetryCount": policy.maximum_retries}


def _read_security(value: object, where: str) -> Updates:
    options = read_strings(value, where)
    updates: dict[str, object] = {"security.options": options}
    for option in options:
        name, separator, setting = option.partition("=" if "=" in option else ":")
        match name:
            case "no-new-privileges":
                if setting not in ("", "true", "false"):
                    raise InvalidArgument(f'invalid --security-opt 2: "{option}"')
                updates["security.no_new_privileges"] = setting != "false"
            case "seccomp" if separator:
                updates["security.seccomp"] = _seccomp(setting)
            case "apparmor" | "label" if separator:
                _no_security_module(name, setting, where)
            case _:
                raise InvalidArgument(f'invalid --security-opt 2: "{option}"')
    return updates


def _seccomp(profile: str) -> str:
    if profile == "builtin":
        return ""
    if profile != "unconfined":
        try:
            json.loads(profile)
        except ValueError as err:
            raise InvalidArgument(f"Decoding seccomp profile failed: {err}") from err
    return profile


def _no_security_module(name: str, setting: str, where: str) -> None:
    if setting not in ("unconfined", "disable", "docker-default", ""):
        raise Unsupported(
            f"{where} '{name}={setting}' is not supported: the guest has no AppArmor and no SELinux"
        )


def _read_storage(value: object, where: str) -> Updates:
    options = dict(read_pairs(value, where))
    size = options.pop("size", "")
    if options:
        raise InvalidArgument(f"Unknown option {next(iter(options))}")
    return {"storage_size_bytes": parse_size(size)} if size else {}


def _show_storage(spec: ContainerSpec) -> object:
    return {"size": str(spec.storage_size_bytes)} if spec.storage_size_bytes else None


def _read_hosts(value: object, where: str) -> tuple[str, ...]:
    return tuple(read_host(entry) for entry in read_strings(value, where))


def read_host(entry: str) -> str:
    """Return a line for /etc/hosts, name:address, as it is kept. Raises InvalidArgument."""
    host, separator, address = entry.replace("=", ":", 1).partition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not separator or not host or not address:
        raise InvalidArgument(f'bad format for add-host: "{entry}"')
    if address != "host-gateway":
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise InvalidArgument(f'invalid IP address in add-host: "{address}"') from None
    return f"{host}:{address}"


def _read_dns(value: object, where: str) -> tuple[str, ...]:
    servers = read_strings(value, where)
    for server in servers:
        try:
            ipaddress.ip_address(server)
        except ValueError:
            raise InvalidArgument(f"bad nameserver address: {server}") from None
    return servers


def _read_shm(value: object, where: str) -> Updates:
    size_bytes = read_int(value, where)
    if size_bytes < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    return {"shm_size_bytes": size_bytes} if size_bytes else {}


def _read_console(value: object, where: str) -> tuple[int, int]:
    sizes = [read_int(item, where) for item in read_list(value, where)]
    if len(sizes) != 2:
        raise InvalidArgument(f"{where}: two integers are needed: rows and columns")
    return sizes[0], sizes[1]


def _mode(name: str, allowed: tuple[str, ...], why: str) -> Codec[str]:
    def read(value: object, where: str) -> str:
        mode = read_string(value, where)
        if mode not in allowed:
            raise Unsupported(f"{where} '{mode}' is not supported: {why}")
        return mode

    return Codec(read, lambda value: value)


def _read_ipc_mode(value: object, where: str) -> str:
    mode = read_string(value, where)
    if mode.startswith(JOINS) and mode != JOINS:
        return mode
    return _mode("IpcMode", ("", "private", "shareable"), _NO_HOST).read(mode, where)


def _read_network_mode(value: object, where: str) -> str:
    mode = read_string(value, where) or "default"
    if mode == "host":
        raise Unsupported(
            f"{where} 'host' is not supported: a VM has its own network stack; publish ports (-p)"
        )
    if mode == JOINS:
        raise InvalidArgument("Invalid network mode: invalid container format container:<name|id>")
    return mode


def _read_runtime(value: object, where: str) -> str:
    runtime = read_string(value, where)
    if runtime not in ("", RUNTIME):
        raise InvalidArgument(f"unknown or invalid runtime name: {runtime}")
    return runtime


RESTART_POLICY = Field("RestartPolicy", Support.WORKS, "", _read_restart, _show_restart)
_NO_HOST = "a VM shares no namespace with the host; containers share one within a pod"

_HOST_ONLY: tuple[Field, ...] = (
    BINDS,
    works("ContainerIDFile", "container_id_file", STRING, "written by the client"),
    Field(
        "LogConfig",
        Support.DIFFERS,
        "drivers json-file, local and none; rotated logs are not compressed (compress=true is "
        "refused); mode and max-buffer-size change nothing: no line is dropped, and the log holds "
        "back no process",
        _read_log,
        _show_log,
    ),
    differs(
        "NetworkMode",
        "network_mode",
        Codec(_read_network_mode, STRING.write),
        "default, bridge, none and networks by name; container:NAME puts the container into NAME's "
        "pod, whose containers share network, host name and IPC: NAME must exist at create; host "
        "is refused",
    ),
    Field(
        "PortBindings",
        Support.WORKS,
        "",
        read_bindings,
        lambda spec: show_bindings(spec.ports),
    ),
    RESTART_POLICY,
    works("AutoRemove", "auto_remove", BOOL),
    differs(
        "VolumeDriver",
        "volume_driver",
        _mode("VolumeDriver", ("", "local"), "only the driver local exists"),
        "only local",
    ),
    works("VolumesFrom", "volumes_from", STRINGS_OR_NULL),
    MOUNTS,
    works("ConsoleSize", "console_size", Codec(_read_console, list)),
    works(
        "Annotations",
        "annotations",
        PAIRS_OR_NULL,
        "hyper.kernel and hyper.pod choose kernel and pod",
    ),
    works("CapAdd", "security.cap_add", WORDS_OR_NULL),
    works("CapDrop", "security.cap_drop", WORDS_OR_NULL),
    differs(
        "CgroupnsMode",
        "cgroupns_mode",
        _mode("CgroupnsMode", ("", "private"), _NO_HOST),
        "always private",
    ),
    works("Dns", "dns", Codec(_read_dns, list)),
    works("DnsOptions", "dns_options", Codec(read_strings, list)),
    works("DnsSearch", "dns_search", Codec(read_strings, list)),
    works("ExtraHosts", "extra_hosts", Codec(_read_hosts, STRINGS_OR_NULL.write)),
    works("GroupAdd", "groups", STRINGS_OR_NULL),
    differs(
        "IpcMode",
        "ipc_mode",
        Codec(_read_ipc_mode, STRING.write),
        "private to the pod; container:NAME needs a container of the same pod, as "
        "--network container:NAME makes it; host and none are refused",
    ),
    refused("Cgroup", "a container's cgroup is in its VM", shown=""),
    differs(
        "Links",
        "links",
        Codec(read_links, show_links),
        "on the default network names, variables and inspect as with dockerd; on a user-defined "
        "network the aliases are names there, where dockerd ignores this field for an endpoint's",
    ),
    works("OomScoreAdj", "resources.oom_score_adj", INT),
    differs(
        "PidMode",
        "pid_mode",
        _mode("PidMode", ("", "private"), _NO_HOST),
        "private to the container; host and container:... are refused",
    ),
    differs(
        "Privileged",
        "security.privileged",
        BOOL,
        "all capabilities, no seccomp, all of the guest's devices: everything inside its own VM, "
        "nothing on the host",
    ),
    works("PublishAllPorts", "publish_all", BOOL),
    works("ReadonlyRootfs", "read_only_root", BOOL),
    Field(
        "SecurityOpt",
        Support.DIFFERS,
        "no-new-privileges and seccomp; the guest has no AppArmor and no SELinux, so only "
        "unconfined and disable are accepted there",
        _read_security,
        lambda spec: list(spec.security.options) or None,
    ),
    Field("StorageOpt", Support.WORKS, "size: of the writable disk", _read_storage, _show_storage),
    TMPFS,
    refused("UTSMode", _NO_HOST, shown=""),
    differs(
        "UsernsMode",
        "userns_mode",
        _mode("UsernsMode", ("", "host"), "the VM is the boundary"),
        "there is no remapping to switch off: root in a container is root of its VM only",
    ),
    Field(
        "ShmSize", Support.WORKS, "shared by the pod", _read_shm, lambda spec: spec.shm_size_bytes
    ),
    works("Sysctls", "sysctls", PAIRS_OR_NULL, "of the container's or pod's own namespaces"),
    differs("Runtime", "runtime", Codec(_read_runtime, STRING.write), f"only {RUNTIME}"),
    refused("Isolation", "Windows only", neutral=("default",), shown=""),
    works("MaskedPaths", "security.masked_paths", OPTIONAL_STRINGS),
    works("ReadonlyPaths", "security.read_only_paths", OPTIONAL_STRINGS),
)

HOST_CONFIG: tuple[Field, ...] = (*_HOST_ONLY, *RESOURCES)
