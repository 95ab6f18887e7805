"""hyper stats: what containers use, as it changes."""

import sys

from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.listing import short_id, show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.sdk import answers
from hyper.sdk.daemon import Daemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_FIELDS = (
    *("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"),
    "PodMem",
)
_HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
    "PodMem": "POD MEM",  # what the host gives for its pod: the PSS of the VMM
}
_CLEAR = "\x1b[2J\x1b[H"


def stats(call: Invocation) -> int:
    """Show usage, again and again unless --no-stream."""
    return show_stats(call, lambda: call.arguments or _names(call))


def show_stats(call: Invocation, find: "Callable[[], list[str]]") -> int:
    """Show the usage of the containers that `find` finds, each time anew."""
    while True:
        names = find()
        rows = _rows(call, names)
        if not call.options.on("no-stream"):
            sys.stdout.write(_CLEAR)
        show(rows, call.options.text("format"), _FIELDS, _HEADERS)
        if call.options.on("no-stream"):
            return 0
        sys.stdout.flush()
        if not names:
            _wait_for_start(call)


def _names(call: Invocation) -> list[str]:
    query = {"all": call.options.on("all")}
    found = answers.objects(call.daemon.call("GET", "/containers/json", query))
    return [answers.text(item, "Id") for item in found]


def _wait_for_start(call: Invocation) -> None:
    """Return when a container starts: with none running there is nothing to draw."""
    filters = {"type": ["container"], "event": ["start"]}
    response = call.daemon.open("GET", "/events", {"filters": filters})
    for _ in response.json_stream():
        break
    response.close()


def _rows(call: Invocation, names: list[str]) -> list[dict[str, object]]:
    """Return the containers' fields. The daemon measures each for a second, so all at once."""
    from concurrent.futures import ThreadPoolExecutor

    def measure(name: str) -> object:
        daemon = Daemon(call.address, start=False)
        found = daemon.call("GET", container_path(name, "/stats"), {"stream": 0})
        daemon.close()
        return found

    with ThreadPoolExecutor(max(len(names), 1)) as threads:
        measured = threads.map(measure, names)
        pods = _pod_bytes(call) if names else {}
        full = call.options.on("no-trunc")
        return [
            usage_row(name, found, pods, full) for name, found in zip(names, measured, strict=True)
        ]


def _pod_bytes(call: Invocation) -> dict[str, int]:
    """Return what the pod of each container takes of the host, where that can be read."""
    found = call.daemon.call("GET", "/hyper/v1/memory")
    return {
        str(container): size
        for pod in answers.objects(found, "Pods")
        if isinstance(size := pod.get("Pss"), int)
        for container in answers.strings(pod, "Containers")
    }


def usage_row(
    name: str, found: object, pods: dict[str, int], full: bool = False
) -> dict[str, object]:
    """Return the fields of a container's statistics; `pods` has the bytes of containers' pods."""
    from hyper.core.units import binary_size, human_size

    used, limit = _memory(found)
    received, sent = _network(found)
    read, written = _block(found)
    pod = pods.get(answers.text(found, "id"))
    return {
        "Container": name,
        "ID": short_id(answers.text(found, "id"), full),
        "Name": answers.text(found, "name").removeprefix("/"),
        "CPUPerc": f"{_cpu_percent(found):.2f}%",
        "MemUsage": f"{binary_size(used)} / {binary_size(limit)}",
        "MemPerc": f"{used * 100 / limit if limit else 0:.2f}%",
        "NetIO": f"{human_size(received)} / {human_size(sent)}",
        "BlockIO": f"{human_size(read)} / {human_size(written)}",
        "PIDs": str(answers.number(found, "pids_stats", "current")),
        "PodMem": "-" if pod is None else binary_size(pod),
    }


def _cpu_percent(found: object) -> float:
    now, before = answers.mapping(found, "cpu_stats"), answers.mapping(found, "precpu_stats")
    used = answers.number(now, "cpu_usage", "total_usage") - answers.number(
        before, "cpu_usage", "total_usage"
    )
    whole = answers.number(now, "system_cpu_usage") - answers.number(before, "system_cpu_usage")
    count = answers.number(now, "online_cpus") or 1
    return used / whole * count * 100 if used > 0 and whole > 0 else 0.0


def _memory(found: object) -> tuple[int, int]:
    """Return (used, limit); pages that can be dropped do not count as used, as with docker."""
    used = answers.number(found, "memory_stats", "usage")
    for name in ("total_inactive_file", "inactive_file"):
        dropped = answers.number(found, "memory_stats", "stats", name)
        if 0 < dropped < used:
            used -= dropped
            break
    return used, answers.number(found, "memory_stats", "limit")


def _network(found: object) -> tuple[int, int]:
    cards = answers.mapping(found, "networks").values()
    return (
        sum(answers.number(card, "rx_bytes") for card in cards),
        sum(answers.number(card, "tx_bytes") for card in cards),
    )


def _block(found: object) -> tuple[int, int]:
    read = written = 0
    for item in answers.objects(found, "blkio_stats", "io_service_bytes_recursive"):
        match answers.text(item, "op").lower():
            case "read":
                read += answers.number(item, "value")
            case "write":
                written += answers.number(item, "value")
    return read, written


COMMAND = Command(
    stats,
    "[OPTIONS] [CONTAINER...]",
    names="running",
    flags=(
        Flag("all", BOOL, "Show all containers (default shows just running)", short="a"),
        Flag("format", TEXT, FORMAT_HELP),
        Flag("no-stream", BOOL, "Disable streaming stats and only pull the first result"),
        Flag("no-trunc", BOOL, "Do not truncate output"),
    ),
)
