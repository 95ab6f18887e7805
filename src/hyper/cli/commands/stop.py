"""hyper stop: containers asked to end, killed when they do not."""

from hyper.cli.command import Command, Invocation
from hyper.cli.each import container_path, each
from hyper.cli.flags import INT, TEXT, Flag, Options

STOP_FLAGS = (
    Flag("signal", TEXT, "Signal to send to the container", short="s"),
    Flag("timeout", INT, "Seconds to wait before killing the container", short="t"),
    Flag("time", INT, "Seconds to wait before killing the container", hidden=True),
)


def stop_query(options: Options) -> dict[str, object]:
    """Return what stop and restart ask for."""
    name = "time" if options.given("time") else "timeout"
    seconds = options.number(name) if options.given(name) else None
    return {"signal": options.text("signal"), "t": seconds}


def stop(call: Invocation) -> int:
    """Stop containers."""
    query = stop_query(call.options)
    return each(call, lambda name: call.daemon.call("POST", container_path(name, "/stop"), query))


COMMAND = Command(
    stop, "[OPTIONS] CONTAINER [CONTAINER...]", minimum=1, flags=STOP_FLAGS, names="running"
)
