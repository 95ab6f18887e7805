"""hyper __complete: names for the shells' completion, one a line. Never an error to see."""

from hyper.cli.command import Command, Invocation
from hyper.core.errors import HyperError
from hyper.sdk import answers
from hyper.sdk.daemon import Daemon

_STOPPED = {"status": ["created", "exited", "dead"]}
_RUNNING = {"status": ["running", "paused", "restarting"]}


def complete(call: Invocation) -> int:
    """Print the names of a kind of object; the daemon is not started for it."""
    daemon = Daemon(call.address, start=False)
    try:
        for name in _names(daemon, call.arguments[0]):
            print(name)
    except HyperError:
        return 1
    return 0


def _names(daemon: Daemon, kind: str) -> list[str]:
    match kind:
        case "container" | "running" | "stopped":
            filters = {"running": _RUNNING, "stopped": _STOPPED}.get(kind)
            query = {"all": True, "filters": filters}
            found = answers.objects(daemon.call("GET", "/containers/json", query))
            return [
                name.removeprefix("/") for item in found for name in answers.strings(item, "Names")
            ]
        case "image":
            found = answers.objects(daemon.call("GET", "/images/json"))
            return [name for item in found for name in answers.strings(item, "RepoTags")]
        case "volume":
            found = answers.objects(daemon.call("GET", "/volumes"), "Volumes")
        case "network":
            found = answers.objects(daemon.call("GET", "/networks"))
        case "kernel":
            found = answers.objects(daemon.call("GET", "/hyper/v1/kernels"))
        case _:
            return []
    return [answers.text(item, "Name") for item in found]


COMMAND = Command(complete, "KIND", minimum=1, maximum=1)
