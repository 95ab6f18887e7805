"""Tables and --format of listing commands (docker/cli command/formatter). Fetches nothing.

A row is a dict of field name (as in --format) to value; `headers` names the columns.
"""

import sys

from hyper.cli.command import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, object]

_GAP = 3
_LEAST = 10  # text/tabwriter as docker sets it up: minwidth 10, padding 3
DANGLING = "<none>"


def show(
    rows: "Sequence[Row]",
    layout: str,
    fields: "Sequence[str]",
    headers: "Mapping[str, str]",
    quiet_field: str = "",
) -> None:
    """Print `rows` by --format `layout`: "" is the table of `fields`; `quiet_field` alone when
    set."""
    if quiet_field and not layout:
        layout = "{{." + quiet_field + "}}"
    if layout in ("", "table"):
        print_table(
            [headers[field] for field in fields],
            [[str(row[field]) for field in fields] for row in rows],
        )
        return
    if layout in ("json", "{{json .}}"):
        for row in rows:
            print(_json(row))
        return
    from hyper.cli.template import TemplateError

    try:
        _show_by_template(rows, layout, headers)
    except TemplateError as err:
        raise CommandFailed(str(err)) from err


def _show_by_template(rows: "Sequence[Row]", layout: str, headers: "Mapping[str, str]") -> None:
    from hyper.cli import template

    is_table = layout.startswith("table")
    try:
        compiled = template.compile_template(layout[len("table") :].strip() if is_table else layout)
    except template.TemplateError as err:
        raise template.TemplateError(f"failed to parse template: {err}") from err
    try:
        lines = [compiled.render(row) for row in rows]
    except template.TemplateError as err:
        raise template.TemplateError(f"failed to execute template: {err}") from err
    if not is_table:
        sys.stdout.writelines(line + "\n" for line in lines)
        return
    cells = [line.split("\t") for line in (compiled.render(_Headers(headers)), *lines)]
    print_table(cells[0], cells[1:])


def _json(row: "Row") -> str:
    """Return a row as docker's --format json: sorted, without its methods, safe within HTML."""
    import json

    fields = {name: row[name] for name in sorted(row) if not callable(row[name])}
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


class _Headers(dict[str, object]):
    """What a template of a table sees in its first line; `{{.Label "x"}}` is headed x."""

    def __init__(self, headers: "Mapping[str, str]") -> None:
        super().__init__(headers)
        self["Label"] = lambda name: name


def print_table(
    header: "Sequence[str]", rows: "Sequence[Sequence[str]]", least: int = _LEAST
) -> None:
    """Print columns as docker does: at least ten wide, three apart, the last one as it is."""
    sys.stdout.write(format_table(header, rows, least))


def format_table(
    header: "Sequence[str]", rows: "Sequence[Sequence[str]]", least: int = _LEAST
) -> str:
    """Return what print_table prints."""
    lines = [header, *rows]
    widths: list[int] = []
    for line in lines:
        for column, cell in enumerate(line[:-1]):
            if column == len(widths):
                widths.append(least)
            widths[column] = max(widths[column], len(cell) + _GAP)
    return "".join(
        "".join(f"{cell:<{widths[column]}}" for column, cell in enumerate(line[:-1]))
        + line[-1]
        + "\n"
        for line in lines
    )


def ellipsis(text: str, limit: int) -> str:
    """Return `text`, cut to `limit` characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def short_id(identifier: str, full: bool = False) -> str:
    """Return an id as tables show it: without the algorithm and 12 long, unless `full`."""
    return identifier if full else identifier.rpartition(":")[2][:12]


def ago(timestamp_s: float) -> str:
    """Return how long ago that was, in docker's words."""
    import time

    from hyper.core.units import human_duration

    return f"{human_duration(time.time() - timestamp_s)} ago"


def local_time(timestamp_s: float) -> str:
    """Return a time as Go prints one: 2006-01-02 15:04:05 -0700 MST."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(timestamp_s))


def label_text(labels: "Mapping[str, object]") -> str:
    """Return labels as tables show them."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
