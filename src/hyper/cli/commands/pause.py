"""hyper pause and unpause: all processes of containers halted, and going on."""

from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path, each


def pause(call: Invocation) -> int:
    """Pause containers."""
    return each(call, lambda name: call.daemon.call("POST", container_path(name, "/pause")))


def unpause(call: Invocation) -> int:
    """Let paused containers go on."""
    return each(call, lambda name: call.daemon.call("POST", container_path(name, "/unpause")))


COMMAND = Command(pause, "CONTAINER [CONTAINER...]", minimum=1, names="running")
UNPAUSE = Command(unpause, "CONTAINER [CONTAINER...]", minimum=1, names="running")
