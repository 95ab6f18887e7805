"""hyper ps: the list of containers."""

from hyper.cli.command import Command, Invocation
from hyper.cli.flags import BOOL, FILTER, INT, TEXT, Flag
from hyper.cli.listing import ago, ellipsis, label_text, local_time, short_id, show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.sdk import answers

FIELDS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Names": "NAMES",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


def ps(call: Invocation) -> int:
    """List containers."""
    options = call.options
    layout = options.text("format")
    limit = 1 if options.on("latest") else options.number("last")
    query = {
        "all": options.on("all"),
        "limit": limit if limit > 0 else None,
        "size": options.on("size") or ".Size" in layout,
        "filters": options.filters(),
    }
    full = options.on("no-trunc")
    found = answers.objects(call.daemon.call("GET", "/containers/json", query))
    fields = (*FIELDS, "Size") if options.on("size") else FIELDS
    quiet = "ID" if options.on("quiet") else ""
    show([container_row(item, full) for item in found], layout, fields, HEADERS, quiet)
    return 0


def container_row(item: dict[str, object], full: bool = False) -> dict[str, object]:
    """Return the fields of one container of the list."""
    labels = answers.mapping(item, "Labels")
    command = answers.text(item, "Command")
    image = answers.text(item, "Image")
    created = answers.number(item, "Created")
    mounts = [
        answers.text(mount, "Name") or answers.text(mount, "Source")
        for mount in answers.objects(item, "Mounts")
    ]
    return {
        "ID": short_id(answers.text(item, "Id"), full),
        "Image": short_id(image) if image.startswith("sha256:") and not full else image,
        "Command": _quoted(command if full else ellipsis(command, _COMMAND_WIDTH)),
        "CreatedAt": local_time(created),
        "RunningFor": ago(created),
        "Ports": port_text(answers.objects(item, "Ports")),
        "State": answers.text(item, "State"),
        "Status": answers.text(item, "Status"),
        "Size": _size(item),
        "Names": ",".join(
            name.removeprefix("/")
            for name in answers.strings(item, "Names")
            if full or name.count("/") == 1
        ),
        "Labels": label_text(labels),
        "Label": lambda name: labels.get(name, ""),
        "LocalVolumes": str(
            sum(answers.text(m, "Driver") == "local" for m in answers.objects(item, "Mounts"))
        ),
        "Mounts": ",".join(name if full else ellipsis(name, _MOUNT_WIDTH) for name in mounts),
        "Networks": ",".join(sorted(answers.mapping(item, "NetworkSettings", "Networks"))),
        "Platform": item.get("ImageManifestDescriptor"),
    }


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _size(item: dict[str, object]) -> str:
    from hyper.core.units import human_size

    own, whole = answers.number(item, "SizeRw"), answers.number(item, "SizeRootFs")
    return human_size(own) + (f" (virtual {human_size(whole)})" if whole else "")


def port_text(ports: list[dict[str, object]]) -> str:
    """Return published and exposed ports as docker words them (DisplayablePorts of docker/cli).

    Ranges are joined where the host's port is the container's.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    closed: list[str] = []
    mapped: list[str] = []
    for private, address, public, kind in sorted(
        (
            answers.number(port, "PrivatePort"),
            answers.text(port, "IP"),
            answers.number(port, "PublicPort"),
            answers.text(port, "Type"),
        )
        for port in ports
    ):
        if address and public != private:
            mapped.append(f"{_host(address)}:{public}->{private}/{kind}")
            continue
        group = groups.setdefault((address, kind), [private, private])
        if private == group[1] + 1:
            group[1] = private
        elif private != group[1]:
            closed.append(_group_text(address, kind, group))
            group[:] = [private, private]
    ending = [_group_text(address, kind, group) for (address, kind), group in groups.items()]
    return ", ".join(closed + ending + mapped)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _group_text(address: str, kind: str, group: list[int]) -> str:
    text = str(group[0]) if group[0] == group[1] else f"{group[0]}-{group[1]}"
    return f"{_host(address)}:{text}->{text}/{kind}" if address else f"{text}/{kind}"


COMMAND = Command(
    ps,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("all", BOOL, "Show all containers (default shows just running)", short="a"),
        Flag("filter", FILTER, "Filter output based on conditions provided", short="f"),
        Flag("format", TEXT, FORMAT_HELP),
        Flag(
            "last",
            INT,
            "Show n last created containers (includes all states)",
            short="n",
            default=-1,
        ),
        Flag("latest", BOOL, "Show the latest created container (includes all states)", short="l"),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only display container IDs", short="q"),
        Flag("size", BOOL, "Display total file sizes", short="s"),
    ),
)
