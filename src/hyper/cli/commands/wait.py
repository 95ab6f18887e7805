"""hyper wait: the exit statuses of containers, when they have ended."""

from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path, each_of
from hyper.sdk import answers


def wait(call: Invocation) -> int:
    """Wait until each container has ended, and print its exit status."""

    def wait_for(name: str) -> None:
        answer = call.daemon.call("POST", container_path(name, "/wait"))
        print(answers.number(answer, "StatusCode"), flush=True)

    return each_of(call.arguments, wait_for, lambda name: None)


COMMAND = Command(wait, "CONTAINER [CONTAINER...]", minimum=1, names="running")
