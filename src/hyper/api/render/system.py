"""Owns what the daemon says of itself and its host: version, info, events."""

import json
import os
import platform
import uuid
from time import time_ns

import hyper
from hyper.api.times import NS_PER_S, rfc3339
from hyper.engine.events import Event
from hyper.engine.system import SystemInfo
from hyper.schema.hostconfig import LOG_DRIVERS, RUNTIME
from hyper.schema.routes import MAXIMUM_VERSION, MINIMUM_VERSION

JSON = dict[str, object]
# Go's names of the machines Linux calls otherwise.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def version() -> JSON:
    """Return the body of GET /version."""
    machine = platform.machine()
    details = {
        "ApiVersion": MAXIMUM_VERSION,
        "Arch": _ARCHITECTURES.get(machine, machine),
        "BuildTime": "",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": platform.release(),
        "MinAPIVersion": MINIMUM_VERSION,
        "Os": "linux",
    }
    shown: JSON = {
        "Platform": {"Name": "Hyper"},
        "Components": [{"Name": "Engine", "Version": hyper.__version__, "Details": details}],
        "Version": hyper.__version__,
    }
    return shown | details


def info(facts: SystemInfo, images: int, listeners: int) -> JSON:
    """Return the body of GET /info; what Docker has no field for is in DriverStatus."""
    settings, can = facts.settings, facts.capabilities
    return {
        "ID": _daemon_id(facts),
        "Containers": facts.containers,
        "ContainersRunning": facts.running,
        "ContainersPaused": facts.paused,
        "ContainersStopped": facts.stopped,
        "Images": images,
        "Driver": "squashfs",
        "DriverStatus": [
            ["Hypervisor", f"{can.driver} {can.version}".strip()],
            ["Accelerator", can.accelerator],
            ["Machine", can.machine],
            ["Guest Kernel", facts.guest_kernel],
            ["Pods", str(facts.pods)],
        ],
        "DockerRootDir": str(facts.root),
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "null"],
            "Authorization": None,
            "Log": list(LOG_DRIVERS),
        },
        **_limits(),
        "Debug": settings.log_level == "debug",
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": 0,
        "SystemTime": rfc3339(time_ns()),
        "LoggingDriver": settings.log_driver,
        "CgroupDriver": "none",
        "CgroupVersion": "2",
        "NEventsListener": listeners,
        "KernelVersion": facts.host_kernel,
        "OperatingSystem": facts.operating_system,
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": facts.architecture,
        "NCPU": facts.cpus,
        "MemTotal": facts.memory_bytes,
        "Name": facts.host_name,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": _registries(settings.registry_mirrors, settings.insecure_registries),
        "GenericResources": None,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Labels": list(settings.labels),
        "ExperimentalBuild": False,
        "ServerVersion": hyper.__version__,
        "Runtimes": {RUNTIME: {"path": "hyperd"}},
        "DefaultRuntime": RUNTIME,
        "Swarm": _no_swarm(),
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "hyperstart",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns", "name=hypervisor"],
        "CDISpecDirs": [],
        "Warnings": None,
    }


def _limits() -> JSON:
    return {
        "MemoryLimit": True,
        "SwapLimit": False,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "OomKillDisable": False,
        "IPv4Forwarding": True,
        "BridgeNfIptables": False,
        "BridgeNfIp6tables": False,
    }


def _daemon_id(facts: SystemInfo) -> str:
    """Return an id that stays the same for this machine and root folder."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{facts.host_name} {facts.root}"))


def _registries(mirrors: tuple[str, ...], insecure: tuple[str, ...]) -> JSON:
    index: JSON = {
        "docker.io": {
            "Name": "docker.io",
            "Mirrors": list(mirrors),
            "Secure": True,
            "Official": True,
        }
    }
    for name in insecure:
        index[name] = {"Name": name, "Mirrors": [], "Secure": False, "Official": False}
    return {
        "AllowNondistributableArtifactsCIDRs": None,
        "AllowNondistributableArtifactsHostnames": None,
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
        "IndexConfigs": index,
        "Mirrors": list(mirrors),
    }


def _no_swarm() -> JSON:
    return {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    }


def event_line(event: Event) -> bytes:
    """Return an event as a line of GET /events, with the older fields of containers and images."""
    attributes = dict(event.attributes)
    shown: JSON = {}
    if event.kind in ("container", "image"):
        shown = {"status": event.action, "id": event.actor_id}
    if event.kind == "container":
        shown["from"] = attributes.get("image", "")
    shown |= {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.actor_id, "Attributes": attributes},
        "scope": "local",
        "time": event.time_ns // NS_PER_S,
        "timeNano": event.time_ns,
    }
    return json.dumps(shown).encode() + b"\n"
