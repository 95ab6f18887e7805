"""hyper kill: a signal to the first process of containers."""

from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path, each
from hyper.cli.flags import TEXT, Flag


def kill(call: Invocation) -> int:
    """Send a signal to containers, SIGKILL by default."""
    query = {"signal": call.options.text("signal")}
    return each(call, lambda name: call.daemon.call("POST", container_path(name, "/kill"), query))


COMMAND = Command(
    kill,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    minimum=1,
    names="running",
    flags=(Flag("signal", TEXT, "Signal to send to the container", short="s"),),
)
