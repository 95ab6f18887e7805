"""Owns the document of a pod, alone and as a template of others."""

from dataclasses import dataclass

from hyper.schema.kube.codecs import (
    BOOLEAN,
    DNS_LABEL,
    NUMBER,
    STRINGS,
    TEXT,
    choice,
    integer,
)
from hyper.schema.kube.compute import NO_LIMITS, POD_REQUIREMENTS, Requirements
from hyper.schema.kube.containers import (
    ALWAYS,
    CONTAINER,
    INIT_CONTAINER,
    NEVER,
    ON_FAILURE,
    Container,
    check_container,
    check_init_container,
)
from hyper.schema.kube.fields import Field, Table, acts, differs, idle, many, nested, refused
from hyper.schema.kube.metadata import ANONYMOUS, METADATA, TEMPLATE_METADATA, Metadata
from hyper.schema.kube.place import Place
from hyper.schema.kube.security import KUBERNETES_DEFAULTS, POD_SECURITY, PodSecurity
from hyper.schema.kube.volumes import VOLUME, Volume


@dataclass(frozen=True, slots=True)
class HostAlias:
    """A line of /etc/hosts."""

    ip: str = ""
    hostnames: tuple[str, ...] = ()


HOST_ALIAS = Table(
    "hostAliases[]",
    HostAlias,
    (acts("ip", TEXT, required=True), acts("hostnames", STRINGS)),
)


@dataclass(frozen=True, slots=True)
class DnsOption:
    """An option of resolv.conf."""

    name: str = ""
    value: str = ""


DNS_OPTION = Table(
    "dnsConfig.options[]", DnsOption, (acts("name", TEXT, required=True), acts("value", TEXT))
)


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """What resolv.conf says."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


DNS_CONFIG = Table(
    "dnsConfig",
    DnsConfig,
    (
        differs("nameservers", STRINGS, "instead of the daemon's, not in addition"),
        acts("searches", STRINGS),
        acts("options", many(nested(DNS_OPTION))),
    ),
)


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What a pod consists of."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = ALWAYS
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int = 0
    hostname: str = ""
    subdomain: str = ""
    host_aliases: tuple[HostAlias, ...] = ()
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig = DnsConfig()
    security_context: PodSecurity = KUBERNETES_DEFAULTS
    share_process_namespace: bool = False
    resources: Requirements = NO_LIMITS
    service_account_name: str = ""


MAXIMUM_CONTAINERS = 100
_ONE_NODE = "there is one node"
_NO_NAMESPACE = "a VM shares no namespace with the host"
_NO_QUEUE = "nothing competes for the node: a pod starts or fails at once"
_FIELDS: tuple[Field, ...] = (
    acts("containers", many(nested(CONTAINER)), required=True),
    acts("initContainers", many(nested(INIT_CONTAINER))),
    acts("volumes", many(nested(VOLUME))),
    differs(
        "restartPolicy",
        choice(ALWAYS, ON_FAILURE, NEVER),
        "with Docker's delays: 100 ms doubling to a minute",
    ),
    acts("terminationGracePeriodSeconds", NUMBER),
    acts("activeDeadlineSeconds", integer(1)),
    acts("hostname", DNS_LABEL, "by default the pod's name"),
    differs("subdomain", DNS_LABEL, "the domain name in /etc/hosts; no zone of a DNS server"),
    acts("hostAliases", many(nested(HOST_ALIAS))),
    differs(
        "dnsPolicy",
        choice("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        "None asks only dnsConfig's servers, through the resolver of the network, which knows the "
        "names there; the others mean the daemon's",
    ),
    acts("dnsConfig", nested(DNS_CONFIG)),
    acts("securityContext", nested(POD_SECURITY)),
    acts("shareProcessNamespace", BOOLEAN),
    acts("resources", nested(POD_REQUIREMENTS)),
    differs(
        "serviceAccountName", TEXT, "what spec.serviceAccountName gives; there is no API server"
    ),
    idle("serviceAccount", "deprecated: use serviceAccountName"),
    idle("automountServiceAccountToken", "there is no API server and no token", False),
    idle("imagePullSecrets", "credentials are those of `hyper login`"),
    idle("nodeName", _ONE_NODE),
    idle("nodeSelector", _ONE_NODE),
    idle("affinity", _ONE_NODE),
    idle("tolerations", _ONE_NODE),
    idle("topologySpreadConstraints", _ONE_NODE),
    idle("schedulerName", _ONE_NODE, "default-scheduler"),
    idle("priorityClassName", _NO_QUEUE),
    idle("priority", _NO_QUEUE, 0),
    idle("preemptionPolicy", _NO_QUEUE),
    idle("overhead", _NO_QUEUE),
    idle("runtimeClassName", "every pod is a virtual machine"),
    idle("enableServiceLinks", "there are no variables of services", True, False),
    refused("os", "Hyper runs Linux", {"name": "linux"}),
    refused("hostNetwork", f"{_NO_NAMESPACE}: publish ports with hostPort", False),
    refused("hostPID", _NO_NAMESPACE, False),
    refused("hostIPC", _NO_NAMESPACE, False),
    idle("hostUsers", "root in a pod is root of its own VM only", True, False),
    refused("setHostnameAsFQDN", "there is no cluster domain", False),
    refused("hostnameOverride", "use hostname"),
    refused("ephemeralContainers", "debug with `hyper exec`"),
    refused("readinessGates", "nothing here would set the conditions"),
    refused("schedulingGates", "nothing here would remove the gates"),
    refused("resourceClaims", "there are no devices to claim"),
)


def check_pod_spec(spec: PodSpec, place: Place, claimed: frozenset[str] = frozenset()) -> None:
    """Judge a pod as a whole; `claimed` are volumes that its workload adds."""
    if not spec.containers:
        raise place.at("containers").required()
    count = len(spec.containers) + len(spec.init_containers)
    if count > MAXIMUM_CONTAINERS:
        raise place.at("containers").invalid(
            count, f"must have at most {MAXIMUM_CONTAINERS} containers"
        )
    volumes: set[str] = set()
    for at, volume in enumerate(spec.volumes):
        if volume.name in volumes:
            raise place.at("volumes").item(at).at("name").duplicate(volume.name)
        volumes.add(volume.name)
    known = claimed | volumes
    taken: set[str] = set()
    published: set[tuple[str, str, int]] = set()
    for kind, members in (
        ("initContainers", spec.init_containers),
        ("containers", spec.containers),
    ):
        for at, container in enumerate(members):
            where = place.at(kind).item(at)
            if container.name in taken:
                raise where.at("name").duplicate(container.name)
            taken.add(container.name)
            check_container(container, where, known)
            if kind == "initContainers":
                check_init_container(container, where)
            _check_host_ports(container, where.at("ports"), published)
    _check_dns(spec, place)


def _check_host_ports(
    container: Container, place: Place, published: set[tuple[str, str, int]]
) -> None:
    for at, port in enumerate(container.ports):
        if not port.host_port:
            continue
        key = (port.host_ip, port.protocol, port.host_port)
        if key in published:
            raise place.item(at).at("hostPort").duplicate(port.host_port)
        published.add(key)


def _check_dns(spec: PodSpec, place: Place) -> None:
    if spec.dns_policy == "None" and not spec.dns_config.nameservers:
        raise (
            place.at("dnsConfig")
            .at("nameservers")
            .required("must provide at least one DNS nameserver when `dnsPolicy` is None")
        )


def _check_alone(spec: PodSpec, place: Place) -> None:
    check_pod_spec(spec, place)


POD_SPEC = Table("pod spec", PodSpec, _FIELDS, _check_alone)
UNCHECKED_POD_SPEC = Table("pod spec", PodSpec, _FIELDS)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod: its name and what it consists of."""

    metadata: Metadata = ANONYMOUS
    spec: PodSpec = PodSpec()


EMPTY_POD = Pod()

_STATUS = idle("status", "written by an API server")
POD = Table(
    "Pod",
    Pod,
    (
        acts("metadata", nested(METADATA), required=True),
        acts("spec", nested(POD_SPEC), required=True),
        _STATUS,
    ),
)
_TEMPLATE_METADATA = acts("metadata", nested(TEMPLATE_METADATA))
TEMPLATE = Table(
    "template", Pod, (_TEMPLATE_METADATA, acts("spec", nested(POD_SPEC), required=True))
)
# Of a StatefulSet, which checks it together with the volumes it claims.
UNCHECKED_TEMPLATE = Table(
    "template", Pod, (_TEMPLATE_METADATA, acts("spec", nested(UNCHECKED_POD_SPEC), required=True))
)
