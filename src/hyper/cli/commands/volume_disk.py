"""hyper volume snapshot, hyper volume resize: volumes that are disk images."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import each_of
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.listing import show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.sdk import answers
from hyper.sdk.http1 import path_of

_FIELDS = ("Name", "CreatedAt", "Size", "Stored")
_HEADERS = {"Name": "SNAPSHOT", "CreatedAt": "CREATED AT", "Size": "SIZE", "Stored": "STORED"}


def _snapshots(volume: str, snapshot: str = "", rest: str = "") -> str:
    below = f"{path_of('/snapshots', snapshot, rest)[1:]}" if snapshot else "/snapshots"
    return path_of("hyper/v1/volumes", volume, below)


def take(call: Invocation) -> int:
    """Take a snapshot of a volume and print its name."""
    volume, name = call.arguments[0], "".join(call.arguments[1:])
    if not name:
        import time

        name = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    made = call.daemon.call("POST", _snapshots(volume), None, {"Name": name})
    print(answers.text(made, "Name"))
    return 0


def list_snapshots(call: Invocation) -> int:
    """List the snapshots of a volume."""
    options = call.options
    found = answers.objects(call.daemon.call("GET", _snapshots(call.arguments[0])), "Items")
    quiet = "Name" if options.on("quiet") else ""
    show([_row(item) for item in found], options.text("format"), _FIELDS, _HEADERS, quiet)
    return 0


def _row(item: dict[str, object]) -> dict[str, object]:
    from hyper.core.units import human_size

    return {
        "Name": answers.text(item, "Name"),
        "CreatedAt": answers.text(item, "CreatedAt"),
        "Size": human_size(answers.number(item, "SizeBytes"), 4),
        "Stored": human_size(answers.number(item, "StoredBytes"), 4),
    }


def remove(call: Invocation) -> int:
    """Delete snapshots of a volume."""
    volume, *names = call.arguments

    def act(name: str) -> None:
        call.daemon.call("DELETE", _snapshots(volume, name))

    return each_of(names, act, print)


def restore(call: Invocation) -> int:
    """Make a volume what it was at a snapshot."""
    volume, name = call.arguments
    print(answers.text(call.daemon.call("POST", _snapshots(volume, name, "/restore")), "Name"))
    return 0


def resize(call: Invocation) -> int:
    """Make a volume larger."""
    from hyper.core.errors import InvalidArgument
    from hyper.core.units import parse_size

    volume, text = call.arguments
    try:
        size = parse_size(text)
    except InvalidArgument as err:
        raise CommandFailed(str(err)) from err
    path = path_of("hyper/v1/volumes", volume, "/resize")
    print(answers.text(call.daemon.call("POST", path, None, {"Size": size}), "Name"))
    return 0


TAKE = Command(
    take,
    "VOLUME [SNAPSHOT]",
    minimum=1,
    maximum=2,
    names="volume",
    description="Take a snapshot of a volume that is a disk image. A pod that writes to it is held "
    "up meanwhile; without a name it is called after the time (UTC).",
)
LS = Command(
    list_snapshots,
    "[OPTIONS] VOLUME",
    minimum=1,
    maximum=1,
    names="volume",
    flags=(
        Flag("format", TEXT, FORMAT_HELP),
        Flag("quiet", BOOL, "Only display names", short="q"),
    ),
)
RM = Command(remove, "VOLUME SNAPSHOT [SNAPSHOT...]", minimum=2, names="volume")
RESTORE = Command(
    restore,
    "VOLUME SNAPSHOT",
    minimum=2,
    maximum=2,
    names="volume",
    description="Make a volume what it was at a snapshot. No pod may be using it; what was written "
    "since is lost unless another snapshot has it.",
)
RESIZE = Command(
    resize,
    "VOLUME SIZE",
    minimum=2,
    maximum=2,
    names="volume",
    description="Make a volume larger (a size such as 10g). No pod may be using it; its file "
    "system follows at its next use.",
)
