"""Owns GET /metrics: Prometheus' text format 0.0.4 ("Exposition formats", "Text-based format")."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import hyper
from hyper.core.metrics import Histogram, Metrics
from hyper.engine.states import ContainerState, PodState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]
_STATM_RESIDENT = 1  # proc_pid_statm(5)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is looked at when it is asked for."""

    pods: Mapping[str, int]
    containers: Mapping[str, int]
    vms: int
    waiting: int
    images: int
    received_bytes: int
    sent_bytes: int


def text(metrics: Metrics, now: Gauges) -> str:
    """Return every metric."""
    families = [
        _family("hyper_build_info", "gauge", "The version that runs.", [({"version": _V}, 1)]),
        _family("hyper_pods", "gauge", "Pods by state.", _states(PodState, now.pods)),
        _family(
            "hyper_containers",
            "gauge",
            "Containers by state.",
            _states(ContainerState, now.containers),
        ),
        _family("hyper_vms", "gauge", "Virtual machines of pods that run.", [({}, now.vms)]),
        _family(
            "hyper_waiting_vms",
            "gauge",
            "Cloned virtual machines that wait for a pod.",
            [({}, now.waiting)],
        ),
        _family("hyper_images", "gauge", "Images in the store.", [({}, now.images)]),
        _histogram(
            "hyper_container_start_seconds",
            "Time from the request to start a container until its process runs.",
            metrics.starts,
        ),
        *_counters(metrics, now),
        *_process(),
    ]
    return "".join(families)


_V = hyper.__version__


def _counters(metrics: Metrics, now: Gauges) -> Iterable[str]:
    streams = ({"stream": name} for name in ("stdin", "stdout", "stderr"))
    yield _family(
        "hyper_container_start_failures_total",
        "counter",
        "Containers that did not start, by class of the error.",
        (({"class": name}, count) for name, count in sorted(metrics.start_failures.items())),
    )
    yield _family(
        "hyper_stream_bytes_total",
        "counter",
        "Bytes of containers' and execs' streams.",
        ((labels, metrics.stream_bytes[labels["stream"]]) for labels in streams),
    )
    yield _family(
        "hyper_registry_received_bytes_total",
        "counter",
        "Bytes received from registries.",
        [({}, now.received_bytes)],
    )
    yield _family(
        "hyper_registry_sent_bytes_total",
        "counter",
        "Bytes of layers and manifests sent to registries.",
        [({}, now.sent_bytes)],
    )
    yield _family(
        "hyper_api_requests_total",
        "counter",
        "Requests to the API, by operation and status.",
        (
            ({"operation": operation, "code": code}, count)
            for (operation, code), count in sorted(metrics.requests.items())
        ),
    )
    yield _family(
        "hyper_api_errors_total",
        "counter",
        "Errors answered by the API, by class.",
        (({"class": name}, count) for name, count in sorted(metrics.errors.items())),
    )


def _process() -> Iterable[str]:
    """Yield what Prometheus' client libraries say of their own process, under their names."""
    times = os.times()
    resident = int(Path("/proc/self/statm").read_text().split()[_STATM_RESIDENT])
    for name, kind, what, value in (
        ("process_cpu_seconds_total", "counter", "CPU time used.", times.user + times.system),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory of hyperd.",
            resident * os.sysconf("SC_PAGE_SIZE"),
        ),
        ("process_open_fds", "gauge", "Open descriptors.", len(os.listdir("/proc/self/fd"))),
    ):
        yield _family(name, kind, what, [({}, value)])


def _states(
    states: Iterable[PodState] | Iterable[ContainerState], counted: Mapping[str, int]
) -> Iterable[tuple[Labels, int]]:
    return (({"state": str(state)}, counted.get(state, 0)) for state in states)


def _family(name: str, kind: str, what: str, samples: Iterable[tuple[Labels, float]]) -> str:
    lines = [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _histogram(name: str, what: str, histogram: Histogram) -> str:
    lines = [f"# HELP {name} {what}", f"# TYPE {name} histogram"]
    below = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        below += count
        lines.append(f"{name}_bucket{_labels({'le': _number(bound)})} {below}")
    lines += [f"{name}_sum {_number(histogram.total)}", f"{name}_count {below}"]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(value)
