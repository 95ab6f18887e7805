"""hyper attach: our terminal connected to a running container."""

import os
import sys

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.container_flags import DETACH_KEYS
from hyper.cli.each import container_path
from hyper.cli.flags import BOOL, Flag
from hyper.sdk import answers


def attach(call: Invocation) -> int:
    """Attach to a running container; return its exit status."""
    from hyper.cli.attaching import Attachment

    name = call.arguments[0]
    found = _running(call, name)
    tty = bool(answers.dig(found, "Config", "Tty"))
    stdin = bool(answers.dig(found, "Config", "OpenStdin")) and not call.options.on("no-stdin")
    if tty and stdin and not os.isatty(0):
        print("the input device is not a TTY", file=sys.stderr)
        return 1
    attachment = Attachment(call, answers.text(found, "Id"), tty, stdin)
    attachment.open(removed=False, started=True)
    _running(call, name)  # as docker: what ended just before would keep us until its next run
    return attachment.serve(lambda: None, call.options.on("sig-proxy"), left=1)


def _running(call: Invocation, name: str) -> object:
    """Return what is known of a container to which one can attach. Raises CommandFailed."""
    found = call.daemon.call("GET", container_path(name, "/json"))
    state = answers.mapping(found, "State")
    if not state.get("Running"):
        raise CommandFailed("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise CommandFailed("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise CommandFailed("You cannot attach to a restarting container, wait until it is running")
    return found


COMMAND = Command(
    attach,
    "[OPTIONS] CONTAINER",
    minimum=1,
    maximum=1,
    names="running",
    flags=(
        DETACH_KEYS,
        Flag("no-stdin", BOOL, "Do not attach STDIN"),
        Flag("sig-proxy", BOOL, "Proxy all received signals to the process", default=True),
    ),
)
