"""hyper system df: the space images, containers and volumes take."""

from hyper.cli.command import Command, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.listing import print_table, show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.core.units import human_size
from hyper.sdk import answers

_FIELDS = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_RUNNING = ("running", "paused", "restarting")


def disk_usage(call: Invocation) -> int:
    """Show disk usage, in detail with -v."""
    usage = call.daemon.call("GET", "/system/df")
    if call.options.on("verbose"):
        _show_details(usage)
        return 0
    show(_rows(usage), call.options.text("format"), _FIELDS, _HEADERS)
    return 0


def _rows(usage: object) -> list[dict[str, object]]:
    images = answers.objects(usage, "Images")
    containers = answers.objects(usage, "Containers")
    volumes = answers.objects(usage, "Volumes")
    layers = answers.number(usage, "LayersSize")
    used = [item for item in images if answers.number(item, "Containers") > 0]
    in_use = sum(
        answers.number(item, "Size") - max(answers.number(item, "SharedSize"), 0) for item in used
    )
    running = [item for item in containers if answers.text(item, "State") in _RUNNING]
    written = sum(answers.number(item, "SizeRw") for item in containers)
    idle = written - sum(answers.number(item, "SizeRw") for item in running)
    linked = [item for item in volumes if answers.number(item, "UsageData", "RefCount") > 0]
    kept = sum(max(answers.number(item, "UsageData", "Size"), 0) for item in volumes)
    unlinked = kept - sum(max(answers.number(item, "UsageData", "Size"), 0) for item in linked)
    return [
        _row("Images", len(images), len(used), layers, layers - in_use),
        _row("Containers", len(containers), len(running), written, idle),
        _row("Local Volumes", len(volumes), len(linked), kept, unlinked),
        {**_row("Build Cache", 0, 0, 0, 0), "Reclaimable": "0B"},
    ]


def _row(kind: str, count: int, active: int, size: int, free: int) -> dict[str, object]:
    text = human_size(free, 4)
    if size > 0:
        text += f" ({free * 100 // size}%)"
    return {
        "Type": kind,
        "TotalCount": str(count),
        "Active": str(active),
        "Size": human_size(size, 4),
        "Reclaimable": text,
    }


def _show_details(usage: object) -> None:
    from hyper.cli.commands.images import image_rows
    from hyper.cli.commands.ps import container_row
    from hyper.cli.commands.volume import volume_row

    print("Images space usage:\n")
    header = "REPOSITORY,TAG,IMAGE ID,CREATED,SIZE,SHARED SIZE,UNIQUE SIZE,CONTAINERS"
    lines = []
    for item in answers.objects(usage, "Images"):
        size, shared = answers.number(item, "Size"), max(answers.number(item, "SharedSize"), 0)
        sizes = [human_size(size, 4), human_size(shared, 4), human_size(size - shared, 4)]
        count = str(max(answers.number(item, "Containers"), 0))
        lines += [
            [
                *(str(row[name]) for name in ("Repository", "Tag", "ID", "CreatedSince")),
                *sizes,
                count,
            ]
            for row in image_rows(item)
        ]
    print_table(header.split(","), lines)
    print("\nContainers space usage:\n")
    header = "CONTAINER ID,IMAGE,COMMAND,LOCAL VOLUMES,SIZE,CREATED,STATUS,NAMES"
    names = ("ID", "Image", "Command", "LocalVolumes", "OwnSize", "RunningFor", "Status", "Names")
    lines = []
    for item in answers.objects(usage, "Containers"):
        container = container_row(item)
        container["OwnSize"] = human_size(answers.number(item, "SizeRw"))
        lines.append([str(container[name]) for name in names])
    print_table(header.split(","), lines)
    print("\nLocal Volumes space usage:\n")
    volumes = [volume_row(item) for item in answers.objects(usage, "Volumes")]
    print_table(
        ["VOLUME NAME", "LINKS", "SIZE"],
        [[str(row[name]) for name in ("Name", "Links", "Size")] for row in volumes],
    )
    print("\nBuild cache usage: 0B\n")
    print_table("CACHE ID,CACHE TYPE,SIZE,CREATED,LAST USED,USAGE,SHARED".split(","), [])


COMMAND = Command(
    disk_usage,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("format", TEXT, FORMAT_HELP),
        Flag("verbose", BOOL, "Show detailed information on space usage", short="v"),
    ),
)
