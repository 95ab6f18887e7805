"""hyper rename: another name for a container."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import container_path
from hyper.sdk.errors import ApiError


def rename(call: Invocation) -> int:
    """Rename a container."""
    old, new = (name.strip() for name in call.arguments)
    if not old or not new:
        raise CommandFailed("Error: Neither old nor new names may be empty")
    try:
        call.daemon.call("POST", container_path(old, "/rename"), {"name": new})
    except ApiError as err:
        raise CommandFailed(
            f"Error response from daemon: {err}\nError: failed to rename container named {old}"
        ) from err
    return 0


COMMAND = Command(rename, "CONTAINER NEW_NAME", minimum=2, maximum=2, names="container")
