"""hyper events: what happens to containers, images, volumes and networks, as it happens."""

from hyper.cli import signals
from hyper.cli.command import Command, Invocation
from hyper.cli.flags import FILTER, TEXT, Flag
from hyper.cli.timestamps import api_time
from hyper.cli.usage_texts import OBJECT_FORMAT_HELP
from hyper.sdk import answers

_GO_NAMES = {
    "ID": "id",
    "Status": "status",
    "From": "from",
    "Scope": "scope",
    "Time": "time",
    "TimeNano": "timeNano",
}


class _GoEvent(dict[str, object]):
    """An event with the names that its fields have in Go, for templates."""

    def __contains__(self, name: object) -> bool:
        return name in _GO_NAMES or super().__contains__(name)

    def __missing__(self, name: str) -> object:
        return self.get(_GO_NAMES[name], "")


def events(call: Invocation) -> int:
    """Print events until --until, or for ever."""
    options = call.options
    layout = options.text("format")
    compiled = None
    if layout:
        from hyper.cli.inspection import compile_layout

        compiled = compile_layout(layout)
    query = {
        "since": api_time(options.text("since")),
        "until": api_time(options.text("until")),
        "filters": options.filters(),
    }
    signals.end_on_interrupt()
    for event in call.daemon.open("GET", "/events", query).json_stream():
        if compiled and isinstance(event, dict):
            print(compiled.render(_GoEvent(event)), flush=True)
        else:
            print(_line(event), flush=True)
    return 0


def _line(event: object) -> str:
    from hyper.cli.clock import nano_time

    attributes = answers.mapping(event, "Actor", "Attributes")
    words = [
        nano_time(answers.number(event, "timeNano")),
        answers.text(event, "Type"),
        answers.text(event, "Action"),
        answers.text(event, "Actor", "ID"),
    ]
    line = " ".join(words)
    if attributes:
        line += " (" + ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes)) + ")"
    return line


COMMAND = Command(
    events,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("filter", FILTER, "Filter output based on conditions provided", short="f"),
        Flag("format", TEXT, OBJECT_FORMAT_HELP),
        Flag("since", TEXT, "Show all events created since timestamp"),
        Flag("until", TEXT, "Stream events until this timestamp"),
    ),
)
