"""hyper history: the layers an image was made of, newest first."""

from hyper.cli.command import Command, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.listing import ago, ellipsis, short_id, show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.sdk import answers
from hyper.sdk.http1 import path_of

_FIELDS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
_EXACT_FIELDS = ("ID", "CreatedAt", "CreatedBy", "Size", "Comment")
_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_COMMAND_WIDTH = 45


def history(call: Invocation) -> int:
    """Show the history of an image."""
    options = call.options
    name = call.arguments[0]
    found = answers.objects(call.daemon.call("GET", path_of("images", name, "/history")))
    full, human = options.on("no-trunc"), options.on("human")
    rows = [_row(item, full, human) for item in found]
    fields = _FIELDS if human else _EXACT_FIELDS
    quiet = "ID" if options.on("quiet") else ""
    show(rows, options.text("format"), fields, _HEADERS, quiet)
    return 0


def _row(item: dict[str, object], full: bool, human: bool) -> dict[str, object]:
    from hyper.core.units import human_size

    created = answers.number(item, "Created")
    command = answers.text(item, "CreatedBy").replace("\t", " ")
    size = answers.number(item, "Size")
    identifier = answers.text(item, "Id")
    return {
        "ID": identifier if identifier == "<missing>" else short_id(identifier, full),
        "CreatedSince": ago(created) if created > 0 else "N/A",
        "CreatedAt": _rfc3339(created),
        "CreatedBy": command if full else ellipsis(command, _COMMAND_WIDTH),
        "Size": human_size(size) if human else str(size),
        "Comment": answers.text(item, "Comment"),
    }


def _rfc3339(seconds: int) -> str:
    import time

    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    return text[:-5] + ("Z" if text.endswith("0000") else f"{text[-5:-2]}:{text[-2:]}")


COMMAND = Command(
    history,
    "[OPTIONS] IMAGE",
    minimum=1,
    maximum=1,
    names="image",
    flags=(
        Flag("format", TEXT, FORMAT_HELP),
        Flag(
            "human", BOOL, "Print sizes and dates in human readable format", short="H", default=True
        ),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only show image IDs", short="q"),
    ),
)
