"""hyper search: not offered; the daemon says why."""

from hyper.cli.command import Command, Invocation
from hyper.cli.flags import BOOL, FILTER, INT, TEXT, Flag


def search(call: Invocation) -> int:
    """Ask the daemon, whose answer is an error."""
    call.daemon.call("GET", "/images/search", {"term": call.arguments[0]})
    return 0


COMMAND = Command(
    search,
    "[OPTIONS] TERM",
    minimum=1,
    maximum=1,
    flags=(
        Flag("filter", FILTER, "Filter output based on conditions provided", short="f"),
        Flag("format", TEXT, "Pretty-print search using a Go template"),
        Flag("limit", INT, "Max number of search results"),
        Flag("no-trunc", BOOL, "Don't truncate output"),
    ),
)
