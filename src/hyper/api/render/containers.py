"""Owns containers as Docker shows them: inspect, lists, mounts, ports, networks."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from time import time_ns

from hyper.api.times import NS_PER_S, rfc3339
from hyper.core.protected import MASKED_PATHS, READ_ONLY_PATHS
from hyper.core.spec import EndpointSpec, MountKind, MountSyntax, PortBinding
from hyper.core.units import human_duration
from hyper.core.values import by_key
from hyper.engine.networks import predefined_id
from hyper.engine.states import ContainerState
from hyper.engine.views import ContainerView, Health, MountView
from hyper.engine.volume_options import LOCAL
from hyper.schema.container import show_config, show_host_config
from hyper.schema.hostconfig import RUNTIME
from hyper.schema.networks import show_links
from hyper.schema.ports import show_bindings

JSON = dict[str, object]
STORAGE_DRIVER = "squashfs"


def network_name(view: ContainerView) -> str:
    """Return the name of the network a container starts on."""
    if view.spec.network_disabled:
        return "none"
    mode = view.spec.network_mode
    return "bridge" if mode in ("", "default") else mode


def inspect(view: ContainerView, sizes: tuple[int, int] | None = None) -> JSON:
    """Return the body of GET /containers/{id}/json."""
    shown: JSON = {
        "Id": view.id,
        "Created": rfc3339(view.created_ns),
        "Path": view.command.args[0],
        "Args": list(view.command.args[1:]),
        "State": state(view),
        "Image": view.spec.image_id,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": view.log_path,
        "Name": "/" + view.name,
        "RestartCount": view.status.restart_count,
        "Driver": STORAGE_DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(view.exec_ids) or None,
        "HostConfig": _host_config(view),
        "GraphDriver": {"Name": STORAGE_DRIVER, "Data": {}},
        "Mounts": mounts(view),
        "Config": _config(view),
        "NetworkSettings": network_settings(view),
        "Pod": view.pod_id,
    }
    if sizes is not None:
        shown["SizeRw"], shown["SizeRootFs"] = sizes
    return shown


def _config(view: ContainerView) -> JSON:
    spec, command = view.spec, view.command
    config = show_config(spec)
    config["Hostname"] = spec.hostname or view.id[:12]
    config["User"] = command.user
    config["Env"] = list(command.env)
    config["Cmd"] = list(command.command) or None
    config["Entrypoint"] = list(command.entrypoint) or None
    if spec.working_dir or command.working_dir != "/":
        config["WorkingDir"] = command.working_dir
    if command.stop_signal != "SIGTERM":
        config["StopSignal"] = command.stop_signal
    return config


_IMAGE_FIELDS = frozenset(
    {
        "User", "ExposedPorts", "Env", "Cmd", "Healthcheck", "Volumes", "WorkingDir", "Entrypoint",
        "OnBuild", "Labels", "StopSignal", "Shell",
    }
)  # fmt: skip


def show_image_config(view: ContainerView) -> JSON:
    """Return the part of a container's config that an image made of it has, without what is empty.

    What the container took over from its image unchanged may be missing.
    """
    return {name: value for name, value in _config(view).items() if value and name in _IMAGE_FIELDS}


def _host_config(view: ContainerView) -> JSON:
    config = show_host_config(view.spec)
    config["NetworkMode"] = network_name(view)
    config["Links"] = show_links(view.spec.links, view.name)
    config["Runtime"] = view.spec.runtime or RUNTIME
    config["IpcMode"] = view.spec.ipc_mode or "private"
    config["CgroupnsMode"] = "private"
    security = view.spec.security
    for name, own, default in (
        ("MaskedPaths", security.masked_paths, MASKED_PATHS),
        ("ReadonlyPaths", security.read_only_paths, READ_ONLY_PATHS),
    ):
        if own is None and not security.privileged:
            config[name] = list(default)
    return config


def state(view: ContainerView) -> JSON:
    """Return the State object: Docker's booleans are computed here and nowhere else."""
    status = view.status
    shown: JSON = {
        "Status": str(status.state),
        "Running": view.active,
        "Paused": status.state is ContainerState.PAUSED,
        "Restarting": status.state is ContainerState.RESTARTING,
        "OOMKilled": status.oom_killed,
        "Dead": status.state is ContainerState.DEAD,
        "Pid": status.pid,
        "ExitCode": status.exit_code,
        "Error": status.error,
        "StartedAt": rfc3339(status.started_ns),
        "FinishedAt": rfc3339(status.finished_ns),
    }
    if view.health is not None:
        shown["Health"] = health(view.health)
    return shown


def health(view: Health) -> JSON:
    """Return the Health object."""
    return {
        "Status": view.status,
        "FailingStreak": view.failing_streak,
        "Log": [
            {
                "Start": rfc3339(probe.started_ns),
                "End": rfc3339(probe.ended_ns),
                "ExitCode": probe.exit_code,
                "Output": probe.output,
            }
            for probe in view.log
        ],
    }


def mounts(view: ContainerView) -> list[JSON]:
    """Return the MountPoints; those of --tmpfs are not among them, as with dockerd."""
    hidden = {mount.destination for mount in view.spec.mounts if mount.syntax is MountSyntax.TMPFS}
    return [_mount(mount) for mount in view.mounts if mount.destination not in hidden]


def _mount(mount: MountView) -> JSON:
    flags = [option for option in mount.options if option in ("ro", "rw", "z", "Z", "nocopy")]
    if mount.kind is MountKind.VOLUME and not mount.anonymous and not flags:
        flags = ["z"]  # moby daemon/volumes_unix.go: setBindModeIfNull
    shown: JSON = {"Type": str(mount.kind)}
    if mount.kind is MountKind.VOLUME:
        shown["Name"] = mount.name
    shown |= {"Source": mount.source, "Destination": mount.destination}
    if mount.kind is MountKind.VOLUME:
        shown["Driver"] = mount.driver or LOCAL
    bind = mount.kind is MountKind.BIND
    return shown | {
        "Mode": ",".join(flags) if mount.kind is not MountKind.TMPFS else "",
        "RW": not mount.read_only,
        "Propagation": (mount.propagation or "rprivate") if bind else "",
    }


def network_settings(view: ContainerView) -> JSON:
    """Return the NetworkSettings object; addresses only while it has any."""
    endpoints = endpoint_settings(view)
    own = endpoints.get("bridge", {})
    assert isinstance(own, dict)
    return {
        "Bridge": "",
        "SandboxID": view.pod_id if view.active else "",
        "SandboxKey": "",
        "Ports": _ports(view),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": own.get("EndpointID", ""),
        "Gateway": own.get("Gateway", ""),
        "GlobalIPv6Address": own.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": own.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": own.get("IPAddress", ""),
        "IPPrefixLen": own.get("IPPrefixLen", 0),
        "IPv6Gateway": own.get("IPv6Gateway", ""),
        "MacAddress": own.get("MacAddress", ""),
        "Networks": endpoints,
    }


def endpoint_settings(view: ContainerView) -> JSON:
    """Return an EndpointSettings object for each of a container's networks, by name."""
    if not view.spec.endpoints and network_name(view) == "none":
        none = EndpointSpec("none", predefined_id("none"))
        return {"none": _endpoint(view, none)}
    return {endpoint.network: _endpoint(view, endpoint) for endpoint in view.spec.endpoints}


def endpoint_id(container_id: str, network_id: str) -> str:
    """Return the id of a container's place on a network."""
    return hashlib.sha256(f"{container_id} {network_id}".encode()).hexdigest()


def _endpoint(view: ContainerView, endpoint: EndpointSpec) -> JSON:
    joined = next(
        (each for each in view.network.joined if each.network_id == endpoint.network_id), None
    )
    asked = (("IPv4Address", endpoint.address), ("IPv6Address", endpoint.address6))
    named = endpoint.network not in ("bridge", "none")
    names = [view.name, *endpoint.aliases, view.id[:12]] if named else []
    return {
        "IPAMConfig": {key: value for key, value in asked if value} or None,
        "Links": show_links(endpoint.links),
        "Aliases": list(endpoint.aliases) or None,
        "MacAddress": joined.mac if joined else "",
        "DriverOpts": None,
        "GwPriority": endpoint.priority,
        "NetworkID": endpoint.network_id if view.active else "",
        "EndpointID": endpoint_id(view.id, endpoint.network_id) if joined else "",
        "Gateway": joined.gateway if joined else "",
        "IPAddress": joined.address if joined else "",
        "IPPrefixLen": joined.prefix_length if joined else 0,
        "IPv6Gateway": joined.gateway6 if joined else "",
        "GlobalIPv6Address": joined.address6 if joined else "",
        "GlobalIPv6PrefixLen": joined.prefix_length6 if joined else 0,
        "DNSNames": list(dict.fromkeys(names)) or None,
    }


def published_ports(view: ContainerView) -> list[PortBinding]:
    """Return its pod's published ports, those of every address as dockerd shows them.

    Of a container on another's network they are that one's.
    """
    shown: list[PortBinding] = []
    for port in () if view.spec.shares_network_of else view.network.ports:
        if port.host_ip:
            shown.append(port)
            continue
        shown.append(replace(port, host_ip="0.0.0.0"))
        if port.ipv6:
            shown.append(replace(port, host_ip="::"))
    return shown


def _ports(view: ContainerView) -> JSON:
    """Return exposed ports with the host addresses that reach them, {} when it does not run."""
    if not view.active or view.spec.shares_network_of:
        return {}
    shown: JSON = dict.fromkeys(view.spec.exposed_ports)
    return by_key((shown | show_bindings(published_ports(view))).items())


def list_ports(view: ContainerView) -> list[JSON]:
    """Return the ports of a line of `docker ps`."""
    if not view.active:
        return []
    published: list[JSON] = [
        {
            "IP": binding.host_ip,
            "PrivatePort": binding.container_port,
            "PublicPort": binding.host_port,
            "Type": binding.protocol,
        }
        for binding in published_ports(view)
    ]
    known = {(port["PrivatePort"], port["Type"]) for port in published}
    for exposed in view.spec.exposed_ports:
        number, _, protocol = exposed.partition("/")
        if (int(number), protocol) not in known:
            published.append({"PrivatePort": int(number), "Type": protocol})
    return published


def summary(
    view: ContainerView, sizes: tuple[int, int] | None = None, image: str | None = None
) -> JSON:
    """Return an item of GET /containers/json; `image` is what its image is called now."""
    shown: JSON = {
        "Id": view.id,
        "Names": sorted(f"/{name}" for name in (view.name, *view.linked_as)),
        "Image": view.spec.image if image is None else image,
        "ImageID": view.spec.image_id,
        "Command": command_line(view.command.args),
        "Created": view.created_ns // NS_PER_S,
        "Ports": list_ports(view),
        "Labels": by_key(view.spec.labels),
        "State": str(view.state),
        "Status": status_text(view),
        "HostConfig": {
            "NetworkMode": network_name(view),
            "Annotations": dict(view.spec.annotations) or None,
        },
        "NetworkSettings": {"Networks": endpoint_settings(view)},
        "Mounts": mounts(view),
    }
    if sizes is not None:
        shown["SizeRw"], shown["SizeRootFs"] = sizes
    return shown


def command_line(args: Sequence[str]) -> str:
    """Return a command as one line; arguments with a space are quoted (moby container/view.go)."""
    return " ".join([args[0], *(f"'{arg}'" if " " in arg else arg for arg in args[1:])])


def status_text(view: ContainerView) -> str:
    """Return the status column of `docker ps` (moby container/state.go String)."""
    status = view.status
    now_ns = time_ns()
    since_start = human_duration((now_ns - status.started_ns) / NS_PER_S)
    since_end = human_duration((now_ns - status.finished_ns) / NS_PER_S)
    match status.state:
        case ContainerState.RUNNING:
            return f"Up {since_start}{_health_text(view.health)}"
        case ContainerState.PAUSED:
            return f"Up {since_start} (Paused)"
        case ContainerState.RESTARTING:
            return f"Restarting ({status.exit_code}) {since_end} ago"
        case ContainerState.REMOVING:
            return "Removal In Progress"
        case ContainerState.DEAD:
            return "Dead"
        case ContainerState.CREATED:
            return "Created"
    return f"Exited ({status.exit_code}) {since_end} ago"


def _health_text(view: Health | None) -> str:
    if view is None:
        return ""
    return " (health: starting)" if view.status == "starting" else f" ({view.status})"
