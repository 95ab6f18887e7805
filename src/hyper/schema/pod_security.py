"""Owns the tables of what a container of a pod document may do and use: rights, limits, devices."""

import json
from dataclasses import dataclass
from typing import Any

from hyper.core.errors import InvalidArgument
from hyper.core.spec import Device, Resources, Security
from hyper.schema.document import Flag, Key, ListOf, Number, Size, Table, Text, Values, Whole

_PROFILES = Text(choices=("default", "unconfined"))


@dataclass(frozen=True, slots=True)
class _Seccomp:
    """A profile in Docker's format, or the name of one."""

    def read(self, value: object, where: str) -> str:
        if isinstance(value, dict):
            return json.dumps(value)
        name = _PROFILES.read(value, where)
        return "" if name == "default" else name

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [_PROFILES.schema(), {"type": "object"}]}


def _security(values: Values, where: str) -> Security:
    known = {name: value for name, value in values.items() if name != "unmasked"}
    options = []
    if values.get("no_new_privileges"):
        options.append("no-new-privileges:true")
    if values.get("seccomp"):
        options.append(f"seccomp={values['seccomp']}")
    if values.get("unmasked"):
        known |= {"masked_paths": (), "read_only_paths": ()}
    return Security(**known, options=tuple(options))


SECURITY = Table(
    "What the container may do.",
    (
        Key("capAdd", ListOf(Text()), "capabilities it has besides the default", "cap_add"),
        Key("capDrop", ListOf(Text()), "capabilities it has not", "cap_drop"),
        Key("privileged", Flag(), "every capability, no filter"),
        Key("noNewPrivileges", Flag(), "setuid gives nothing", "no_new_privileges"),
        Key("seccomp", _Seccomp(), "default, unconfined, or a profile in Docker's format"),
        Key("unmasked", Flag(), "it sees all of /proc and /sys, and can write there"),
    ),
    _security,
)

LIMITS = Table(
    "Limits of the container within the pod.",
    (
        Key("cpus", Number(), "CPUs, e.g. 0.5"),
        Key("cpuShares", Whole(2, 262144), "weight against the others; 1024 each", "cpu_shares"),
        Key("cpuset", Text(r"\d+(-\d+)?(,\d+(-\d+)?)*"), "vCPUs it may use, e.g. 0-1"),
        Key("memory", Size(), "bytes, or text with a unit", "memory_bytes"),
        Key(
            "memoryReservation",
            Size(),
            "memory that is taken from others first",
            "memory_reservation_bytes",
        ),
        Key("pids", Whole(1), "processes and threads", "pids_limit"),
    ),
    lambda values, where: Resources(**values),
)


def _device(values: Values, where: str) -> Device:
    allowed = values.get("permissions", "rwm")
    if len(set(allowed)) != len(allowed):
        raise InvalidArgument(f"{where}.permissions: {allowed!r} has a letter twice")
    return Device(values["path"], values.get("target", values["path"]), allowed)


CONTAINER_DEVICE = Table(
    "A block device of the host, or a device the VM has itself, such as /dev/fuse.",
    (
        Key("path", Text(r"/dev/.+"), "where the host, or the VM, has it", required=True),
        Key("target", Text(r"/dev/.+"), "where the container has it; the same unless given"),
        Key("permissions", Text(r"[rwm]{1,3}"), "of read, write, mknod; rwm unless given"),
    ),
    _device,
)
