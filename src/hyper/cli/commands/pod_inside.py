"""hyper pod: what is inside a pod: its containers' output, processes, figures, ports, events."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import BOOL, INT, TEXT, Flag
from hyper.cli.listing import print_table, short_id, show
from hyper.cli.usage_texts import FORMAT_HELP, OBJECT_FORMAT_HELP
from hyper.sdk import answers
from hyper.sdk.http1 import path_of

_PS_FIELDS = ("ID", "Name", "Role", "Image", "State", "Ready", "Restarts")
_PS_HEADERS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "Role": "ROLE",
    "Image": "IMAGE",
    "State": "STATE",
    "Ready": "READY",
    "Restarts": "RESTARTS",
    "ExitCode": "EXIT CODE",
    "Names": "NAMES",
}
_PORT_HEADERS = {
    "ContainerPort": "CONTAINER PORT",
    "Protocol": "PROTOCOL",
    "HostIP": "HOST IP",
    "HostPort": "HOST PORT",
}
_SERVICE_HEADERS = {
    "Name": "NAME",
    "Service": "SERVICE",
    "Scheduler": "SCHEDULER",
    "Backends": "BACKENDS",
}
_SINCE = '(e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'


def containers_of(call: Invocation, pod: str) -> "list[dict[str, object]]":
    """Return the containers of a pod, in the order they start."""
    return answers.objects(call.daemon.call("GET", path_of("hyper/v1/pods", pod)), "Containers")


def container_of(call: Invocation, pod: str, name: str) -> "dict[str, object]":
    """Return a container of a pod by its name in the pod; the first main one for "".

    Raises CommandFailed when there is none.
    """
    found = containers_of(call, pod)
    for item in found:
        identifier = answers.text(item, "Id")
        known = (answers.text(item, "NameInPod"), answers.text(item, "Name"), identifier)
        if name in known or (not name and answers.text(item, "Role") == "main"):
            return item
    what = f"no container named {name}" if name else "no container"
    raise CommandFailed(f"pod {pod} has {what}")


def ps(call: Invocation) -> int:
    """List the containers of pods."""
    options = call.options
    rows = []
    for pod in call.arguments:
        for item in containers_of(call, pod):
            state = answers.text(item, "State")
            if state == "exited":
                state += f" ({answers.number(item, 'ExitCode')})"
            rows.append(
                {
                    "ID": short_id(answers.text(item, "Id"), options.on("no-trunc")),
                    "Name": answers.text(item, "NameInPod"),
                    "Names": answers.text(item, "Name"),
                    "Role": answers.text(item, "Role"),
                    "Image": answers.text(item, "Image"),
                    "State": state,
                    "Ready": "yes" if item.get("Ready") else "no",
                    "Restarts": str(answers.number(item, "RestartCount")),
                    "ExitCode": str(answers.number(item, "ExitCode")),
                }
            )
    quiet = "ID" if options.on("quiet") else ""
    show(rows, options.text("format"), _PS_FIELDS, _PS_HEADERS, quiet)
    return 0


def inspect(call: Invocation) -> int:
    """Show all that is known of pods."""
    layout = call.options.text("format")
    found = [call.daemon.call("GET", path_of("hyper/v1/pods", pod)) for pod in call.arguments]
    if not layout:
        import json

        print(json.dumps(found, indent=4, ensure_ascii=False))
        return 0
    from hyper.cli.inspection import compile_layout, print_formatted

    compiled = compile_layout(layout)
    for item in found:
        print_formatted(item, compiled)
    return 0


def logs(call: Invocation) -> int:
    """Print the output of every container of a pod, each line after its container's name."""
    from hyper.cli import signals
    from hyper.cli.pod_logs import PodLogs
    from hyper.cli.timestamps import api_time

    options = call.options
    wanted = set(call.arguments[1:])
    found = containers_of(call, call.arguments[0])
    for name in wanted - {answers.text(item, "NameInPod") for item in found}:
        raise CommandFailed(f"pod {call.arguments[0]} has no container named {name}")
    chosen = [item for item in found if not wanted or answers.text(item, "NameInPod") in wanted]
    query = {
        "stdout": True,
        "stderr": True,
        "follow": options.on("follow"),
        "since": api_time(options.text("since")),
        "until": api_time(options.text("until")),
        "tail": options.text("tail"),
        "timestamps": options.on("timestamps"),
    }
    output = PodLogs(call.daemon, chosen, color=_color(options.text("color")))
    if options.on("no-prefix"):
        output.prefixed = False
    signals.end_on_interrupt()
    output.run(query)
    return 0


def _color(wanted: str) -> bool:
    import os

    if wanted == "auto":
        return os.isatty(1) and not os.environ.get("NO_COLOR")
    return wanted == "always"


def execute(call: Invocation) -> int:
    """Run a command in a container of a running pod; return its exit status."""
    from hyper.cli.commands.exec import execute as execute_in

    call.arguments[0] = _chosen(call)
    return execute_in(call)


def attach(call: Invocation) -> int:
    """Attach to a container of a running pod; return its exit status."""
    from hyper.cli.commands.attach import attach as attach_to

    call.arguments[0] = _chosen(call)
    return attach_to(call)


def _chosen(call: Invocation) -> str:
    found = container_of(call, call.arguments[0], call.options.text("container"))
    return answers.text(found, "Id")


def stats(call: Invocation) -> int:
    """Show what the running containers of pods use; those that come later too."""
    from hyper.cli.commands.stats import show_stats

    def running() -> list[str]:
        found = [
            answers.text(item, "Id")
            for pod in call.arguments
            for item in containers_of(call, pod)
            if answers.text(item, "State") in ("running", "paused")
        ]
        if not found:
            raise CommandFailed("no container of it runs")
        return found

    return show_stats(call, running)


def top(call: Invocation) -> int:
    """List the processes of every running container of a pod."""
    query = {"ps_args": " ".join(call.arguments[1:])}
    titles: list[str] = []
    rows = []
    for item in containers_of(call, call.arguments[0]):
        if answers.text(item, "State") not in ("running", "paused"):
            continue
        path = path_of("containers", answers.text(item, "Id"), "/top")
        answer = call.daemon.call("GET", path, query)
        titles = titles or answers.strings(answer, "Titles")
        listed = answers.dig(answer, "Processes")
        for row in listed if isinstance(listed, list) else []:
            rows.append([answers.text(item, "NameInPod"), *(str(cell) for cell in row)])
    print_table(["CONTAINER", *titles], rows)
    return 0


def events(call: Invocation) -> int:
    """Print the events of pods and of their containers."""
    from hyper.cli.commands.events import events as show_events

    for pod in call.arguments:
        found = call.daemon.call("GET", path_of("hyper/v1/pods", pod))
        call.options.add_filter("pod", answers.text(found, "Id"))
    if not call.arguments:
        call.options.add_filter("type", "pod")
    return show_events(call)


def ports(call: Invocation) -> int:
    """List the published ports of a pod."""
    found = call.daemon.call("GET", path_of("hyper/v1/pods", call.arguments[0], "/ports"))
    layout = call.options.text("format")
    rows = []
    for item in answers.objects(found):
        row = {
            "ContainerPort": str(answers.number(item, "ContainerPort")),
            "Protocol": answers.text(item, "Protocol"),
            "HostIP": answers.text(item, "HostIP") or "0.0.0.0",
            "HostPort": str(answers.number(item, "HostPort")),
        }
        rows.append(row)
        if not layout:
            address = f"[{row['HostIP']}]" if ":" in row["HostIP"] else row["HostIP"]
            print(f"{row['ContainerPort']}/{row['Protocol']} -> {address}:{row['HostPort']}")
    if layout:
        show(rows, layout, tuple(_PORT_HEADERS), _PORT_HEADERS)
    return 0


def _change_ports(call: Invocation, method: str) -> int:
    from hyper.cli.pod_flags import port

    body = {"portmappings": [port(text) for text in call.arguments[1:]]}
    path = path_of("hyper/v1/pods", call.arguments[0], "/ports")
    call.daemon.call(method, path, None, body)
    return 0


def add_ports(call: Invocation) -> int:
    """Publish ports of a pod, now if it runs."""
    _change_ports(call, "POST")
    return ports(call)


def remove_ports(call: Invocation) -> int:
    """Take published ports of a pod away."""
    return _change_ports(call, "DELETE")


def services(call: Invocation) -> int:
    """List the services inside a pod."""
    found = call.daemon.call("GET", path_of("hyper/v1/pods", call.arguments[0], "/services"))
    rows = []
    for item in answers.objects(found):
        backends = [
            f"{answers.text(one, 'Address')}:{answers.number(one, 'Port')}"
            for one in answers.objects(item, "Backends")
        ]
        address = f"{answers.text(item, 'Address')}:{answers.number(item, 'Port')}"
        rows.append(
            {
                "Name": answers.text(item, "Name"),
                "Service": f"{address}/{answers.text(item, 'Protocol')}",
                "Scheduler": answers.text(item, "Scheduler"),
                "Backends": ",".join(backends),
            }
        )
    show(rows, call.options.text("format"), tuple(_SERVICE_HEADERS), _SERVICE_HEADERS)
    return 0


def add_service(call: Invocation) -> int:
    """Add a service inside a pod, or give one other backends; now if the pod runs."""
    from hyper.cli.pod_flags import service

    body = service(call.arguments[1])
    for flag, key in (("name", "name"), ("scheduler", "scheduler"), ("protocol", "protocol")):
        if call.options.given(flag):
            body[key] = call.options.text(flag)
    path = path_of("hyper/v1/pods", call.arguments[0], "/services")
    print(answers.text(call.daemon.call("POST", path, None, body), "Name"))
    return 0


def remove_service(call: Invocation) -> int:
    """Take services inside a pod away."""
    from hyper.cli.each import each_of

    def act(name: str) -> None:
        pod = call.arguments[0]
        call.daemon.call("DELETE", path_of(f"hyper/v1/pods/{pod}/services", name))

    return each_of(call.arguments[1:], act, print)


def resize(call: Invocation) -> int:
    """Change the size of a pod's VM."""
    body: dict[str, object] = {}
    if call.options.given("vcpus"):
        body["VCpus"] = call.options.number("vcpus")
    if call.options.given("memory"):
        body["Memory"] = call.options.number("memory")
    if not body:
        raise CommandFailed("--vcpus or --memory is needed")
    call.daemon.call("POST", path_of("hyper/v1/pods", call.arguments[0], "/resize"), None, body)
    return 0


def _flags() -> "dict[str, Flag]":
    from hyper.cli.flags import SIZE

    return {
        "container": Flag("container", TEXT, "Container: by default the first main one", short="c"),
        "memory": Flag("memory", SIZE, "Memory of its VM", short="m"),
        "vcpus": Flag("vcpus", INT, "Virtual CPUs of its VM"),
    }


def _of(module: str, name: str) -> "tuple[Flag, ...]":
    """Return the flags of the command for containers that one for pods goes through."""
    from hyper.cli import registry

    return registry.load(f"{module}:{name}").flags


_FLAGS = _flags()
PS = Command(
    ps,
    "[OPTIONS] POD [POD...]",
    minimum=1,
    names="pod",
    flags=(
        Flag("format", TEXT, FORMAT_HELP),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only display container IDs", short="q"),
    ),
)
INSPECT = Command(
    inspect,
    "[OPTIONS] POD [POD...]",
    minimum=1,
    names="pod",
    flags=(Flag("format", TEXT, OBJECT_FORMAT_HELP, short="f"),),
)
LOGS = Command(
    logs,
    "[OPTIONS] POD [CONTAINER...]",
    minimum=1,
    names="pod",
    flags=(
        Flag("color", TEXT, "When to colour names", default="auto",
             values=("auto", "always", "never")),
        Flag("follow", BOOL, "Follow log output", short="f"),
        Flag("no-prefix", BOOL, "Print lines without their container's name"),
        Flag("since", TEXT, f"Show logs since timestamp {_SINCE}"),
        Flag("tail", TEXT, "Number of lines to show from the end of each container's logs",
             short="n", default="all"),
        Flag("timestamps", BOOL, "Show timestamps", short="t"),
        Flag("until", TEXT, f"Show logs before a timestamp {_SINCE}"),
    ),
)  # fmt: skip
EXEC = Command(
    execute,
    "[OPTIONS] POD COMMAND [ARG...]",
    minimum=2,
    interspersed=False,
    names="running-pod",
    flags=(_FLAGS["container"], *_of("exec", "")),
)
ATTACH = Command(
    attach,
    "[OPTIONS] POD",
    minimum=1,
    maximum=1,
    names="running-pod",
    flags=(_FLAGS["container"], *_of("attach", "")),
)
STATS = Command(
    stats, "[OPTIONS] POD [POD...]", minimum=1, names="running-pod", flags=_of("stats", "")
)
TOP = Command(top, "POD [ps OPTIONS]", minimum=1, interspersed=False, names="running-pod")
EVENTS = Command(events, "[OPTIONS] [POD...]", names="pod", flags=_of("events", ""))
_FORMAT = Flag("format", TEXT, FORMAT_HELP)
PORT_LS = Command(
    ports,
    "[OPTIONS] POD",
    minimum=1,
    maximum=1,
    names="pod",
    flags=(_FORMAT,),
)
PORT_ADD = Command(add_ports, "POD [IP:][HOST:]PORT[/PROTOCOL]...", minimum=2, names="pod")
PORT_RM = Command(remove_ports, "POD [IP:][HOST:]PORT[/PROTOCOL]...", minimum=2, names="pod")
SERVICE_LS = Command(services, "[OPTIONS] POD", minimum=1, maximum=1, names="pod", flags=(_FORMAT,))
SERVICE_ADD = Command(
    add_service,
    "[OPTIONS] POD ADDRESS:PORT=HOST:PORT[,HOST:PORT...]",
    minimum=2,
    maximum=2,
    names="pod",
    flags=(
        Flag("name", TEXT, "Name of the service (default: its address and port)"),
        Flag("protocol", TEXT, "tcp or udp", values=("tcp", "udp")),
        Flag("scheduler", TEXT, "How backends are chosen",
             values=("rr", "wrr", "lc", "wlc", "sh")),
    ),
)  # fmt: skip
SERVICE_RM = Command(remove_service, "POD SERVICE [SERVICE...]", minimum=2, names="pod")
RESIZE = Command(
    resize,
    "[OPTIONS] POD",
    minimum=1,
    maximum=1,
    names="pod",
    flags=(_FLAGS["memory"], _FLAGS["vcpus"]),
)
