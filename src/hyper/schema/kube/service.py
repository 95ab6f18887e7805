"""Owns Services: names by which the pods of a play find each other."""

from dataclasses import dataclass

from hyper.schema.kube.codecs import DNS_LABEL, LABELS, PORT, PORT_NUMBER, only
from hyper.schema.kube.fields import Table, acts, differs, idle, many, nested, refused
from hyper.schema.kube.metadata import ANONYMOUS, METADATA, Metadata
from hyper.schema.kube.place import Place

DOMAIN = "svc.cluster.local"
_NO_PROXY = "a name leads to the pods themselves"
_NO_BALANCER = "nothing outside the machine balances: publish ports with hostPort"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service; target_port 0 is the same."""

    port: int = 0
    target_port: int | str = 0
    name: str = ""
    protocol: str = "TCP"


def _check_port(port: ServicePort, place: Place) -> None:
    if isinstance(port.target_port, int) and port.target_port:
        check_target(port.target_port, port.port, place.at("targetPort"))


def check_target(target: int, port: int, place: Place) -> None:
    """Refuse a target port other than the service's own: nothing is translated."""
    if target != port:
        raise place.refused(f"{target} is not port {port}: {_NO_PROXY}, where they listen")


SERVICE_PORT = Table(
    "service ports[]",
    ServicePort,
    (
        differs("port", PORT_NUMBER, "the pods must listen on it: nothing is translated"),
        differs("targetPort", PORT, "the same as port, or a container's port by name"),
        acts("name", DNS_LABEL),
        acts("protocol", only("SCTP is not carried", "TCP", "UDP")),
        refused("nodePort", _NO_BALANCER),
        idle("appProtocol", _NO_PROXY),
    ),
    _check_port,
)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """Which pods a name leads to."""

    selector: tuple[tuple[str, str], ...] = ()
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = ""
    type: str = "ClusterIP"


def _check(spec: ServiceSpec, place: Place) -> None:
    if not spec.selector:
        raise place.at("selector").refused("without one there are no pods the name leads to")


SERVICE_SPEC = Table(
    "Service spec",
    ServiceSpec,
    (
        differs("selector", LABELS, "pods of the same play"),
        acts("ports", many(nested(SERVICE_PORT))),
        differs(
            "clusterIP",
            only("there are no virtual addresses; None is what happens anyhow", "", "None"),
            "None or absent: the name has the addresses of the pods",
        ),
        acts("type", only(_NO_BALANCER, "ClusterIP"), "ClusterIP"),
        refused("clusterIPs", "there are no virtual addresses", ["None"]),
        refused("externalName", "use hostAliases"),
        refused("externalIPs", _NO_BALANCER),
        refused("loadBalancerIP", _NO_BALANCER),
        refused("loadBalancerClass", _NO_BALANCER),
        refused("loadBalancerSourceRanges", _NO_BALANCER),
        refused("allocateLoadBalancerNodePorts", _NO_BALANCER, False),
        refused("healthCheckNodePort", _NO_BALANCER),
        refused("externalTrafficPolicy", _NO_BALANCER, "Cluster"),
        idle("internalTrafficPolicy", "there is one node", "Cluster"),
        idle("sessionAffinity", _NO_PROXY, "None"),
        idle("sessionAffinityConfig", _NO_PROXY),
        idle("publishNotReadyAddresses", "names do not depend on readiness", True),
        idle("ipFamilies", "the network has what the machine has"),
        idle("ipFamilyPolicy", "the network has what the machine has"),
        idle("trafficDistribution", "there is one node"),
    ),
    _check,
)
NO_SERVICE = ServiceSpec()


@dataclass(frozen=True, slots=True)
class Service:
    """A name for pods."""

    metadata: Metadata = ANONYMOUS
    spec: ServiceSpec = NO_SERVICE


SERVICE = Table(
    "Service",
    Service,
    (
        acts("metadata", nested(METADATA), required=True),
        acts("spec", nested(SERVICE_SPEC), required=True),
        idle("status", "written by an API server"),
    ),
)


def names(service: Service, pod: str) -> tuple[str, ...]:
    """Return what leads to one of the service's pods: the service's name, and its own below it."""
    metadata = service.metadata
    own = metadata.name
    forms = (own, f"{own}.{metadata.namespace}", f"{own}.{metadata.namespace}.svc")
    every = (*forms, f"{own}.{metadata.namespace}.{DOMAIN}")
    return (*every, *(f"{pod}.{form}" for form in every))
