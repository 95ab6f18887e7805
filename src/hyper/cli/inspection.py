"""--format of commands that show one object. Fetches nothing."""

from hyper.cli.command import CommandFailed


def print_formatted(value: object, layout: str, status: int = 1) -> None:
    """Print `value` by a Go template, or as JSON for "json". Raises CommandFailed."""
    from hyper.cli import template

    try:
        print(template.compile_template("{{json .}}" if layout == "json" else layout).render(value))
    except template.TemplateError as err:
        raise CommandFailed(f"template parsing error: {err}", status) from err
