"""hyper logs: a container's kept output."""

from hyper.cli import signals, streams
from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.timestamps import api_time
from hyper.sdk.frames import FrameDecoder

_SINCE = '(e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'


def logs(call: Invocation) -> int:
    """Print a container's output so far, and with -f what follows."""
    options = call.options
    query = {
        "stdout": True,
        "stderr": True,
        "follow": options.on("follow"),
        "since": api_time(options.text("since")),
        "until": api_time(options.text("until")),
        "tail": options.text("tail"),
        "timestamps": options.on("timestamps"),
        "details": options.on("details"),
    }
    signals.end_on_interrupt()
    response = call.daemon.open("GET", container_path(call.arguments[0], "/logs"), query)
    decoder = FrameDecoder()
    raw = "raw-stream" in response.headers.get("content-type", "")
    for piece in response.pieces():
        if raw:
            streams.write_all(1, piece)
        else:
            streams.put_frames(decoder, piece)
    return 0


COMMAND = Command(
    logs,
    "[OPTIONS] CONTAINER",
    minimum=1,
    maximum=1,
    names="container",
    flags=(
        Flag("details", BOOL, "Show extra details provided to logs"),
        Flag("follow", BOOL, "Follow log output", short="f"),
        Flag("since", TEXT, f"Show logs since timestamp {_SINCE}"),
        Flag(
            "tail",
            TEXT,
            "Number of lines to show from the end of the logs",
            short="n",
            default="all",
        ),
        Flag("timestamps", BOOL, "Show timestamps", short="t"),
        Flag("until", TEXT, f"Show logs before a timestamp {_SINCE}"),
    ),
)
