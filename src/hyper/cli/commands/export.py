"""hyper export: a container's files as a tar archive."""

from hyper.cli.archives import FILE_FLAG, save_stream
from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path


def export(call: Invocation) -> int:
    """Write a container's files to a file or to stdout."""
    path = container_path(call.arguments[0], "/export")
    target = call.options.text("output")
    save_stream(target, lambda: call.daemon.open("GET", path), "export container")
    return 0


COMMAND = Command(
    export, "[OPTIONS] CONTAINER", minimum=1, maximum=1, names="container", flags=(FILE_FLAG,)
)
