"""Owns volumes of a pod and where its containers mount them: their documents."""

from dataclasses import dataclass
from fractions import Fraction

from hyper.schema.kube.codecs import (
    BOOLEAN,
    DNS_LABEL,
    FOLDER_MODE,
    MODE,
    NONEMPTY,
    QUANTITY,
    RELATIVE,
    only,
)
from hyper.schema.kube.environment import (
    FIELD_REFERENCE,
    RESOURCE_REFERENCE,
    SUBSCRIPTED,
    FieldReference,
    ResourceReference,
)
from hyper.schema.kube.fields import Field, Table, acts, differs, many, nested, refused
from hyper.schema.kube.place import Place

DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class EmptyDir:
    """A folder that lives as long as the pod; size_limit 0 is none."""

    medium: str = ""
    size_limit: Fraction = Fraction(0)
    mode: int | None = None


EMPTY_DIR = Table(
    "emptyDir",
    EmptyDir,
    (
        acts("medium", only("the guest has no huge pages set aside", "", "Memory"), "Memory"),
        differs(
            "sizeLimit",
            QUANTITY,
            "a hard limit, on disk of 32Mi at least: writing beyond it fails; nobody is evicted",
        ),
        acts("mode", FOLDER_MODE),
    ),
)


@dataclass(frozen=True, slots=True)
class HostPath:
    """A path of the host."""

    path: str = ""
    type: str = ""


HOST_PATH_TYPES = ("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File")
HOST_PATH = Table(
    "hostPath",
    HostPath,
    (
        acts("path", NONEMPTY, required=True),
        differs(
            "type",
            only("a socket or device of the host means nothing in a VM", *HOST_PATH_TYPES),
            "DirectoryOrCreate, Directory, FileOrCreate, File; sockets and devices are refused",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Item:
    """A key and the file it becomes; mode None is the volume's."""

    key: str = ""
    path: str = ""
    mode: int | None = None


ITEM = Table(
    "items[]",
    Item,
    (
        acts("key", NONEMPTY, required=True),
        acts("path", RELATIVE, required=True),
        acts("mode", MODE),
    ),
)


@dataclass(frozen=True, slots=True)
class ConfigMapVolume:
    """A ConfigMap as files, all its keys without `items`."""

    name: str = ""
    items: tuple[Item, ...] = ()
    default_mode: int = DEFAULT_MODE
    optional: bool = False


_ITEMS = acts("items", many(nested(ITEM)))
_OPTIONAL = acts("optional", BOOLEAN)
_DEFAULT_MODE = acts("defaultMode", MODE)
CONFIG_MAP = Table(
    "configMap",
    ConfigMapVolume,
    (acts("name", NONEMPTY, required=True), _ITEMS, _DEFAULT_MODE, _OPTIONAL),
)


@dataclass(frozen=True, slots=True)
class SecretVolume:
    """A Secret as files."""

    secret_name: str = ""
    items: tuple[Item, ...] = ()
    default_mode: int = DEFAULT_MODE
    optional: bool = False


SECRET = Table(
    "secret",
    SecretVolume,
    (acts("secretName", NONEMPTY, required=True), _ITEMS, _DEFAULT_MODE, _OPTIONAL),
)


@dataclass(frozen=True, slots=True)
class DownwardItem:
    """A field of the pod, or an amount of a container's, as a file."""

    path: str = ""
    field_ref: FieldReference | None = None
    resource_field_ref: ResourceReference | None = None
    mode: int | None = None


def _check_downward_item(item: DownwardItem, place: Place) -> None:
    if (item.field_ref is None) == (item.resource_field_ref is None):
        raise place.required("one of `fieldRef` and `resourceFieldRef`, and not both")
    if item.field_ref:
        path = item.field_ref.field_path
        known = ("labels", "annotations", "name", "namespace")
        words = [f"metadata.{word}" for word in known]
        if path == "metadata.uid":
            raise place.at("fieldRef").at("fieldPath").refused("a pod has no uid of its own")
        if path not in words and not SUBSCRIPTED.fullmatch(path):
            raise place.at("fieldRef").at("fieldPath").not_one_of(path, words)
    elif item.resource_field_ref and not item.resource_field_ref.container_name:
        raise place.at("resourceFieldRef").at("containerName").required()


DOWNWARD_ITEM = Table(
    "downwardAPI.items[]",
    DownwardItem,
    (
        acts("path", RELATIVE, required=True),
        acts("fieldRef", nested(FIELD_REFERENCE)),
        acts("resourceFieldRef", nested(RESOURCE_REFERENCE)),
        acts("mode", MODE),
    ),
    _check_downward_item,
)


@dataclass(frozen=True, slots=True)
class DownwardVolume:
    """Fields of the pod as files."""

    items: tuple[DownwardItem, ...] = ()
    default_mode: int = DEFAULT_MODE


_DOWNWARD_ITEMS = differs(
    "items", many(nested(DOWNWARD_ITEM)), "written once, at the pod's creation"
)
DOWNWARD = Table("downwardAPI", DownwardVolume, (_DOWNWARD_ITEMS, _DEFAULT_MODE))


_PROJECTED_MAP = Table(
    "sources[].configMap",
    ConfigMapVolume,
    (acts("name", NONEMPTY, required=True), _ITEMS, _OPTIONAL),
)
_PROJECTED_SECRET = Table(
    "sources[].secret",
    ConfigMapVolume,
    (acts("name", NONEMPTY, required=True), _ITEMS, _OPTIONAL),
)


@dataclass(frozen=True, slots=True)
class ProjectedSource:
    """One source of a projected volume; exactly one. Here a secret has the form of a ConfigMap."""

    config_map: ConfigMapVolume | None = None
    secret: ConfigMapVolume | None = None
    downward_api: DownwardVolume | None = None


@dataclass(frozen=True, slots=True)
class ProjectedVolume:
    """Several sources as files of one folder."""

    sources: tuple[ProjectedSource, ...] = ()
    default_mode: int = DEFAULT_MODE


def _check_source(source: ProjectedSource, place: Place) -> None:
    given = [source.config_map, source.secret, source.downward_api]
    if sum(item is not None for item in given) != 1:
        raise place.forbidden("exactly 1 projection type must be specified per source")


PROJECTED_SOURCE = Table(
    "projected.sources[]",
    ProjectedSource,
    (
        acts("configMap", nested(_PROJECTED_MAP)),
        acts("secret", nested(_PROJECTED_SECRET)),
        acts("downwardAPI", nested(Table("downwardAPI", DownwardVolume, (_DOWNWARD_ITEMS,)))),
        refused("serviceAccountToken", "there is no API server that would accept a token"),
        refused("clusterTrustBundle", "there is no cluster"),
        refused("podCertificate", "there is no signer"),
    ),
    _check_source,
)
PROJECTED = Table(
    "projected",
    ProjectedVolume,
    (acts("sources", many(nested(PROJECTED_SOURCE)), required=True), _DEFAULT_MODE),
)


@dataclass(frozen=True, slots=True)
class ClaimVolume:
    """A PersistentVolumeClaim by name: a named volume."""

    claim_name: str = ""
    read_only: bool = False


CLAIM = Table(
    "persistentVolumeClaim",
    ClaimVolume,
    (
        differs(
            "claimName", NONEMPTY, "the named volume; made when no document of the play claims it"
        ),
        acts("readOnly", BOOLEAN),
    ),
)


@dataclass(frozen=True, slots=True)
class NfsVolume:
    """An NFS export, which the pod's own kernel mounts."""

    server: str = ""
    path: str = ""
    read_only: bool = False


NFS = Table(
    "nfs",
    NfsVolume,
    (
        acts("server", NONEMPTY, "an address or a name", required=True),
        acts("path", NONEMPTY, required=True),
        acts("readOnly", BOOLEAN),
    ),
)


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume; without a source it is an emptyDir."""

    name: str = ""
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardVolume | None = None
    projected: ProjectedVolume | None = None
    persistent_volume_claim: ClaimVolume | None = None
    nfs: NfsVolume | None = None


_SOURCES = (
    ("emptyDir", "empty_dir"),
    ("hostPath", "host_path"),
    ("configMap", "config_map"),
    ("secret", "secret"),
    ("downwardAPI", "downward_api"),
    ("projected", "projected"),
    ("persistentVolumeClaim", "persistent_volume_claim"),
    ("nfs", "nfs"),
)


def _check_volume(volume: Volume, place: Place) -> None:
    given = [name for name, attribute in _SOURCES if getattr(volume, attribute) is not None]
    if len(given) > 1:
        raise place.at(given[1]).forbidden("may not specify more than 1 volume type")


DRIVER_WORDS = "a storage driver that hyperd does not have: use persistentVolumeClaim or hostPath"
DRIVERS = (
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker "
    "gcePersistentDisk glusterfs iscsi photonPersistentDisk portworxVolume quobyte rbd scaleIO "
    "storageos vsphereVolume"
).split()
VOLUME = Table(
    "volumes[]",
    Volume,
    (
        acts("name", DNS_LABEL, required=True),
        acts("emptyDir", nested(EMPTY_DIR)),
        acts("hostPath", nested(HOST_PATH)),
        differs("configMap", nested(CONFIG_MAP), "written once, at the pod's creation"),
        differs("secret", nested(SECRET), "written once, at the pod's creation"),
        acts("downwardAPI", nested(DOWNWARD)),
        acts("projected", nested(PROJECTED)),
        acts("persistentVolumeClaim", nested(CLAIM)),
        acts("nfs", nested(NFS)),
        refused("ephemeral", "use emptyDir, or a persistentVolumeClaim"),
        refused("gitRepo", "removed from Kubernetes: use an init container"),
        refused("image", "an image is not mounted as a volume: run it as a container"),
        *(refused(name, DRIVER_WORDS) for name in DRIVERS),
    ),
    _check_volume,
)


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """Where a container sees a volume."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool = False
    mount_propagation: str = "None"


def _check_mount(mount: VolumeMount, place: Place) -> None:
    if mount.sub_path and mount.sub_path_expr:
        raise place.at("subPathExpr").invalid(
            mount.sub_path_expr, "subPathExpr and subPath are mutually exclusive"
        )


MOUNT_FIELDS: tuple[Field, ...] = (
    acts("name", NONEMPTY, required=True),
    acts("mountPath", NONEMPTY, required=True),
    acts("subPath", RELATIVE),
    acts("subPathExpr", RELATIVE),
    acts("readOnly", BOOLEAN),
    acts(
        "mountPropagation",
        only("mounts do not travel between host and VM", "None"),
        "None",
    ),
    refused("recursiveReadOnly", "a mount has no mounts below it here", "Disabled", "IfPossible"),
)
VOLUME_MOUNT = Table("volumeMounts[]", VolumeMount, MOUNT_FIELDS, _check_mount)
