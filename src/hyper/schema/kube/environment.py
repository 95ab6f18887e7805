"""Owns env and envFrom: their documents. What they amount to is in values.py."""

import re
from dataclasses import dataclass
from fractions import Fraction

from hyper.schema.kube.codecs import BOOLEAN, NONEMPTY, QUANTITY, TEXT, named
from hyper.schema.kube.fields import Table, acts, many, nested, refused
from hyper.schema.kube.names import variable
from hyper.schema.kube.place import Place


@dataclass(frozen=True, slots=True)
class KeyReference:
    """A key of a ConfigMap or a Secret; an `optional` one may be missing."""

    name: str = ""
    key: str = ""
    optional: bool = False


KEY_REFERENCE = Table(
    "configMapKeyRef, secretKeyRef",
    KeyReference,
    (
        acts("name", NONEMPTY, required=True),
        acts("key", NONEMPTY, required=True),
        acts("optional", BOOLEAN),
    ),
)


@dataclass(frozen=True, slots=True)
class FieldReference:
    """A field of the pod itself."""

    field_path: str = ""
    api_version: str = "v1"


SUBSCRIPTED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
FIELD_REFERENCE = Table(
    "fieldRef",
    FieldReference,
    (
        acts(
            "fieldPath",
            NONEMPTY,
            "metadata.name, .namespace, .labels['KEY'], .annotations['KEY']; "
            "spec.nodeName, spec.serviceAccountName; status.podIP(s), status.hostIP(s)",
            required=True,
        ),
        acts("apiVersion", TEXT),
    ),
)


@dataclass(frozen=True, slots=True)
class ResourceReference:
    """A request or limit of a container, in units of `divisor`, rounded up."""

    resource: str = ""
    container_name: str = ""
    divisor: Fraction = Fraction(1)


def _check_resource(reference: ResourceReference, place: Place) -> None:
    kind, _, name = reference.resource.partition(".")
    known = ("cpu", "memory", "ephemeral-storage")
    if kind not in ("limits", "requests") or name not in known:
        words = [f"{kind}.{name}" for kind in ("limits", "requests") for name in known]
        raise place.at("resource").not_one_of(reference.resource, words)


RESOURCE_REFERENCE = Table(
    "resourceFieldRef",
    ResourceReference,
    (
        acts("resource", NONEMPTY, "of a container that sets it", required=True),
        acts("containerName", TEXT),
        acts("divisor", QUANTITY),
    ),
    _check_resource,
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a variable's value comes from; exactly one."""

    field_ref: FieldReference | None = None
    resource_field_ref: ResourceReference | None = None
    config_map_key_ref: KeyReference | None = None
    secret_key_ref: KeyReference | None = None


def _check_source(source: Source, place: Place) -> None:
    given = (
        source.field_ref,
        source.resource_field_ref,
        source.config_map_key_ref,
        source.secret_key_ref,
    )
    count = sum(item is not None for item in given)
    if count == 0:
        raise place.invalid(
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, "
            "`configMapKeyRef` or `secretKeyRef`",
        )
    if count > 1:
        raise place.invalid("", "may not have more than one field specified at a time")


SOURCE = Table(
    "valueFrom",
    Source,
    (
        acts("fieldRef", nested(FIELD_REFERENCE)),
        acts("resourceFieldRef", nested(RESOURCE_REFERENCE)),
        acts("configMapKeyRef", nested(KEY_REFERENCE)),
        acts("secretKeyRef", nested(KEY_REFERENCE)),
        refused("fileKeyRef", "variables out of files of a volume are not read"),
    ),
    _check_source,
)


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable; $(NAME) in `value` is replaced."""

    name: str = ""
    value: str = ""
    value_from: Source | None = None


def _check_variable(one: Variable, place: Place) -> None:
    if one.value and one.value_from:
        raise place.at("valueFrom").invalid("", "may not be specified when `value` is not empty")


VARIABLE = Table(
    "env[]",
    Variable,
    (
        acts("name", named(variable), required=True),
        acts("value", TEXT, "$(NAME) and $$ as in Kubernetes"),
        acts("valueFrom", nested(SOURCE)),
    ),
    _check_variable,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A whole ConfigMap or Secret."""

    name: str = ""
    optional: bool = False


REFERENCE = Table(
    "configMapRef, secretRef",
    Reference,
    (acts("name", NONEMPTY, required=True), acts("optional", BOOLEAN)),
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """All the keys of a ConfigMap or a Secret as variables."""

    prefix: str = ""
    config_map_ref: Reference | None = None
    secret_ref: Reference | None = None


def _check_bundle(bundle: Bundle, place: Place) -> None:
    if bundle.config_map_ref and bundle.secret_ref:
        raise place.invalid("", "may not have more than one field specified at a time")
    if not bundle.config_map_ref and not bundle.secret_ref:
        raise place.invalid("", "must specify one of: `configMapRef` or `secretRef`")


BUNDLE = Table(
    "envFrom[]",
    Bundle,
    (
        acts("prefix", TEXT),
        acts("configMapRef", nested(REFERENCE)),
        acts("secretRef", nested(REFERENCE)),
    ),
    _check_bundle,
)
VARIABLES = many(nested(VARIABLE))
BUNDLES = many(nested(BUNDLE))
