"""hyper diff: what a container changed in its image's files."""

from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path
from hyper.sdk import answers

_KINDS = ("C", "A", "D")


def diff(call: Invocation) -> int:
    """List changed (C), added (A) and deleted (D) files."""
    found = call.daemon.call("GET", container_path(call.arguments[0], "/changes"))
    for change in answers.objects(found):
        print(_KINDS[answers.number(change, "Kind") % 3], answers.text(change, "Path"))
    return 0


COMMAND = Command(diff, "CONTAINER", minimum=1, maximum=1, names="container")
