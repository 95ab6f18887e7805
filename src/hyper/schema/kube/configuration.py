"""Owns ConfigMaps and Secrets: what containers are given as variables and files."""

from dataclasses import dataclass

from hyper.schema.kube.codecs import BASE64, PAIRS
from hyper.schema.kube.fields import Table, acts, idle, mapped, nested
from hyper.schema.kube.metadata import ANONYMOUS, METADATA, Metadata
from hyper.schema.kube.names import config_key
from hyper.schema.kube.place import Place

MAXIMUM_BYTES = 1024 * 1024
Contents = dict[str, bytes]
_IMMUTABLE = "nothing changes what was played"


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """Named texts and bytes."""

    metadata: Metadata = ANONYMOUS
    data: tuple[tuple[str, str], ...] = ()
    binary_data: tuple[tuple[str, bytes], ...] = ()

    @property
    def contents(self) -> Contents:
        """Every key with its bytes."""
        return {key: text.encode() for key, text in self.data} | dict(self.binary_data)


@dataclass(frozen=True, slots=True)
class Secret:
    """Named bytes; string_data wins over data."""

    metadata: Metadata = ANONYMOUS
    data: tuple[tuple[str, bytes], ...] = ()
    string_data: tuple[tuple[str, str], ...] = ()

    @property
    def contents(self) -> Contents:
        """Every key with its bytes."""
        return dict(self.data) | {key: text.encode() for key, text in self.string_data}


def _check_keys(value: ConfigMap | Secret, place: Place) -> None:
    other = value.binary_data if isinstance(value, ConfigMap) else value.string_data
    for field, pairs in (("data", value.data), ("binaryData", other)):
        for key, _ in pairs:
            if problem := config_key(key):
                raise place.at(field).key(key).invalid(key, problem)
    if isinstance(value, ConfigMap):
        for key in dict(value.data).keys() & dict(value.binary_data).keys():
            raise place.at("data").key(key).invalid(key, "duplicate of key present in binaryData")
    if sum(map(len, value.contents.values())) > MAXIMUM_BYTES:
        raise place.at("data").invalid("...", f"Too long: must have at most {MAXIMUM_BYTES} bytes")


CONFIG_MAP = Table(
    "ConfigMap",
    ConfigMap,
    (
        acts("metadata", nested(METADATA), required=True),
        acts("data", PAIRS),
        acts("binaryData", mapped(BASE64)),
        idle("immutable", _IMMUTABLE, True, False),
    ),
    _check_keys,
)
SECRET = Table(
    "Secret",
    Secret,
    (
        acts("metadata", nested(METADATA), required=True),
        acts("data", mapped(BASE64)),
        acts("stringData", PAIRS),
        idle("type", "every Secret is a set of keys", "Opaque"),
        idle("immutable", _IMMUTABLE, True, False),
    ),
    _check_keys,
)
