"""hyper create: a container from an image, not started."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.container_body import create_body
from hyper.cli.container_flags import CREATE_FLAGS


def create(call: Invocation) -> int:
    """Create a container and print its id."""
    from hyper.cli import creation

    body = create_body(call.options, call.arguments)
    try:
        print(creation.create(call, body))
    except CommandFailed as err:
        raise CommandFailed(str(err)) from err  # docker's 125 is for run
    return 0


COMMAND = Command(
    create,
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    minimum=1,
    flags=CREATE_FLAGS,
    interspersed=False,
    failure_status=125,
    names="image",
)
