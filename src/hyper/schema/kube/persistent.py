"""Owns PersistentVolumes: where the files of a claim are, when the play says so. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from hyper.core.errors import InvalidArgument
from hyper.schema.kube.claim import ACCESS_MODES, STORAGE, Claim
from hyper.schema.kube.codecs import NONEMPTY, TEXT, choice, only
from hyper.schema.kube.fields import Table, acts, differs, idle, many, nested, refused
from hyper.schema.kube.metadata import ANONYMOUS, METADATA, Metadata
from hyper.schema.kube.place import Place
from hyper.schema.kube.volumes import DRIVER_WORDS, DRIVERS, HOST_PATH, NFS, HostPath, NfsVolume


@dataclass(frozen=True, slots=True)
class LocalPath:
    """A folder of the host that is there."""

    path: str = ""


_LOCAL = Table(
    "local",
    LocalPath,
    (
        acts("path", NONEMPTY, required=True),
        idle("fsType", "the host has mounted it"),
    ),
)


@dataclass(frozen=True, slots=True)
class PersistentSpec:
    """What a volume has to offer, and where it is."""

    capacity: Fraction = Fraction(0)
    access_modes: tuple[str, ...] = ()
    storage_class_name: str = ""
    volume_mode: str = "Filesystem"
    host_path: HostPath | None = None
    local: LocalPath | None = None
    nfs: NfsVolume | None = None


def _check(spec: PersistentSpec, place: Place) -> None:
    if not spec.access_modes:
        raise place.at("accessModes").required()
    given = [name for name in ("host_path", "local", "nfs") if getattr(spec, name) is not None]
    if len(given) != 1:
        raise place.required("one of hostPath, local and nfs is needed")


PERSISTENT_SPEC = Table(
    "PersistentVolume spec",
    PersistentSpec,
    (
        differs("capacity", STORAGE, "chooses the claim; not a limit", required=True),
        differs("accessModes", many(choice(*ACCESS_MODES)), "chooses the claim"),
        acts("storageClassName", TEXT, "chooses the claim"),
        acts("volumeMode", only("a raw device is not given to a container", "Filesystem")),
        acts("hostPath", nested(HOST_PATH)),
        acts("local", nested(_LOCAL)),
        acts("nfs", nested(NFS)),
        idle(
            "persistentVolumeReclaimPolicy", "`--down --force` removes the volume, never its files"
        ),
        idle("nodeAffinity", "there is one node"),
        refused("mountOptions", "options of mounts are not passed on"),
        refused("claimRef", "a claim names its volume: volumeName"),
        *(refused(name, DRIVER_WORDS) for name in DRIVERS),
    ),
    _check,
)
NO_PERSISTENT_SPEC = PersistentSpec()


@dataclass(frozen=True, slots=True)
class Persistent:
    """A volume that a claim of the same play may be bound to."""

    metadata: Metadata = ANONYMOUS
    spec: PersistentSpec = NO_PERSISTENT_SPEC


PERSISTENT = Table(
    "PersistentVolume",
    Persistent,
    (
        acts("metadata", nested(METADATA), required=True),
        acts("spec", nested(PERSISTENT_SPEC), required=True),
        idle("status", "written by an API server"),
    ),
)


@dataclass(frozen=True, slots=True)
class Carried:
    """How a named volume is made: its driver with the options; a missing `folder` is made."""

    driver: str = ""
    options: tuple[tuple[str, str], ...] = ()
    folder: HostPath | None = None


OWN = Carried()


class Binding:
    """Gives each claim the smallest volume that fits, and each volume to one claim only."""

    def __init__(self, volumes: Iterable[Persistent]) -> None:
        self._free = sorted(volumes, key=lambda volume: volume.spec.capacity)

    def bind(self, claim: Claim, name: str) -> Carried | None:
        """Return where a claim's files are, None for a volume of its own.

        Raises InvalidArgument.
        """
        for volume in self._free:
            if _fits(claim, volume):
                self._free.remove(volume)
                return _carried(volume.spec)
        if wanted := claim.spec.volume_name:
            raise InvalidArgument(
                f'PersistentVolumeClaim "{name}": spec.volumeName: the play has no free '
                f"PersistentVolume {wanted!r} that fits it"
            )
        return None

    def left(self) -> tuple[str, ...]:
        """Return the names of the volumes that no claim has."""
        return tuple(sorted(volume.metadata.name for volume in self._free))


def _fits(claim: Claim, volume: Persistent) -> bool:
    asked, offered = claim.spec, volume.spec
    if asked.volume_name and asked.volume_name != volume.metadata.name:
        return False
    return (
        asked.storage_class_name == offered.storage_class_name
        and set(asked.access_modes) <= set(offered.access_modes)
        and asked.resources.requests <= offered.capacity
    )


def _carried(spec: PersistentSpec) -> Carried:
    if spec.nfs is not None:
        options = (("source", f"{spec.nfs.server}:{spec.nfs.path}"),)
        return Carried("nfs", (*options, *((("readOnly", "true"),) if spec.nfs.read_only else ())))
    if spec.local is not None:
        folder = HostPath(spec.local.path, "Directory")
    else:
        assert spec.host_path is not None
        folder = spec.host_path
        if not folder.type:
            folder = replace(folder, type="DirectoryOrCreate")
    return Carried("directory", (("source", folder.path),), folder)
