"""Owns Services: names, and virtual addresses, by which pods are found and balanced."""

from dataclasses import dataclass

from hyper.core.pod_spec import NetworkService
from hyper.core.pod_spec import ServicePort as BalancedPort
from hyper.schema.kube.codecs import BOOLEAN, DNS_LABEL, LABELS, PORT, PORT_NUMBER, choice, only
from hyper.schema.kube.fields import Table, acts, differs, idle, many, nested, refused
from hyper.schema.kube.metadata import ANONYMOUS, METADATA, Metadata
from hyper.schema.kube.place import Place

DOMAIN = "svc.cluster.local"
HEADLESS = "None"
CLUSTER_IP, NODE_PORT, LOAD_BALANCER = "ClusterIP", "NodePort", "LoadBalancer"
_CHOSEN = "addresses are chosen: leave it out, or say None for a name of the pods themselves"
_NO_BALANCER = "nothing outside the machine balances: its ports are published on the host"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service; target_port 0 is the same, node_port 0 a free one."""

    port: int = 0
    target_port: int | str = 0
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0


SERVICE_PORT = Table(
    "service ports[]",
    ServicePort,
    (
        acts("port", PORT_NUMBER, required=True),
        acts("targetPort", PORT, "a port of the pods, by number or by its name"),
        acts("name", DNS_LABEL),
        acts("protocol", only("SCTP is not carried", "TCP", "UDP")),
        differs("nodePort", PORT_NUMBER, "a port of this host; absent: a free one of 30000-32767"),
        idle("appProtocol", "ports are carried as they are"),
    ),
)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """Which pods a name leads to, and how."""

    selector: tuple[tuple[str, str], ...] = ()
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = ""
    type: str = CLUSTER_IP
    session_affinity: str = "None"
    publish_not_ready_addresses: bool = False


def _check(spec: ServiceSpec, place: Place) -> None:
    if not spec.selector:
        raise place.at("selector").refused("without one there are no pods the name leads to")
    headless = spec.cluster_ip == HEADLESS
    if headless and spec.type != CLUSTER_IP:
        raise place.at("clusterIP").invalid(HEADLESS, f"may not be None for type {spec.type}")
    if not spec.ports and not headless:
        raise place.at("ports").required()
    for at, port in enumerate(spec.ports):
        if port.node_port and spec.type == CLUSTER_IP:
            where = place.at("ports").item(at).at("nodePort")
            raise where.invalid(port.node_port, "may not be used when type is ClusterIP")


SERVICE_SPEC = Table(
    "Service spec",
    ServiceSpec,
    (
        differs("selector", LABELS, "pods on the network `kube`, of this play and of others"),
        acts("ports", many(nested(SERVICE_PORT))),
        differs(
            "clusterIP",
            only(_CHOSEN, "", HEADLESS),
            "absent: a free address of the network; None: the name has the addresses of the "
            "ready pods",
        ),
        differs(
            "type",
            only("use hostAliases", CLUSTER_IP, NODE_PORT, LOAD_BALANCER),
            "NodePort publishes each port as nodePort on the host, LoadBalancer as itself",
        ),
        refused("clusterIPs", _CHOSEN, [HEADLESS]),
        refused("externalName", "use hostAliases"),
        refused("externalIPs", _NO_BALANCER),
        refused("loadBalancerIP", _NO_BALANCER),
        idle("loadBalancerClass", _NO_BALANCER),
        refused("loadBalancerSourceRanges", "published ports of a Service are open to all"),
        idle("allocateLoadBalancerNodePorts", _NO_BALANCER, True, False),
        refused("healthCheckNodePort", _NO_BALANCER),
        idle("externalTrafficPolicy", "there is one node", "Cluster"),
        idle("internalTrafficPolicy", "there is one node", "Cluster"),
        acts("sessionAffinity", choice("None", "ClientIP")),
        idle("sessionAffinityConfig", "a client stays with its pod as long as the pods stay"),
        acts("publishNotReadyAddresses", BOOLEAN),
        idle("ipFamilies", "virtual addresses are of IPv4", ["IPv4"]),
        idle("ipFamilyPolicy", "virtual addresses are of IPv4", "SingleStack"),
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


def is_headless(service: Service) -> bool:
    """Return whether a service has no address of its own."""
    return service.spec.cluster_ip == HEADLESS


def names(service: Service) -> tuple[str, ...]:
    """Return what leads to a service."""
    namespace, own = service.metadata.namespace, service.metadata.name
    forms = (own, f"{own}.{namespace}", f"{own}.{namespace}.svc")
    return (*forms, f"{own}.{namespace}.{DOMAIN}")


def pod_names_of(service: Service, pod: str) -> tuple[str, ...]:
    """Return what leads to one of a service's pods, ready or not."""
    return tuple(f"{pod}.{form}" for form in names(service))


def balanced(service: Service, network: str) -> NetworkService:
    """Return the virtual address, or only the names, that a service asks for."""
    spec = service.spec
    return NetworkService(
        name=service.metadata.name,
        network=network,
        selector=spec.selector,
        ports=tuple(
            BalancedPort(
                port.port,
                port.protocol.lower(),
                str(port.target_port or ""),
                _published(port, spec),
            )
            for port in spec.ports
        ),
        names=names(service),
        sticky=spec.session_affinity == "ClientIP",
        unready=spec.publish_not_ready_addresses,
        headless=is_headless(service),
    )


def _published(port: ServicePort, spec: ServiceSpec) -> int:
    if spec.type == LOAD_BALANCER:
        return port.port
    return port.node_port or -1 if spec.type == NODE_PORT else 0
