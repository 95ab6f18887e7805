"""hyper rm: containers removed."""

from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path, each_of
from hyper.cli.flags import BOOL, Flag


def remove(call: Invocation) -> int:
    """Remove containers."""
    options = call.options
    query = {
        "force": options.on("force"),
        "v": options.on("volumes"),
        "link": options.on("link"),
    }

    def act(name: str) -> None:
        call.daemon.call("DELETE", container_path(name), query)

    return each_of(call.arguments, act, print, missing_is_fine=options.on("force"))


COMMAND = Command(
    remove,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    minimum=1,
    names="container",
    flags=(
        Flag("force", BOOL, "Force the removal of a running container (uses SIGKILL)", short="f"),
        Flag("link", BOOL, "Remove the specified link", short="l"),
        Flag("volumes", BOOL, "Remove anonymous volumes associated with the container", short="v"),
    ),
)
