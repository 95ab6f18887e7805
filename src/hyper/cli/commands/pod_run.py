"""hyper pod run: create a pod, start it, print its containers' output, return how it ended."""

from hyper.cli.command import Command, Invocation
from hyper.cli.commands.pod import make, pod_path
from hyper.cli.flags import BOOL, Flag
from hyper.cli.pod_flags import CREATE_FLAGS
from hyper.core.errors import HyperError
from hyper.sdk import answers


def run(call: Invocation) -> int:
    """Run a pod; return the status of the container that ended last."""
    options = call.options
    # Who is attached reads all of the output first, and removes the pod then.
    remove = options.on("detach") and options.on("rm")
    found = make(call, start=True, remove=remove)
    identifier = answers.text(found, "Id")
    if options.on("detach"):
        print(identifier)
        return 0
    if options.on("rm"):
        _clean_up_when_terminated()
    try:
        return _follow(call, identifier)
    finally:
        if options.on("rm"):
            call.daemon.call("DELETE", pod_path(identifier), {"force": True, "v": True})


def _clean_up_when_terminated() -> None:
    """Have SIGTERM and SIGHUP end this command in order, so that its pod is removed."""
    import signal
    import sys

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # what nohup asks for
            signal.signal(number, lambda caught, frame: sys.exit(128 + caught))


def _follow(call: Invocation, identifier: str) -> int:
    from hyper.cli.commands.pod_inside import containers_of
    from hyper.cli.pod_logs import PodLogs

    containers = containers_of(call, identifier)
    if not containers:
        print(identifier)
        return 0
    output = PodLogs(call.daemon, containers, color=_is_terminal())
    output.prefixed = len(containers) > 1
    query = {"stdout": True, "stderr": True, "follow": True, "tail": "all"}
    try:
        output.run(dict(query))
    except KeyboardInterrupt:
        if not call.options.on("rm"):
            _stop(call, identifier)
        raise
    answer = call.daemon.call("POST", pod_path(identifier, "/wait"))
    return answers.number(answer, "StatusCode")


def _is_terminal() -> bool:
    import os

    return os.isatty(1) and not os.environ.get("NO_COLOR")


def _stop(call: Invocation, identifier: str) -> None:
    import contextlib

    with contextlib.suppress(HyperError):
        call.daemon.call("POST", pod_path(identifier, "/stop"))


COMMAND = Command(
    run,
    "[OPTIONS] [IMAGE...]",
    names="image",
    flags=(
        *CREATE_FLAGS,
        Flag("detach", BOOL, "Print the pod's ID and leave it running", short="d"),
        Flag("rm", BOOL, "Remove the pod when its containers have ended"),
    ),
)
