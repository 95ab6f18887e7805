"""Owns Hyper's own pod document: its tables, read into PodSpec and ContainerSpecs.

`python -m hyper.schema.pod_document` prints its JSON Schema (docs/pod-spec.schema.json).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hyper.core.errors import InvalidArgument
from hyper.core.ids import check_hostname, check_name
from hyper.core.mount_options import parse_nfs, split_export
from hyper.core.pod_spec import (
    Backend,
    HostDevice,
    Medium,
    PodPort,
    PodService,
    PodSpec,
    PodVolume,
    VolumeSource,
)
from hyper.core.spec import ContainerSpec, LogSpec
from hyper.core.units import MIB
from hyper.schema.document import (
    Flag,
    Key,
    ListOf,
    Number,
    Pairs,
    Size,
    Table,
    Text,
    Values,
    Whole,
    checked,
)
from hyper.schema.hostconfig import check_log_options
from hyper.schema.pod_container import CONTAINER, ContainerPart, FileUse
from hyper.schema.pod_network import ADDRESS, INTERFACE, WHITELIST, places
from hyper.schema.ports import parse_range

SCHEMA_ID = "https://hyper.invalid/pod-spec.schema.json"
PORTS_MAX = 4096


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of the document's `files`: its content as base64, or the URI it is fetched from."""

    name: str
    content: str = ""
    uri: str = ""
    encoding: str = "raw"


@dataclass(frozen=True, slots=True)
class PodDocument:
    """A document that was read. Files are put into `containers` by `with_files`."""

    spec: PodSpec
    containers: tuple[ContainerSpec, ...]
    files: tuple[FileSource, ...] = ()
    uses: tuple[tuple[FileUse, ...], ...] = ()

    def with_files(self, contents: Mapping[str, str]) -> tuple[ContainerSpec, ...]:
        """Return the containers with their files, whose `contents` are base64 by name."""
        return tuple(
            replace(spec, files=tuple(use.file(contents[use.name]) for use in uses))
            for spec, uses in zip(self.containers, self.uses, strict=True)
        )


def read_document(value: object) -> PodDocument:
    """Return what a document asks for. Raises InvalidArgument with the path of what is wrong."""
    document: PodDocument = POD.read(value, "")
    return document


def _file(values: Values, where: str) -> FileSource:
    text = values.get("contents", values.get("content"))
    if ("uri" in values) == (text is not None):
        raise InvalidArgument(f"{where}: either uri or contents is needed")
    uri = values.get("uri", "")
    if uri and not uri.startswith(("http://", "https://", "file:///")):
        raise InvalidArgument(f"{where}.uri: only http, https and file are possible: {uri!r}")
    encoding = values.get("encoding", "raw")
    return FileSource(values["name"], text or "", uri, encoding)


FILE = Table(
    "A file that containers can be given. By `uri` it is fetched when the pod is created.",
    (
        Key("name", Text(r"[^\0]+"), "how containers name it", required=True),
        Key("encoding", Text(choices=("raw", "base64")), "how contents (or the URI's) is encoded"),
        Key("contents", Text(), "the file itself"),
        Key("content", Text(), "another name of contents"),
        Key("uri", Text(), "http://, https://, or file:/// below the directory the daemon allows"),
    ),
    _file,
)


def _volume(values: Values, where: str) -> PodVolume:
    driver = values.get("driver", "")
    source = values.get("source", "")
    if driver in ("raw", "qcow2"):
        if not source:
            raise InvalidArgument(f"{where}.source: the path of the {driver} image is needed")
        volume = VolumeSource(
            Medium.DISK,
            source,
            driver,
            values.get("format", "ext4"),
            read_only=values.get("readOnly", False),
        )
    elif driver == "nfs":
        volume = VolumeSource(
            Medium.NFS,
            _export(source, where),
            options=_nfs_options(values.get("options", ""), where),
            read_only=values.get("readOnly", False),
        )
    elif driver == "memory":
        volume = VolumeSource(Medium.MEMORY, size_bytes=values.get("size", 0))
    elif source:
        volume = VolumeSource(Medium.DIRECTORY, source, read_only=values.get("readOnly", False))
    else:
        volume = VolumeSource(Medium.DISK, size_bytes=values.get("size", 0))
    _check_volume(values, driver, where)
    return PodVolume(values["name"], volume)


def _check_volume(values: Values, driver: str, where: str) -> None:
    empty = driver == "memory" or (not driver and not values.get("source"))
    allowed = {
        "source": not empty or driver == "directory",
        "size": empty,
        "format": driver in ("raw", "qcow2"),
        "options": driver == "nfs",
        "readOnly": not empty,
    }
    for name, possible in allowed.items():
        if name in values and not possible:
            raise InvalidArgument(f"{where}.{name}: a volume of this kind has none")
    if driver in ("directory", "vfs") and not values.get("source", "").startswith("/"):
        raise InvalidArgument(f"{where}.source: an absolute path of the host is needed")


def _export(source: str, where: str) -> str:
    try:
        split_export(source)
    except InvalidArgument as err:
        raise InvalidArgument(f"{where}.source: {err}") from err
    return source


def _nfs_options(options: str, where: str) -> str:
    try:
        parse_nfs(options)
    except InvalidArgument as err:
        raise InvalidArgument(f"{where}.options: {err}") from err
    return options


VOLUME = Table(
    "A volume of the pod. Without driver and source it is empty and lives as long as the pod.",
    (
        Key(
            "name",
            Text(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}"),
            "how containers name it",
            required=True,
        ),
        Key(
            "driver",
            Text(choices=("directory", "vfs", "raw", "qcow2", "nfs", "memory")),
            "directory (or vfs) of the host; raw or qcow2 image; nfs export; memory of the pod",
        ),
        Key("source", Text(), "path of the host, or ADDRESS:/EXPORT"),
        Key("format", Text(choices=("ext4", "vfat", "iso9660", "squashfs", "erofs")),
            "file system of a raw or qcow2 image"),
        Key("size", Size(), "most an empty or memory volume holds"),
        Key("options", Text(), "mount options of an nfs volume"),
        Key("readOnly", Flag(), "nobody can write to it"),
    ),
    _volume,
)  # fmt: skip


def _range(text: str, where: str) -> tuple[int, int]:
    try:
        return parse_range(text, "range")
    except InvalidArgument as err:
        raise InvalidArgument(
            f"{where}: {text!r} is no port, and no range from a lower to a higher one: 1 to 65535"
        ) from err


def _ports(values: Values, where: str) -> tuple[PodPort, ...]:
    first, last = _range(values["containerPort"], f"{where}.containerPort")
    host_text = values.get("hostPort", "0")
    host_first, host_last = _range(host_text, f"{where}.hostPort")
    count = last - first
    if host_text != "0" and host_last - host_first != count:
        raise InvalidArgument(
            f"{where}: the ranges differ in length: hostPort {host_text}, containerPort "
            f"{values['containerPort']}"
        )
    ip = values.get("hostIP", "")
    protocol = values.get("protocol", "tcp")
    return tuple(
        PodPort(first + at, protocol, ip, host_first + at if host_first else 0)
        for at in range(count + 1)
    )


PORT = Table(
    "Published ports: single ones or ranges of the same length.",
    (
        Key("containerPort", Text(r"\d{1,5}(-\d{1,5})?"), "port or range", required=True),
        Key("hostPort", Text(r"\d{1,5}(-\d{1,5})?"), "port or range; absent: free ones"),
        Key("protocol", Text(choices=("tcp", "udp")), "tcp unless said otherwise"),
        Key("hostIP", ADDRESS, "address of the host"),
    ),
    _ports,
)


BACKEND = Table(
    "Where a service sends connections.",
    (
        Key("hostip", ADDRESS, "address", "address", required=True),
        Key("hostport", Whole(1, 65535), "port", "port", required=True),
        Key("weight", Whole(0, 65535), "share of wrr and wlc; 0: no new connections"),
    ),
    lambda values, where: Backend(**values),
)

SERVICE = Table(
    "An address and port inside the pod, balanced over hosts by its kernel.",
    (
        Key("name", Text(), "how it is named later; its address and port unless given"),
        Key("serviceip", ADDRESS, "address", "address", required=True),
        Key("serviceport", Whole(1, 65535), "port", "port", required=True),
        Key("protocol", Text(choices=("tcp", "udp")), "tcp unless said otherwise"),
        Key("scheduler", Text(choices=("rr", "wrr", "lc", "wlc", "sh")), "how hosts are chosen"),
        Key("hosts", ListOf(BACKEND), "what it is balanced over", "backends"),
    ),
    lambda values, where: PodService(**{"name": f"{values['address']}:{values['port']}", **values}),
)

_WORD = Text(r"\S+")
RESOURCE = Table(
    "Size of the pod's VM.",
    (
        Key("vcpu", Whole(1, 255), "virtual CPUs"),
        Key("memory", Size(MIB), "memory: MiB as a number, or text with a unit"),
        Key("maxVcpu", Whole(1, 255), "most vCPUs it can be given while it runs"),
        Key("maxMemory", Size(MIB), "most memory it can be given while it runs"),
    ),
)


def _log(values: Values, where: str) -> LogSpec:
    log = LogSpec(**values)
    check_log_options(log.driver, dict(log.options))
    return log


LOG = Table(
    "Where the containers' output is kept.",
    (
        Key("type", Text(choices=("json-file", "local", "none")), "log driver", "driver"),
        Key("config", Pairs(), "options of the driver", "options"),
    ),
    _log,
)


def _device(values: Values, where: str) -> HostDevice:
    path = values["path"]
    if path.startswith("/"):
        return HostDevice(**values)
    for name, key in (("readOnly", "read_only"), ("target", "target")):
        if key in values:
            raise InvalidArgument(f"{where}.{name}: a PCI device has none")
    return HostDevice(path if path.count(":") == 2 else f"0000:{path}")


DEVICE = Table(
    "A device of the host given to the pod.",
    (
        Key("path", Text(r"/dev/.+|([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"),
            "block device, or PCI address (VFIO)", required=True),
        Key("readOnly", Flag(), "block devices only", "read_only"),
        Key("target", Text(r"/dev/.+"),
            "block devices only: where containers have it; where the host has it unless given"),
    ),
    _device,
)  # fmt: skip


def _pod(values: Values, where: str) -> PodDocument:
    parts: tuple[ContainerPart, ...] = values.get("containers", ())
    files: tuple[FileSource, ...] = values.get("files", ())
    _check_uses(parts, files)
    ports = tuple(port for group in values.get("portmappings", ()) for port in group)
    _check_ports(ports)
    mode, endpoints = places(values.get("interfaces", ()))
    resource = values.get("resource", {})
    log: LogSpec | None = values.get("log")
    same = (
        *("name", "hostname", "domainname", "labels", "volumes", "services", "sysctls"),
        *("dns", "dns_options", "dns_search"),
    )
    spec = PodSpec(
        **{"name": "", **{name: values[name] for name in same if name in values}},
        vcpus=resource.get("vcpu", 0),
        memory_bytes=resource.get("memory", 0),
        max_vcpus=resource.get("maxVcpu", 0),
        max_memory_bytes=resource.get("maxMemory", 0),
        kernel=values.get("kernel", ""),
        kernel_parameters=values.get("kernelParameters", ()),
        follows=values.get("follows", False),
        auto_remove=values.get("autoRemove", False),
        share_pid=values.get("shareProcessNamespace", False),
        network_mode=mode,
        endpoints=endpoints,
        port_sources=values.get("portmappingWhiteLists", ()),
        annotations=values.get("annotations", ()),
        ports=ports,
        shm_size_bytes=values.get("shmSize", 0),
        grace_s=values.get("terminationGracePeriod"),
        deadline_s=values.get("deadline", 0.0),
        devices=_devices(values),
        machine=values.get("machine", ""),
        log_driver=log.driver if log else "",
        log_options=log.options if log else (),
    )
    for name in ("tty", "restartPolicy"):
        if name in values and not parts:
            raise InvalidArgument(f"{name}: it is for containers of the document, which has none")
    containers = tuple(_named(part, at, values) for at, part in enumerate(parts))
    return PodDocument(spec, containers, files, tuple(part.files for part in parts))


def _devices(values: Values) -> tuple[HostDevice, ...]:
    devices: tuple[HostDevice, ...] = values.get("devices", ())
    seen: set[str] = set()
    for at, device in enumerate(devices):
        if device.path in seen:
            raise InvalidArgument(f"devices[{at}].path: {device.path} is given twice")
        seen.add(device.path)
        if values.get("machine") == "microvm" and not device.path.startswith("/"):
            raise InvalidArgument(
                f"devices[{at}].path: machine type microvm has no PCI: say q35 or nothing"
            )
    return devices


def _named(part: ContainerPart, at: int, values: Values) -> ContainerSpec:
    spec = part.spec
    if "tty" in values and not part.tty_given:
        spec = replace(spec, tty=values["tty"])
    if "restartPolicy" in values and not part.restart_given:
        spec = replace(spec, restart_policy=values["restartPolicy"])
    name = spec.name_in_pod or f"{at}"
    return replace(spec, name_in_pod=name, network_mode="default")


def _check_uses(parts: Iterable[ContainerPart], files: Iterable[FileSource]) -> None:
    """Raises InvalidArgument for a file that is not there, is there twice, or nobody uses."""
    known: dict[str, int] = {}
    for at, file in enumerate(files):
        if file.name in known:
            raise InvalidArgument(f"files[{at}].name: a second file named {file.name!r}")
        known[file.name] = at
    used = set()
    for at, part in enumerate(parts):
        for number, use in enumerate(part.files):
            if use.name not in known:
                raise InvalidArgument(
                    f"containers[{at}].files[{number}].filename: the document has no file "
                    f"named {use.name!r}"
                )
            used.add(use.name)
    for name, at in known.items():
        if name not in used:
            raise InvalidArgument(
                f"files[{at}]: no container of the document uses the file {name!r}: name it in a "
                "container's files, or leave it out"
            )


def _check_ports(ports: tuple[PodPort, ...]) -> None:
    if len(ports) > PORTS_MAX:
        raise InvalidArgument(f"portmappings: {len(ports)} ports: at most {PORTS_MAX} are possible")
    taken = set()
    for port in ports:
        place = (port.host_ip, port.host_port, port.protocol)
        if port.host_port and place in taken:
            raise InvalidArgument(
                f"portmappings: host port {port.host_port}/{port.protocol} is published twice"
            )
        taken.add(place)


POD = Table(
    "A pod of Hyper: a small VM with containers that share its network, names and volumes.",
    (
        Key(
            "id",
            checked(Text(), lambda name: check_name(name, "pod")),
            "the pod's name; a random one unless given",
            "name",
        ),
        Key("hostname", checked(Text(), check_hostname), "host name of all its containers"),
        Key("domainname", checked(Text(), check_hostname), "NIS domain name"),
        Key("containers", ListOf(CONTAINER), "its containers, in the order they start"),
        Key("resource", RESOURCE, "size of the VM"),
        Key("kernel", Text(), "name or path of its kernel"),
        Key("kernelParameters", ListOf(Text()), "kernel parameters the daemon allows"),
        Key("files", ListOf(FILE), "files that containers are given"),
        Key("volumes", ListOf(VOLUME), "volumes that containers mount"),
        Key("interfaces", ListOf(INTERFACE), "its network"),
        Key("portmappings", ListOf(PORT), "published ports"),
        Key("portmappingWhiteLists", WHITELIST, "who may connect to published ports"),
        Key("services", ListOf(SERVICE), "service addresses inside the pod"),
        Key("dns", ListOf(ADDRESS), "name servers"),
        Key("dnsOptions", ListOf(_WORD), "options of the resolver", "dns_options"),
        Key("dnsSearch", ListOf(_WORD), "search domains", "dns_search"),
        Key("labels", Pairs(), "labels"),
        Key("annotations", Pairs(), "notes of other programs, shown again"),
        Key("log", LOG, "where output is kept"),
        Key("sysctl", Pairs(), "kernel settings of the pod", "sysctls"),
        Key("shmSize", Size(), "size of /dev/shm"),
        Key("shareProcessNamespace", Flag(), "containers see each other's processes"),
        Key("terminationGracePeriod", Number(), "seconds from the stop signal to SIGKILL"),
        Key("deadline", Number(), "seconds after which it is stopped; 0: never"),
        Key("follows", Flag(), "the pod stops when its last container has ended"),
        Key("autoRemove", Flag(), "the pod is removed when it has stopped"),
        Key("devices", ListOf(DEVICE), "devices of the host"),
        Key(
            "machine",
            Text(choices=("microvm", "q35")),
            "machine type; microvm, or q35 (which has PCI) if it is given PCI devices",
        ),
        Key("tty", Flag(), "a terminal for containers that do not say"),
        Key("restartPolicy", CONTAINER.node_of("restartPolicy"), "for containers that do not say"),
    ),
    _pod,
)


def json_schema() -> dict[str, Any]:
    """Return the document's JSON Schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Hyper pod",
        **POD.schema(),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
