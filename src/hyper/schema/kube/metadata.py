"""Owns metadata of objects and of pod templates, and label selectors."""

from dataclasses import dataclass

from hyper.schema.kube.codecs import ANNOTATIONS, DNS_SUBDOMAIN, LABELS, named
from hyper.schema.kube.fields import Field, Table, acts, differs, idle, nested, refused
from hyper.schema.kube.names import dns_label
from hyper.schema.kube.place import Place

DEFAULT_NAMESPACE = "default"
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an object is called."""

    name: str = ""
    namespace: str = DEFAULT_NAMESPACE
    labels: Pairs = ()
    annotations: Pairs = ()


ANONYMOUS = Metadata()

_SERVER = "written by an API server"
_FIELDS: tuple[Field, ...] = (
    acts("name", DNS_SUBDOMAIN),
    differs(
        "namespace",
        named(dns_label),
        "what metadata.namespace gives in a pod; names are unique across all namespaces",
    ),
    acts("labels", LABELS, "labels of the pod and its containers"),
    acts("annotations", ANNOTATIONS, "annotations of the pod"),
    refused("generateName", "a play must find its pods again: give a name"),
    idle("creationTimestamp", _SERVER),
    idle("uid", _SERVER),
    idle("resourceVersion", _SERVER),
    idle("generation", _SERVER),
    idle("selfLink", _SERVER),
    idle("managedFields", _SERVER),
    idle("ownerReferences", "nothing collects objects whose owner is gone"),
    idle("deletionTimestamp", _SERVER),
    idle("deletionGracePeriodSeconds", _SERVER),
    refused("finalizers", "nothing here would run them"),
)


def _named(metadata: Metadata, place: Place) -> None:
    if not metadata.name:
        raise place.at("name").required("name or generateName is required")


METADATA = Table("metadata", Metadata, _FIELDS, _named)
TEMPLATE_METADATA = Table("template.metadata", Metadata, _FIELDS)


@dataclass(frozen=True, slots=True)
class Selector:
    """Which pods belong to a workload: those of its own template."""

    match_labels: Pairs = ()


SELECTS_NONE = Selector()

SELECTOR = Table(
    "selector",
    Selector,
    (
        acts("matchLabels", LABELS, "checked against the template's labels"),
        refused("matchExpressions", "pods are found by the workload's name: use matchLabels", None),
    ),
)
SELECTOR_CODEC = nested(SELECTOR)
