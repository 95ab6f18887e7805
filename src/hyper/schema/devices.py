"""Owns Docker's HostConfig.Devices, read and shown again. What is given is engine's `devices`."""

from hyper.core.errors import InvalidArgument
from hyper.core.spec import ContainerSpec, Device
from hyper.core.values import read_list, read_object, read_string
from hyper.schema.fields import Field, Support, Updates

_DIFFERS = (
    "block devices of the host (not used there while they can be written to; in the VM they have "
    "no partitions: give those by name), and /dev/fuse, /dev/net/tun and such, the VM's own"
)


def _read(value: object, where: str) -> Updates:
    devices = []
    for at, item in enumerate(read_list(value, where)):
        place = f"{where}[{at}]"
        body = read_object(item, place)
        path = read_string(body.get("PathOnHost", ""), f"{place}.PathOnHost")
        inside = read_string(body.get("PathInContainer") or path, f"{place}.PathInContainer")
        allowed = read_string(body.get("CgroupPermissions") or "rwm", f"{place}.CgroupPermissions")
        if set(allowed) - set("rwm"):
            raise InvalidArgument(f"{place}.CgroupPermissions: {allowed!r} is not of r, w and m")
        for name, text in (("PathOnHost", path), ("PathInContainer", inside)):
            if not text.startswith("/dev/"):
                raise InvalidArgument(f"{place}.{name}: {text!r} is not a path below /dev")
        devices.append(Device(path, inside, allowed))
    return {"devices": tuple(devices)}


def _show(spec: ContainerSpec) -> object:
    return [
        {
            "PathOnHost": device.path,
            "PathInContainer": device.path_in_container,
            "CgroupPermissions": device.permissions,
        }
        for device in spec.devices
    ]


DEVICES = Field("Devices", Support.DIFFERS, _DIFFERS, _read, _show)
