"""Owns Docker's four ways to ask for a mount (Binds, Mounts, Tmpfs, Volumes), read and shown again.

Syntax: moby volume/mounts/linux_parser.go. What a mount does is the engine's and the guest's.
"""

import posixpath
from collections.abc import Mapping

from hyper.core.errors import InvalidArgument, Unsupported
from hyper.core.spec import ContainerSpec, Mount, MountKind, MountSyntax
from hyper.core.values import (
    read_bool,
    read_int,
    read_list,
    read_object,
    read_pairs,
    read_string,
    read_strings,
)
from hyper.schema.fields import Field, Support, Updates

_RECURSIVE = "what is mounted below a host directory is shared as the directory is"
_PROPAGATION = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_CONSISTENCY = frozenset({"default", "consistent", "cached", "delegated"})
_LABELS = frozenset({"z", "Z"})


def _destination(path: str, what: str) -> str:
    """Return a clean absolute path inside a container. Raises InvalidArgument."""
    what = f"{what}: " if what else ""
    if not path.startswith("/"):
        raise InvalidArgument(f"{what}invalid mount path: '{path}' mount path must be absolute")
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise InvalidArgument(f"{what}invalid specification: destination can't be '/'")
    return clean


def parse_bind(text: str) -> Mount:
    """Return the mount of `source:destination[:options]` or of a lone `destination`.

    Raises InvalidArgument with Docker's text.
    """
    what = f"invalid volume specification: '{text}'"
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidArgument(what)
    if len(parts) == 1:
        target = _destination(parts[0], what)
        return Mount(MountKind.VOLUME, target, anonymous=True, syntax=MountSyntax.BIND)
    bind = parts[0].startswith("/")
    source = parts[0]
    kind = "bind" if bind else "volume"
    target = _destination(parts[1], f'{what}: invalid mount config for type "{kind}"')
    options = tuple(parts[2].split(",")) if len(parts) == 3 else ()
    _check_options(options, bind)
    return Mount(
        MountKind.BIND if bind else MountKind.VOLUME,
        target,
        source=posixpath.normpath(source) if bind else source,
        read_only="ro" in options,
        copy="nocopy" not in options,
        options=options,
        propagation=next((option for option in options if option in _PROPAGATION), ""),
        syntax=MountSyntax.BIND,
        create_source=bind,
    )


def _check_options(options: tuple[str, ...], bind: bool) -> None:
    allowed = {"ro", "rw"} | _LABELS | _CONSISTENCY | (_PROPAGATION if bind else {"nocopy", "copy"})
    for option in options:
        if option not in allowed:
            raise InvalidArgument(f"invalid mode: {','.join(options)}")
    if {"ro", "rw"} <= set(options):
        raise InvalidArgument(f"invalid mode: {','.join(options)}")


def show_bind(mount: Mount) -> str:
    """Return a mount as the text it was parsed from."""
    parts = [mount.source] if mount.source else []
    parts.append(mount.destination)
    if mount.options:
        parts.append(",".join(mount.options))
    return ":".join(parts)


def read_binds(value: object, where: str) -> Updates:
    """Read HostConfig.Binds."""
    return {"mounts": tuple(parse_bind(text) for text in read_strings(value, where))}


def read_volumes(value: object, where: str) -> Updates:
    """Read Config.Volumes: anonymous volumes, one per key."""
    mounts = []
    for key in read_object(value, where):
        if ":" in key:
            raise InvalidArgument(f"invalid volume specification: '{key}'")
        target = _destination(key, f"invalid volume specification: '{key}'")
        mounts.append(Mount(MountKind.VOLUME, target, anonymous=True, syntax=MountSyntax.VOLUME))
    return {"mounts": tuple(mounts)}


def read_tmpfs(value: object, where: str) -> Updates:
    """Read HostConfig.Tmpfs: destination to options."""
    return {
        "mounts": tuple(
            Mount(
                MountKind.TMPFS,
                _destination(target, ""),
                options=tuple(option for option in text.split(",") if option),
                read_only="ro" in text.split(","),
                syntax=MountSyntax.TMPFS,
            )
            for target, text in read_pairs(value, where)
        )
    }


def read_mounts(value: object, where: str) -> Updates:
    """Read HostConfig.Mounts."""
    items = read_list(value, where)
    return {
        "mounts": tuple(
            _read_mount(read_object(item, f"{where}[{at}]"), f"{where}[{at}]")
            for at, item in enumerate(items)
        )
    }


def _read_mount(body: Mapping[str, object], where: str) -> Mount:
    kind = read_string(body.get("Type", ""), f"{where}.Type")
    if kind in ("image", "npipe", "cluster"):
        raise Unsupported(f"{where}.Type '{kind}' is not supported: use bind, volume or tmpfs")
    if kind not in tuple(MountKind):
        raise InvalidArgument(f'invalid mount config for type "{kind}": mount type unknown')
    what = f'invalid mount config for type "{kind}"'
    target = read_string(body.get("Target") or "", f"{where}.Target")
    source = read_string(body.get("Source") or "", f"{where}.Source")
    if not target:
        raise InvalidArgument(f"{what}: field Target must not be empty")
    if kind == MountKind.BIND and not source:
        raise InvalidArgument(f"{what}: field Source must not be empty")
    if kind == MountKind.BIND and not source.startswith("/"):
        raise InvalidArgument(f"{what}: invalid mount path: '{source}' mount path must be absolute")
    if kind == MountKind.TMPFS and source:
        raise InvalidArgument(f"{what}: field Source must not be specified")
    for name, owner in (
        ("Bind", "bind"),
        ("Volume", "volume"),
        ("Tmpfs", "tmpfs"),
        ("Image", "image"),
    ):
        if body.get(f"{name}Options") is not None and kind != owner:
            raise InvalidArgument(f"{what}: field {name}Options must not be specified")
    fields: dict[str, object] = {
        "read_only": read_bool(body.get("ReadOnly") or False, f"{where}.ReadOnly")
    }
    match kind:
        case MountKind.BIND:
            fields |= _bind_options(
                read_object(body.get("BindOptions"), where), f"{where}.BindOptions"
            )
        case MountKind.VOLUME:
            fields |= _volume_options(
                read_object(body.get("VolumeOptions"), where), f"{where}.VolumeOptions"
            )
            fields["anonymous"] = not source
        case _:
            fields |= _tmpfs_options(
                read_object(body.get("TmpfsOptions"), where), f"{where}.TmpfsOptions"
            )
    return Mount(MountKind(kind), _destination(target, what), source=source, **fields)  # type: ignore[arg-type]


def _bind_options(body: Mapping[str, object], where: str) -> dict[str, object]:
    propagation = read_string(body.get("Propagation") or "", f"{where}.Propagation")
    if propagation and propagation not in _PROPAGATION:
        raise InvalidArgument(
            f'invalid mount config for type "bind": invalid propagation mode: {propagation}'
        )
    for flag in ("NonRecursive", "ReadOnlyNonRecursive"):
        if read_bool(body.get(flag) or False, f"{where}.{flag}"):
            raise Unsupported(f"{where}.{flag} is not supported: {_RECURSIVE}")
    flags = ("ReadOnlyForceRecursive",)
    return {
        "propagation": propagation,
        "create_source": read_bool(
            body.get("CreateMountpoint") or False, f"{where}.CreateMountpoint"
        ),
        "options": tuple(
            flag for flag in flags if read_bool(body.get(flag) or False, f"{where}.{flag}")
        ),
    }


def _volume_options(body: Mapping[str, object], where: str) -> dict[str, object]:
    driver = read_object(body.get("DriverConfig"), f"{where}.DriverConfig")
    subpath = read_string(body.get("Subpath") or "", f"{where}.Subpath")
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise InvalidArgument(
            'invalid mount config for type "volume": subpath must be a relative path within the '
            f"volume: {subpath}"
        )
    return {
        "copy": not read_bool(body.get("NoCopy") or False, f"{where}.NoCopy"),
        "subpath": subpath,
        "labels": read_pairs(body.get("Labels"), f"{where}.Labels"),
        "driver": read_string(driver.get("Name") or "", f"{where}.DriverConfig.Name"),
        "driver_options": read_pairs(driver.get("Options"), f"{where}.DriverConfig.Options"),
    }


def _tmpfs_options(body: Mapping[str, object], where: str) -> dict[str, object]:
    options = []
    for option in read_list(body.get("Options"), f"{where}.Options"):
        options.append("=".join(read_strings(option, f"{where}.Options")))
    size_bytes = read_int(body.get("SizeBytes") or 0, f"{where}.SizeBytes")
    if size_bytes < 0:
        raise InvalidArgument('invalid mount config for type "tmpfs": size must be 0 or greater')
    return {
        "size_bytes": size_bytes,
        "mode": read_int(body.get("Mode") or 0, f"{where}.Mode"),
        "options": tuple(options),
    }


def show_mount(mount: Mount) -> dict[str, object]:
    """Return a mount as an item of HostConfig.Mounts."""
    body: dict[str, object] = {"Type": str(mount.kind)}
    if mount.source:
        body["Source"] = mount.source
    body["Target"] = mount.destination
    if mount.read_only:
        body["ReadOnly"] = True
    options: dict[str, object] = {}
    match mount.kind:
        case MountKind.BIND:
            options = {"Propagation": mount.propagation, "CreateMountpoint": mount.create_source}
            options |= {flag: True for flag in mount.options}
        case MountKind.VOLUME:
            driver: dict[str, object] = {
                "Name": mount.driver,
                "Options": dict(mount.driver_options),
            }
            options = {
                "NoCopy": not mount.copy,
                "Labels": dict(mount.labels),
                "Subpath": mount.subpath,
            }
            options["DriverConfig"] = {key: value for key, value in driver.items() if value}
        case MountKind.TMPFS:
            options = {
                "SizeBytes": mount.size_bytes,
                "Mode": mount.mode,
            }
            options["Options"] = [option.split("=", 1) for option in mount.options]
    options = {key: value for key, value in options.items() if value}
    if options:
        body[f"{mount.kind.title()}Options"] = options
    return body


def _of(spec: ContainerSpec, syntax: MountSyntax) -> list[Mount]:
    return [mount for mount in spec.mounts if mount.syntax is syntax]


def _show_tmpfs(spec: ContainerSpec) -> object:
    return {
        mount.destination: ",".join(mount.options) for mount in _of(spec, MountSyntax.TMPFS)
    } or None


_BIND_NOTE = (
    "host directories reach the VM over 9p: changes made on the host raise no inotify event in the "
    "container; propagation and the SELinux labels z, Z are accepted and have no meaning in a VM; "
    "with a root daemon, what the kernel cannot map owners for (proc, sysfs, devtmpfs) belongs to "
    "nobody in the container, and is itself shared only read-only"
)
BINDS = Field(
    "Binds",
    Support.DIFFERS,
    _BIND_NOTE,
    read_binds,
    lambda spec: [show_bind(mount) for mount in _of(spec, MountSyntax.BIND)] or None,
)
MOUNTS = Field(
    "Mounts",
    Support.DIFFERS,
    "types bind, volume and tmpfs (image, cluster and npipe are refused); BindOptions.NonRecursive "
    f"and ReadOnlyNonRecursive are refused: {_RECURSIVE}; {_BIND_NOTE}",
    read_mounts,
    lambda spec: [show_mount(mount) for mount in _of(spec, MountSyntax.MOUNT)] or None,
)
TMPFS = Field("Tmpfs", Support.WORKS, "", read_tmpfs, _show_tmpfs)
VOLUMES = Field(
    "Volumes",
    Support.WORKS,
    "",
    read_volumes,
    lambda spec: {mount.destination: {} for mount in _of(spec, MountSyntax.VOLUME)} or None,
)
