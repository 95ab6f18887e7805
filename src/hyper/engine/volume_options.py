"""Turns a volume's driver and options into what carries it. Pure functions, no I/O.

`local` takes Docker's options (moby volume/local: type, o, device, size), where the type is a file
system as for mount(8); the drivers beside it are those of Hyper's pod document, by its words.
"""

from collections.abc import Mapping

from hyper.core.errors import InvalidArgument, NotFound, Unsupported
from hyper.core.mount_options import (
    MS_RDONLY,
    check_tmpfs,
    join_export,
    parse_nfs,
    split_export,
    split_flags,
)
from hyper.core.pod_spec import Medium, VolumeSource
from hyper.core.units import parse_size

LOCAL = "local"
_LOCAL_OPTIONS = ("type", "o", "device", "size")
_NEEDED = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
DISK_FILE_SYSTEMS = ("ext4", "ext3", "ext2", "vfat", "iso9660", "squashfs", "erofs")
_OPTIONS = {
    "raw": ("source", "format", "size", "readOnly"),
    "qcow2": ("source", "format", "size", "readOnly"),
    "directory": ("source", "readOnly"),
    "nfs": ("source", "options", "readOnly"),
    "memory": ("size", "options"),
}
DRIVERS = (LOCAL, *_OPTIONS)


def volume_source(name: str, driver: str, options: Mapping[str, str]) -> VolumeSource | None:
    """Return what carries a volume; None is a folder of Hyper's own.

    A DISK without a source is to be made. Raises NotFound for a driver there is not,
    InvalidArgument, Unsupported naming the option.
    """
    if driver == LOCAL:
        return _local(name, options)
    if driver not in _OPTIONS:
        raise NotFound("volume plugin", driver, name)
    for key in options:
        if key not in _OPTIONS[driver]:
            raise InvalidArgument(
                f'create {name}: invalid option: "{key}": driver {driver} takes '
                f"{', '.join(_OPTIONS[driver])}"
            )
    return _of_driver(name, driver, options)


def _of_driver(name: str, driver: str, options: Mapping[str, str]) -> VolumeSource:
    source = options.get("source", "")
    read_only = _boolean(name, "readOnly", options.get("readOnly", "false"))
    if driver == "directory":
        return VolumeSource(Medium.DIRECTORY, _path(name, "source", source), read_only=read_only)
    if driver == "nfs":
        return _nfs(name, source, options.get("options", ""), read_only=read_only)
    if driver == "memory":
        return _memory(name, options.get("options", ""), _size(name, options))
    if not source:
        if "format" in options or read_only:
            raise InvalidArgument(
                f"create {name}: an image that is made is a writable ext4: format and readOnly are "
                "for one that exists (source)"
            )
        return _own_disk(name, options, driver)
    if "size" in options:
        raise InvalidArgument(
            f"create {name}: {source} has a size: size is for an image to be made"
        )
    file_system = options.get("format", "ext4")
    _check_file_system(name, "format", file_system)
    return VolumeSource(
        Medium.DISK, _path(name, "source", source), driver, file_system, read_only=read_only
    )


def _local(name: str, options: Mapping[str, str]) -> VolumeSource | None:
    for key in options:
        if key not in _LOCAL_OPTIONS:
            raise InvalidArgument(f'create {name}: invalid option: "{key}"')
    for key, needed in _NEEDED.items():
        for other in needed:
            if key in options and other not in options:
                raise InvalidArgument(f'create {name}: missing required option: "{other}"')
    if "type" not in options:
        return _own_disk(name, options, "raw") if "size" in options else None
    if "size" in options:
        raise Unsupported(
            f"create {name}: option size is for a volume of Hyper's own, not for one of type "
            f"{options['type']} (a tmpfs has it in o: o=size=...)"
        )
    return _mounted(name, options["type"], options.get("o", ""), options["device"])


def _mounted(name: str, kind: str, words: str, device: str) -> VolumeSource:
    """Return what `mount -t KIND -o WORDS DEVICE` would mount."""
    if kind in ("nfs", "nfs4"):
        return _nfs(name, device, words, read_only=False)
    if kind == "tmpfs":
        return _memory(name, words, 0)
    flags, rest = split_flags(words)
    if kind in ("none", "bind") or "bind" in rest or "rbind" in rest:
        left = [word for word in rest if word not in ("bind", "rbind")]
        if len(left) == len(rest) or left or flags & ~MS_RDONLY:
            raise InvalidArgument(
                f"create {name}: o={words}: a directory of the host is o=bind, with ro or without"
            )
        return VolumeSource(
            Medium.DIRECTORY, _path(name, "device", device), read_only=bool(flags & MS_RDONLY)
        )
    _check_file_system(name, "type", kind)
    if rest:
        raise InvalidArgument(f"create {name}: o={words}: {rest[0]} is not known of {kind}")
    return VolumeSource(
        Medium.DISK,
        _path(name, "device", device),
        fstype=kind,
        options=",".join(word for word in words.split(",") if word not in ("ro", "rw")),
        read_only=bool(flags & MS_RDONLY),
    )


def _own_disk(name: str, options: Mapping[str, str], image_format: str) -> VolumeSource:
    if "size" not in options:
        raise InvalidArgument(f"create {name}: size of the {image_format} image is needed")
    size = _size(name, options)
    return VolumeSource(Medium.DISK, image_format=image_format, size_bytes=size, grow=True)


def _nfs(name: str, source: str, options: str, *, read_only: bool) -> VolumeSource:
    try:
        parsed = parse_nfs(options)
        if source.startswith(":/") and parsed.address:
            source = join_export(parsed.address, source[1:])
        split_export(source)
    except InvalidArgument as err:
        raise InvalidArgument(f"create {name}: {err}") from err
    read_only = read_only or bool(parsed.flags & MS_RDONLY)
    return VolumeSource(Medium.NFS, source, options=options, read_only=read_only)


def _memory(name: str, options: str, size_bytes: int) -> VolumeSource:
    try:
        check_tmpfs(options)
    except InvalidArgument as err:
        raise InvalidArgument(f"create {name}: {err}") from err
    return VolumeSource(Medium.MEMORY, options=options, size_bytes=size_bytes)


def _check_file_system(name: str, key: str, file_system: str) -> None:
    if file_system not in DISK_FILE_SYSTEMS:
        raise Unsupported(
            f"create {name}: {key} {file_system}: the guest's kernel mounts "
            f"{', '.join(DISK_FILE_SYSTEMS)}, nfs and tmpfs"
        )


def _path(name: str, key: str, path: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(f"create {name}: {key}: an absolute path of the host is needed")
    return path


def _size(name: str, options: Mapping[str, str]) -> int:
    try:
        return parse_size(options["size"]) if "size" in options else 0
    except InvalidArgument as err:
        raise InvalidArgument(f"create {name}: {err}") from err


def _boolean(name: str, key: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidArgument(f"create {name}: {key}: true or false is needed, not {text!r}")
    return text == "true"
