"""hyper start: stopped containers started again."""

import os
import sys

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.container_flags import DETACH_KEYS
from hyper.cli.each import container_path, each_of
from hyper.cli.flags import BOOL, Flag
from hyper.sdk import answers


def start(call: Invocation) -> int:
    """Start containers; with -a or -i one, attached, whose exit status is ours."""
    if call.options.on("attach") or call.options.on("interactive"):
        if len(call.arguments) > 1:
            raise CommandFailed("you cannot start and attach multiple containers at once")
        return _start_attached(call)
    started: set[str] = set()

    def done(name: str) -> None:
        started.add(name)
        print(name)

    status = each_of(call.arguments, lambda name: _start(call, name), done)
    if status:
        failed = ", ".join(name for name in call.arguments if name not in started)
        print(f"Error: failed to start containers: {failed}", file=sys.stderr)
    return status


def _start(call: Invocation, name: str) -> None:
    call.daemon.call("POST", container_path(name, "/start"))


def _start_attached(call: Invocation) -> int:
    from hyper.cli.attaching import Attachment

    found = call.daemon.call("GET", container_path(call.arguments[0], "/json"))
    identifier = answers.text(found, "Id")
    tty = bool(answers.dig(found, "Config", "Tty"))
    stdin = call.options.on("interactive") and bool(answers.dig(found, "Config", "OpenStdin"))
    if tty and stdin and not os.isatty(0):
        print("the input device is not a TTY", file=sys.stderr)
        return 1
    if answers.dig(found, "State", "Running"):
        raise CommandFailed("you cannot attach to a running container: use attach")
    attachment = Attachment(call, identifier, tty, stdin)
    attachment.open(bool(answers.dig(found, "HostConfig", "AutoRemove")), started=False)
    return attachment.serve(lambda: _start(call, identifier), proxy=True)


COMMAND = Command(
    start,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    minimum=1,
    names="stopped",
    flags=(
        Flag("attach", BOOL, "Attach STDOUT/STDERR and forward signals", short="a"),
        DETACH_KEYS,
        Flag("interactive", BOOL, "Attach container's STDIN", short="i"),
    ),
)
