"""hyper pod: what is done to pods as a whole. Their output and insides are in pod_inside.py."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import each, each_of
from hyper.cli.flags import BOOL, FILTER, INT, TEXT, Flag
from hyper.cli.listing import ago, label_text, short_id, show
from hyper.cli.pod_flags import CREATE_FLAGS, document
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.core.units import binary_size
from hyper.sdk import answers
from hyper.sdk.http1 import path_of

_FIELDS = ("ID", "Name", "State", "Containers", "Memory", "VCPUs", "RunningFor")
_HEADERS = {
    "ID": "POD ID",
    "Name": "NAME",
    "State": "STATE",
    "Containers": "CONTAINERS",
    "Memory": "MEMORY",
    "VCPUs": "VCPUS",
    "RunningFor": "CREATED",
    "CreatedAt": "CREATED AT",
    "Kernel": "KERNEL",
    "Labels": "LABELS",
    "IPAddress": "IP ADDRESS",
    "Pid": "PID",
}


def pod_path(name: str, rest: str = "") -> str:
    """Return the API's path of a pod."""
    return path_of("hyper/v1/pods", name, rest)


def list_pods(call: Invocation) -> int:
    """List pods; those made for a lone container only with --all."""
    options = call.options
    query = {"lone": "1" if options.on("all") else "0", "filters": options.filters()}
    found = answers.objects(call.daemon.call("GET", "/hyper/v1/pods", query))
    rows = [_row(item, options.on("no-trunc")) for item in found]
    quiet = "ID" if options.on("quiet") else ""
    show(rows, options.text("format"), _FIELDS, _HEADERS, quiet)
    return 0


def _row(item: dict[str, object], full: bool) -> dict[str, object]:
    from hyper.cli.timestamps import seconds

    labels = answers.mapping(item, "Labels")
    memory = answers.number(item, "Memory")
    containers = item.get("Containers")
    return {
        "ID": short_id(answers.text(item, "Id"), full),
        "Name": answers.text(item, "Name"),
        "State": answers.text(item, "State"),
        "Containers": str(len(containers) if isinstance(containers, list) else 0),
        "Memory": binary_size(memory) if memory else "default",
        "VCPUs": str(answers.number(item, "VCpus") or "default"),
        "RunningFor": ago(seconds(answers.text(item, "Created"))),
        "CreatedAt": answers.text(item, "Created"),
        "Kernel": answers.text(item, "Kernel"),
        "Labels": label_text(labels),
        "Label": lambda name: labels.get(name, ""),
        "IPAddress": answers.text(item, "IPAddress"),
        "Pid": str(answers.number(item, "Pid")),
    }


def create(call: Invocation) -> int:
    """Create a pod from a document or from flags, and print its id."""
    print(answers.text(make(call, start=False), "Id"))
    return 0


def make(call: Invocation, *, start: bool, remove: bool = False) -> object:
    """Create a pod, start it if asked, and return the daemon's answer. Pulls missing images."""
    from hyper.cli.pod_flags import create_pod

    return create_pod(call, document(call), start=start, remove=remove)


def _verb(name: str, query: "tuple[str, ...]" = ()) -> "Command":
    def act(call: Invocation) -> int:
        options = call.options
        asked = {"t": options.value("timeout")} if "timeout" in query else {}
        if "signal" in query:
            asked["signal"] = options.text("signal")

        def one(pod: str) -> None:
            call.daemon.call("POST", pod_path(pod, f"/{name}"), asked)

        return each(call, one)

    flags = {
        "timeout": Flag("timeout", INT, "Seconds to wait before killing the containers", short="t"),
        "signal": Flag("signal", TEXT, "Signal to send to the containers", short="s"),
    }
    names = "running-pod" if name in ("stop", "kill", "pause") else "pod"
    chosen = tuple(flags[item] for item in query)
    usage = "[OPTIONS] POD [POD...]" if chosen else "POD [POD...]"
    return Command(act, usage, minimum=1, names=names, flags=chosen)


def remove(call: Invocation) -> int:
    """Remove pods."""
    query = {"force": call.options.on("force"), "v": call.options.on("volumes")}

    def act(name: str) -> None:
        call.daemon.call("DELETE", pod_path(name), query)

    return each_of(call.arguments, act, print, missing_is_fine=call.options.on("force"))


def wait(call: Invocation) -> int:
    """Wait until no container of the pods runs; print the status of the last one of each."""
    statuses: list[int] = []

    def act(name: str) -> None:
        answer = call.daemon.call("POST", pod_path(name, "/wait"))
        statuses.append(answers.number(answer, "StatusCode"))

    return each_of(call.arguments, act, lambda name: print(statuses[-1]))


def label(call: Invocation) -> int:
    """Set labels (KEY=VALUE) of a pod, or take them away (KEY-)."""
    wanted: dict[str, str] = {}
    removed = []
    for word in call.arguments[1:]:
        key, equals, value = word.partition("=")
        if equals and key:
            wanted[key] = value
        elif word.endswith("-") and len(word) > 1:
            removed.append(word[:-1])
        else:
            raise CommandFailed(f"{word}: KEY=VALUE sets a label, KEY- takes it away")
    body = {"Set": wanted, "Remove": removed}
    answer = call.daemon.call("POST", pod_path(call.arguments[0], "/labels"), None, body)
    print(label_text(answers.mapping(answer, "Labels")))
    return 0


def remove_container(call: Invocation) -> int:
    """Remove containers from a pod."""
    pod, *names = call.arguments
    query = {"force": call.options.on("force"), "v": call.options.on("volumes")}

    def act(name: str) -> None:
        call.daemon.call("DELETE", path_of(f"hyper/v1/pods/{pod}/containers", name), query)

    return each_of(names, act, print)


START = _verb("start")
STOP = _verb("stop", ("timeout",))
RESTART = _verb("restart", ("timeout",))
KILL = _verb("kill", ("signal",))
PAUSE = _verb("pause")
UNPAUSE = _verb("unpause")
CREATE = Command(create, "[OPTIONS] [IMAGE...]", flags=CREATE_FLAGS, names="image")
_REMOVAL = (
    Flag("force", BOOL, "Also when it runs", short="f"),
    Flag("volumes", BOOL, "Remove anonymous volumes too", short="v"),
)
RM = Command(remove, "[OPTIONS] POD [POD...]", minimum=1, names="pod", flags=_REMOVAL)
RM_CONTAINER = Command(
    remove_container,
    "[OPTIONS] POD CONTAINER [CONTAINER...]",
    minimum=2,
    names="pod",
    flags=_REMOVAL,
)
WAIT = Command(wait, "POD [POD...]", minimum=1, names="pod")
LABEL = Command(label, "POD [KEY=VALUE|KEY-...]", minimum=1, names="pod")
LS = Command(
    list_pods,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("all", BOOL, "Also pods that were made for one container", short="a"),
        Flag("filter", FILTER, "Filter output: label, name, state", short="f"),
        Flag("format", TEXT, FORMAT_HELP),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only display pod IDs", short="q"),
    ),
)
