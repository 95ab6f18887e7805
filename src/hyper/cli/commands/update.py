"""hyper update: other limits for containers, running or not."""

import sys

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.container_body import parse_restart, resource_fields
from hyper.cli.container_flags import IDENTITY, LIMITS
from hyper.cli.each import container_path, each
from hyper.sdk import answers

_FLAGS = (*LIMITS, *(flag for flag in IDENTITY if flag.name == "restart"))


def update(call: Invocation) -> int:
    """Change limits and the restart policy of containers."""
    if not call.options.given(*(flag.name for flag in _FLAGS)):
        raise CommandFailed("you must provide one or more flags when using this command")
    body = resource_fields(call.options)
    if call.options.given("restart"):
        body["RestartPolicy"] = parse_restart(call.options.text("restart"))
    warnings: list[str] = []

    def act(name: str) -> None:
        answer = call.daemon.call("POST", container_path(name, "/update"), None, body)
        warnings.extend(answers.strings(answer, "Warnings"))

    status = each(call, act)
    for warning in warnings:
        print(warning, file=sys.stderr)
    return status


COMMAND = Command(
    update, "[OPTIONS] CONTAINER [CONTAINER...]", minimum=1, flags=_FLAGS, names="container"
)
