"""hyper volume: named volumes."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import each_of
from hyper.cli.flags import BOOL, FILTER, ITEMS, MAP, TEXT, Flag
from hyper.cli.listing import label_text, show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.cli.values import pairs
from hyper.sdk import answers
from hyper.sdk.http1 import path_of

_FIELDS = ("Driver", "Name")
_HEADERS = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Availability": "AVAILABILITY",
    "Group": "GROUP",
    "Status": "STATUS",
}


def create(call: Invocation) -> int:
    """Create a volume and print its name."""
    options = call.options
    names = [*call.arguments, *([options.text("name")] if options.text("name") else [])]
    if len(names) > 1:
        raise CommandFailed(
            "conflicting options: cannot specify a volume-name through both --name "
            "and as a positional arg"
        )
    body: dict[str, object] = {"Driver": options.text("driver")}
    if names:
        body["Name"] = names[0]
    if options.given("label"):
        body["Labels"] = pairs(options.items("label"))
    if options.given("opt"):
        body["DriverOpts"] = pairs(options.items("opt"))
    print(answers.text(call.daemon.call("POST", "/volumes/create", None, body), "Name"))
    return 0


def list_volumes(call: Invocation) -> int:
    """List volumes."""
    options = call.options
    answer = call.daemon.call("GET", "/volumes", {"filters": options.filters()})
    found = sorted(answers.objects(answer, "Volumes"), key=lambda item: answers.text(item, "Name"))
    quiet = "Name" if options.on("quiet") else ""
    show([volume_row(item) for item in found], options.text("format"), _FIELDS, _HEADERS, quiet)
    return 0


def volume_row(item: dict[str, object]) -> dict[str, object]:
    """Return the fields of one volume of the list."""
    from hyper.core.units import human_size

    labels = answers.mapping(item, "Labels")
    usage = answers.mapping(item, "UsageData")
    size = answers.number(usage, "Size")
    return {
        "Name": answers.text(item, "Name"),
        "Driver": answers.text(item, "Driver"),
        "Scope": answers.text(item, "Scope"),
        "Mountpoint": answers.text(item, "Mountpoint"),
        "Labels": label_text(labels),
        "Label": lambda name: labels.get(name, ""),
        "Links": str(answers.number(usage, "RefCount")) if usage else "N/A",
        "Size": human_size(size, 4) if usage and size >= 0 else "N/A",
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    }


def remove(call: Invocation) -> int:
    """Remove volumes."""
    query = {"force": call.options.on("force")}

    def act(name: str) -> None:
        call.daemon.call("DELETE", path_of("volumes", name), query)

    return each_of(call.arguments, act, print)


CREATE = Command(
    create,
    "[OPTIONS] [VOLUME]",
    maximum=1,
    flags=(
        Flag(
            "driver",
            TEXT,
            "Specify volume driver name",
            short="d",
            default="local",
            values=("local", "directory", "memory", "nfs", "qcow2", "raw"),
        ),
        Flag("label", ITEMS, "Set metadata for a volume"),
        Flag("name", TEXT, "Specify volume name", hidden=True),
        Flag("opt", MAP, "Set driver specific options", short="o"),
    ),
)
LS = Command(
    list_volumes,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("filter", FILTER, 'Provide filter values (e.g. "dangling=true")', short="f"),
        Flag("format", TEXT, FORMAT_HELP),
        Flag("quiet", BOOL, "Only display volume names", short="q"),
    ),
)
RM = Command(
    remove,
    "[OPTIONS] VOLUME [VOLUME...]",
    minimum=1,
    names="volume",
    description="Remove one or more volumes. You cannot remove a volume that is in use by a "
    "container.",
    flags=(Flag("force", BOOL, "Force the removal of one or more volumes", short="f"),),
)
