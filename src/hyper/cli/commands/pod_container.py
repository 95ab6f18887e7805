"""hyper pod container add: one more container in a pod, also while it runs."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.container_body import create_body
from hyper.cli.container_flags import CREATE_FLAGS
from hyper.sdk import answers
from hyper.sdk.errors import ApiError
from hyper.sdk.http1 import path_of

_OF_THE_POD = ("pod", "cidfile", "rm")


def add(call: Invocation) -> int:
    """Create a container in a pod, start it if the pod runs, and print its id."""
    from hyper.cli import creation

    pod = call.arguments.pop(0)
    path = path_of("hyper/v1/pods", pod)
    state = answers.text(call.daemon.call("GET", path), "State")
    body = create_body(call.options, call.arguments)
    body["Name"] = call.options.text("name")
    query = {"start": state in ("running", "paused")}
    try:
        creation.pull_as_asked(call)
        try:
            answer = call.daemon.call("POST", path + "/containers", query, body)
        except ApiError as err:
            if not creation.image_is_missing(call, err):
                raise
            creation.pull_as_asked(call, missing=True)
            answer = call.daemon.call("POST", path + "/containers", query, body)
    except CommandFailed as err:
        raise CommandFailed(str(err)) from err  # docker's 125 is for run
    print(answers.text(answer, "Id"))
    return 0


COMMAND = Command(
    add,
    "[OPTIONS] POD IMAGE [COMMAND] [ARG...]",
    minimum=2,
    flags=tuple(flag for flag in CREATE_FLAGS if flag.name not in _OF_THE_POD),
    interspersed=False,
    names="pod",
)
