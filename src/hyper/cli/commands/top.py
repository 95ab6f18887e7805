"""hyper top: the processes of a container."""

from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path
from hyper.cli.listing import print_table
from hyper.sdk import answers

_COLUMN_WIDTH = 20  # docker/cli command/container/top.go


def top(call: Invocation) -> int:
    """List the processes of a container."""
    query = {"ps_args": " ".join(call.arguments[1:])}
    answer = call.daemon.call("GET", container_path(call.arguments[0], "/top"), query)
    rows = answers.dig(answer, "Processes")
    print_table(
        answers.strings(answer, "Titles"),
        [[str(cell) for cell in row] for row in rows] if isinstance(rows, list) else [],
        _COLUMN_WIDTH,
    )
    return 0


COMMAND = Command(top, "CONTAINER [ps OPTIONS]", minimum=1, interspersed=False, names="running")
