"""Owns the kinds that stand for pods made from a template: what each means on one machine."""

from dataclasses import dataclass
from typing import Any

from hyper.schema.kube.claim import CLAIM_TEMPLATE, Claim
from hyper.schema.kube.codecs import DNS_LABEL, LABELS, NUMBER, choice, integer
from hyper.schema.kube.containers import ALWAYS, NEVER, ON_FAILURE
from hyper.schema.kube.fields import Table, acts, differs, idle, many, nested, refused
from hyper.schema.kube.metadata import (
    ANONYMOUS,
    METADATA,
    SELECTOR_CODEC,
    SELECTS_NONE,
    Metadata,
    Selector,
)
from hyper.schema.kube.place import Place
from hyper.schema.kube.pod import EMPTY_POD, TEMPLATE, UNCHECKED_TEMPLATE, Pod, check_pod_spec

_NO_ROLLOUT = "a changed document is played anew, with --replace"
_STATUS = idle("status", "written by an API server")
_METADATA = acts("metadata", nested(METADATA), required=True)
_TEMPLATE = acts("template", nested(TEMPLATE), required=True)
# A machine is not a cluster; and a number alone must not make a daemon fill its memory.
MAXIMUM_PODS = 250
_COUNT = integer(0, MAXIMUM_PODS)
_REPLICAS = differs("replicas", _COUNT, "as many pods, NAME-0, NAME-1, ...; none is made anew")
_SELECTOR = acts("selector", SELECTOR_CODEC, required=True)


@dataclass(frozen=True, slots=True)
class Replicas:
    """The spec of a Deployment, ReplicaSet or DaemonSet."""

    template: Pod = EMPTY_POD
    selector: Selector = SELECTS_NONE
    replicas: int = 1


def _check_template(spec: Replicas, place: Place) -> None:
    labels = spec.template.metadata.labels
    if not spec.selector.match_labels:
        raise place.at("selector").required()
    if missing := set(spec.selector.match_labels) - set(labels):
        raise (
            place.at("template")
            .at("metadata")
            .at("labels")
            .invalid(dict(labels), f"`selector` does not match template `labels`: {missing}")
        )
    policy = spec.template.spec.restart_policy
    if policy != ALWAYS:
        raise place.at("template").at("spec").at("restartPolicy").not_one_of(policy, (ALWAYS,))


DEPLOYMENT_SPEC = Table(
    "Deployment spec",
    Replicas,
    (
        _TEMPLATE,
        _SELECTOR,
        _REPLICAS,
        idle("strategy", _NO_ROLLOUT),
        idle("minReadySeconds", _NO_ROLLOUT, 0),
        idle("revisionHistoryLimit", _NO_ROLLOUT),
        idle("progressDeadlineSeconds", _NO_ROLLOUT),
        refused("paused", "there are no rollouts that could be paused", False),
    ),
    _check_template,
)
REPLICA_SET_SPEC = Table(
    "ReplicaSet spec",
    Replicas,
    (_TEMPLATE, _SELECTOR, _REPLICAS, idle("minReadySeconds", _NO_ROLLOUT, 0)),
    _check_template,
)
DAEMON_SET_SPEC = Table(
    "DaemonSet spec",
    Replicas,
    (
        _TEMPLATE,
        _SELECTOR,
        idle("updateStrategy", _NO_ROLLOUT),
        idle("minReadySeconds", _NO_ROLLOUT, 0),
        idle("revisionHistoryLimit", _NO_ROLLOUT),
    ),
    _check_template,
)


@dataclass(frozen=True, slots=True)
class Controlled:
    """The spec of a ReplicationController, whose selector is a plain map."""

    template: Pod = EMPTY_POD
    selector: tuple[tuple[str, str], ...] = ()
    replicas: int = 1


CONTROLLER_SPEC = Table(
    "ReplicationController spec",
    Controlled,
    (
        _TEMPLATE,
        acts("selector", LABELS, "checked against the template's labels"),
        _REPLICAS,
        idle("minReadySeconds", _NO_ROLLOUT, 0),
    ),
)


@dataclass(frozen=True, slots=True)
class Ordinals:
    """Where the numbers of a StatefulSet's pods start."""

    start: int = 0


@dataclass(frozen=True, slots=True)
class Stateful:
    """The spec of a StatefulSet."""

    template: Pod = EMPTY_POD
    selector: Selector = SELECTS_NONE
    replicas: int = 1
    service_name: str = ""
    volume_claim_templates: tuple[Claim, ...] = ()
    ordinals: Ordinals = Ordinals()


def _check_stateful(spec: Stateful, place: Place) -> None:
    claimed = frozenset(claim.metadata.name for claim in spec.volume_claim_templates)
    check_pod_spec(spec.template.spec, place.at("template").at("spec"), claimed)
    _check_template(Replicas(spec.template, spec.selector), place)


_ORDINALS = Table("ordinals", Ordinals, (acts("start", NUMBER),))
STATEFUL_SET_SPEC = Table(
    "StatefulSet spec",
    Stateful,
    (
        acts("template", nested(UNCHECKED_TEMPLATE), required=True),
        _SELECTOR,
        acts("replicas", _COUNT, "pods NAME-0, NAME-1, ..., started one after another"),
        differs("serviceName", DNS_LABEL, "the pods' subdomain; see Service"),
        acts("volumeClaimTemplates", many(nested(CLAIM_TEMPLATE)), "a volume CLAIM-POD each"),
        acts("ordinals", nested(_ORDINALS)),
        idle("podManagementPolicy", "pods start one after another", "OrderedReady"),
        idle("updateStrategy", _NO_ROLLOUT),
        idle("minReadySeconds", _NO_ROLLOUT, 0),
        idle("revisionHistoryLimit", _NO_ROLLOUT),
        idle(
            "persistentVolumeClaimRetentionPolicy",
            "`--down` keeps volumes, `--down --force` removes them",
        ),
    ),
    _check_stateful,
)


INDEXED = "Indexed"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """The spec of a Job."""

    template: Pod = EMPTY_POD
    parallelism: int = 1
    completions: int | None = None
    backoff_limit: int = 6
    active_deadline_seconds: int = 0
    completion_mode: str = "NonIndexed"


def _check_job(spec: JobSpec, place: Place) -> None:
    policy = spec.template.spec.restart_policy
    if policy == ALWAYS:
        raise (
            place.at("template")
            .at("spec")
            .at("restartPolicy")
            .not_one_of(policy, (ON_FAILURE, NEVER))
        )
    if spec.completion_mode == INDEXED and spec.completions is None:
        raise place.at("completions").required("when completion mode is Indexed")
    if spec.completions is not None and not spec.parallelism:
        raise place.at("parallelism").refused("0: play it when it is to run")


JOB_SPEC = Table(
    "Job spec",
    JobSpec,
    (
        _TEMPLATE,
        differs(
            "parallelism",
            _COUNT,
            "as many pods run at a time; the play goes on until the last has started",
        ),
        acts("completions", integer(1, MAXIMUM_PODS), "as many pods, else parallelism's"),
        differs(
            "backoffLimit",
            NUMBER,
            "restarts of each container with restartPolicy OnFailure; no pod is made anew",
        ),
        differs("activeDeadlineSeconds", integer(1), "of each pod, from its own start"),
        acts("completionMode", choice("NonIndexed", INDEXED)),
        idle("ttlSecondsAfterFinished", "a finished pod stays until `--down` or `hyper pod rm`"),
        refused("suspend", "play it when it is to run", False),
        refused("manualSelector", "pods are found by the job's name", False),
        refused("selector", "pods are found by the job's name"),
        refused("podFailurePolicy", "restarts do not depend on exit codes"),
        refused("successPolicy", "a job succeeds when its pods do"),
        refused("backoffLimitPerIndex", "no pod is made anew"),
        refused("maxFailedIndexes", "no pod is made anew"),
        idle("podReplacementPolicy", "no pod is made anew"),
        refused("managedBy", "there are no other controllers"),
    ),
    _check_job,
)


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that stands for pods; `spec` says by its class what kind it is."""

    metadata: Metadata = ANONYMOUS
    spec: Replicas | Controlled | Stateful | JobSpec = Replicas()


_SPECS: tuple[tuple[str, Table[Any]], ...] = (
    ("Deployment", DEPLOYMENT_SPEC),
    ("ReplicaSet", REPLICA_SET_SPEC),
    ("ReplicationController", CONTROLLER_SPEC),
    ("StatefulSet", STATEFUL_SET_SPEC),
    ("DaemonSet", DAEMON_SET_SPEC),
    ("Job", JOB_SPEC),
)
WORKLOADS: dict[str, Table[Workload]] = {
    kind: Table(kind, Workload, (_METADATA, acts("spec", nested(spec), required=True), _STATUS))
    for kind, spec in _SPECS
}


def pod_names(workload: Workload) -> list[str]:
    """Return the names of a workload's pods, in the order of their start."""
    first = workload.spec.ordinals.start if isinstance(workload.spec, Stateful) else 0
    own = workload.metadata.name
    return [f"{own}-{first + number}" for number in range(_count(workload.spec))]


def _count(spec: Replicas | Controlled | Stateful | JobSpec) -> int:
    if isinstance(spec, JobSpec):
        return spec.parallelism if spec.completions is None else spec.completions
    return spec.replicas
