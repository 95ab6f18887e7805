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
    layout = call.options.text("format")
    if not call.options.on("verbose"):
        show(_rows(usage), layout, _FIELDS, _HEADERS)
    elif layout in ("", "table"):
        _show_details(_details(usage))
    else:
        show([_details(usage)], layout, (), {})
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


def _details(usage: object) -> dict[str, list[dict[str, object]]]:
    """Return the rows of each part, as --format sees them."""
    from hyper.cli.commands.images import image_rows
    from hyper.cli.commands.ps import container_row
    from hyper.cli.commands.volume import volume_row

    images = []
    for item in answers.objects(usage, "Images"):
        size, shared = answers.number(item, "Size"), max(answers.number(item, "SharedSize"), 0)
        own = {
            "SharedSize": human_size(shared, 4),
            "UniqueSize": human_size(size - shared, 4),
            "Containers": str(max(answers.number(item, "Containers"), 0)),
        }
        images += [{**row, **own} for row in image_rows(item)]
    containers = []
    for item in answers.objects(usage, "Containers"):
        size_text = human_size(answers.number(item, "SizeRw"))
        containers.append({**container_row(item), "Size": size_text})
    volumes = [volume_row(item) for item in answers.objects(usage, "Volumes")]
    return {"Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": []}


def _show_details(details: dict[str, list[dict[str, object]]]) -> None:
    def table(headers: str, names: str, rows: list[dict[str, object]]) -> None:
        lines = [[str(row[name]) for name in names.split()] for row in rows]
        print_table(headers.split(","), lines)

    print("Images space usage:\n")
    header = "REPOSITORY,TAG,IMAGE ID,CREATED,SIZE,SHARED SIZE,UNIQUE SIZE,CONTAINERS"
    names = "Repository Tag ID CreatedSince VirtualSize SharedSize UniqueSize Containers"
    table(header, names, details["Images"])
    print("\nContainers space usage:\n")
    header = "CONTAINER ID,IMAGE,COMMAND,LOCAL VOLUMES,SIZE,CREATED,STATUS,NAMES"
    names = "ID Image Command LocalVolumes Size RunningFor Status Names"
    table(header, names, details["Containers"])
    print("\nLocal Volumes space usage:\n")
    table("VOLUME NAME,LINKS,SIZE", "Name Links Size", details["Volumes"])
    print("\nBuild cache usage: 0B\n")
    table("CACHE ID,CACHE TYPE,SIZE,CREATED,LAST USED,USAGE,SHARED", "", [])


COMMAND = Command(
    disk_usage,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("format", TEXT, FORMAT_HELP),
        Flag("verbose", BOOL, "Show detailed information on space usage", short="v"),
    ),
)
