"""hyper restart: containers stopped and started."""

from hyper.cli.command import Command, Invocation
from hyper.cli.commands.stop import STOP_FLAGS, stop_query
from hyper.cli.each import container_path, each


def restart(call: Invocation) -> int:
    """Restart containers."""
    query = stop_query(call.options)
    path = "/restart"
    return each(call, lambda name: call.daemon.call("POST", container_path(name, path), query))


COMMAND = Command(
    restart, "[OPTIONS] CONTAINER [CONTAINER...]", minimum=1, flags=STOP_FLAGS, names="container"
)
