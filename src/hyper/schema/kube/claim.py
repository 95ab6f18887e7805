"""Owns PersistentVolumeClaims: a named volume each; a PersistentVolume may say where it is."""

from dataclasses import dataclass
from fractions import Fraction

from hyper.schema.kube.codecs import DNS_SUBDOMAIN, QUANTITY, TEXT, choice, only
from hyper.schema.kube.fields import (
    Codec,
    Table,
    acts,
    differs,
    idle,
    many,
    nested,
    read_mapping,
    refused,
)
from hyper.schema.kube.metadata import ANONYMOUS, METADATA, Metadata
from hyper.schema.kube.place import Place
from hyper.schema.kube.quantity import show_quantity

ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_STORAGE = "storage"


def _read_storage(value: object, place: Place) -> Fraction:
    body = read_mapping(value, place)
    for name in body:
        if name != _STORAGE:
            raise place.at(name).unknown()
    if body.get(_STORAGE) is None:
        raise place.key(_STORAGE).required()
    size = QUANTITY.read(body[_STORAGE], place.key(_STORAGE))
    if not size:
        raise place.key(_STORAGE).invalid("0", "must be greater than zero")
    return size


STORAGE: Codec[Fraction] = Codec(_read_storage, lambda value: {_STORAGE: show_quantity(value)})


@dataclass(frozen=True, slots=True)
class Space:
    """How much a claim asks for."""

    requests: Fraction = Fraction(0)


SPACE = Table(
    "claim resources",
    Space,
    (
        differs(
            "requests",
            STORAGE,
            "free space the host must have; not a limit",
        ),
        refused("limits", "a volume has no upper limit"),
    ),
)


@dataclass(frozen=True, slots=True)
class ClaimSpec:
    """What a claim asks for."""

    access_modes: tuple[str, ...] = ()
    resources: Space = Space()
    volume_mode: str = "Filesystem"
    storage_class_name: str = ""
    volume_name: str = ""


def _check(spec: ClaimSpec, place: Place) -> None:
    if not spec.access_modes:
        raise place.at("accessModes").required("at least 1 access mode is required")
    if not spec.resources.requests:
        raise place.at("resources").at("requests").key(_STORAGE).required()


CLAIM_SPEC = Table(
    "PersistentVolumeClaim spec",
    ClaimSpec,
    (
        differs(
            "accessModes",
            many(choice(*ACCESS_MODES)),
            "any pod of this machine may use the volume at any time",
        ),
        acts("resources", nested(SPACE)),
        acts("volumeMode", only("a raw device is not given to a container", "Filesystem")),
        differs("storageClassName", TEXT, "chooses among the play's PersistentVolumes"),
        differs("volumeName", DNS_SUBDOMAIN, "a PersistentVolume of the play"),
        refused("selector", "a PersistentVolume is chosen by its class, modes and size"),
        refused("dataSource", "a volume starts empty"),
        refused("dataSourceRef", "a volume starts empty"),
        idle("volumeAttributesClassName", "volumes are folders of hyperd"),
    ),
    _check,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim: the name of a volume and what it asks for."""

    metadata: Metadata = ANONYMOUS
    spec: ClaimSpec = ClaimSpec()


_FIELDS = (
    acts("metadata", nested(METADATA), required=True),
    acts("spec", nested(CLAIM_SPEC), required=True),
    idle("status", "written by an API server"),
)
CLAIM = Table("PersistentVolumeClaim", Claim, _FIELDS)
CLAIM_TEMPLATE = Table(
    "volumeClaimTemplates[]",
    Claim,
    (
        *_FIELDS,
        idle("apiVersion", "it is v1", "v1"),
        idle("kind", "it is a claim", "PersistentVolumeClaim"),
    ),
)
