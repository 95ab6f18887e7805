"""hyper __complete: what can be typed next, for the shells' completion. Never an error to see."""

from hyper.cli.command import Command, Invocation
from hyper.cli.completions import candidates
from hyper.core.errors import HyperError
from hyper.sdk import answers
from hyper.sdk.daemon import Daemon

_STOPPED = {"status": ["created", "exited", "dead"]}
_RUNNING_PODS = {"state": ["running", "paused"]}
_RUNNING = {"status": ["running", "paused", "restarting"]}


def complete(call: Invocation) -> int:
    """Print words and descriptions; the daemon is asked for names, but not started for it."""

    def names(kind: str) -> list[str]:
        try:
            return _names(Daemon(call.address, start=False), kind)
        except HyperError:
            return []

    for word, text in candidates(call.arguments, names):
        print(f"{word}\t{text}" if text else word)
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
        case "pod" | "running-pod":
            running = _RUNNING_PODS if kind == "running-pod" else None
            lone: dict[str, object] = {"lone": "0", "filters": running}
            found = answers.objects(daemon.call("GET", "/hyper/v1/pods", lone))
        case "kernel":
            found = answers.objects(daemon.call("GET", "/hyper/v1/kernels"))
        case _:
            return []
    return [answers.text(item, "Name") for item in found]


COMMAND = Command(complete, "-- [WORD...]", interspersed=False)
