"""hyper load: images from a tar archive."""

import os

from hyper.cli.archives import read_pieces
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.progress import ProgressDisplay


def load(call: Invocation) -> int:
    """Load images from a file or from stdin."""
    options = call.options
    source = options.text("input")
    if not source and os.isatty(0):
        raise CommandFailed("requested load from stdin, but stdin is empty")
    query: dict[str, object] = {"quiet": options.on("quiet") or not os.isatty(1)}
    if options.text("platform"):
        from hyper.cli.values import platform_object

        query["platform"] = platform_object(options.text("platform"))
    response = call.daemon.open("POST", "/images/load", query, read_pieces(source))
    ProgressDisplay(1).show_all(response.json_stream())
    return 0


COMMAND = Command(
    load,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("input", TEXT, "Read from tar archive file, instead of STDIN", short="i"),
        Flag("platform", TEXT, "Load only the given platform variant"),
        Flag("quiet", BOOL, "Suppress the load output", short="q"),
    ),
)
