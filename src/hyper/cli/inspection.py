"""--format of commands that show one object. Fetches nothing."""

from hyper.cli.command import CommandFailed
from hyper.cli.template import Template, TemplateError, compile_template

_BAD_TEMPLATE = 64  # docker/cli: the status of a template that does not parse


def compile_layout(layout: str, status: int = _BAD_TEMPLATE) -> Template:
    """Return the template of a --format; "json" is the whole object. Raises CommandFailed."""
    try:
        return compile_template("{{json .}}" if layout == "json" else layout)
    except TemplateError as err:
        raise CommandFailed(f"template parsing error: {err}", status) from err


def print_formatted(value: object, compiled: Template) -> None:
    """Print `value` by a compiled template. Raises CommandFailed."""
    try:
        print(compiled.render(value))
    except TemplateError as err:
        raise CommandFailed(f"template parsing error: {err}") from err
