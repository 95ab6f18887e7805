"""Help and usage errors as text, made from the tables of commands and flags. Prints nothing."""

from hyper.cli import registry
from hyper.cli.command import NO_LIMIT, Command
from hyper.cli.flags import BOOL, Flag

PROGRAM = "hyper"
_WIDTH = 80


def usage_line(path: str, command: Command) -> str:
    """Return the line that shows how the command is called."""
    return f"Usage:  {PROGRAM} {path}" + (f" {command.arguments}" if command.arguments else "")


def flag_error(path: str, command: Command, message: str) -> str:
    """Return what to print for a wrong flag."""
    more = f"Run '{PROGRAM} {path} --help' for more information"
    return f"{message}\n\n{usage_line(path, command)}\n\n{more}"


def argument_error(path: str, command: Command, count: int) -> str:
    """Return what to print for `count` arguments where the command takes others, "" when it is
    right."""
    least, most = command.minimum, command.maximum
    if count >= least and (most == NO_LIMIT or count <= most):
        return ""
    see = "Run"
    if most == 0:
        wrong = "accepts no arguments"
    elif least == most:
        wrong = f"requires {least} {_arguments(least)}"
    elif count < least:
        wrong = f"requires at least {least} {_arguments(least)}"
        see = "See"
    elif least:
        wrong = f"requires at least {least} and at most {most} {_arguments(most)}"
    else:
        wrong = f"requires at most {most} {_arguments(most)}"
    return (
        f"{PROGRAM}: '{PROGRAM} {path}' {wrong}\n\n{usage_line(path, command)}\n\n"
        f"{see} '{PROGRAM} {path} --help' for more information"
    )


def _arguments(count: int) -> str:
    return "argument" if count == 1 else "arguments"


def command_help(path: str, command: Command, summary: str) -> str:
    """Return a command's --help."""
    where = registry.find(path)
    parts = [usage_line(path, command), command.description or summary]
    same = [name for name, (place, _) in registry.entries().items() if where and place == where[0]]
    same += [alias for alias, real in registry.ALIASES.items() if real in same]
    if len(same) > 1:
        parts.append("Aliases:\n  " + ", ".join(f"{PROGRAM} {name}" for name in sorted(same)))
    if command.flags:
        parts.append("Options:\n" + flag_table(command.flags))
    return "\n\n".join(parts)


def flag_table(flags: tuple[Flag, ...]) -> str:
    """Return the table of flags of a help text, as pflag draws it."""
    rows = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        if not flag.hidden:
            left = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
            if flag.kind is not BOOL:
                left += f" {flag.kind.label}"
            rows.append((left, flag.help + _default(flag)))
    width = max((len(left) for left, _ in rows), default=0) + 3
    lines = []
    for left, text in rows:
        wrapped = [line for part in text.split("\n") for line in _wrap(part, _WIDTH - width)]
        lines.append(f"{left:<{width}}{wrapped[0]}")
        lines += [" " * width + line for line in wrapped[1:]]
    return "\n".join(lines)


def _default(flag: Flag) -> str:
    match flag.default:
        case None | False | 0 | "":
            return ""
        case True:
            return " (default true)"
        case str():
            return f' (default "{flag.default}")'
    return f" (default {flag.default})"


def _wrap(text: str, width: int) -> list[str]:
    """Return `text` in lines; by hand, because textwrap costs the import of re."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > max(width, 24):
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines


def group_help(group: str) -> str:
    """Return the help of a group of commands."""
    summary, members = registry.GROUPS[group]
    return (
        f"Usage:  {PROGRAM} {group} COMMAND\n\n{summary}\n\nCommands:\n"
        + _listing([(name, text) for name, _, text in members])
        + f"\n\nRun '{PROGRAM} {group} COMMAND --help' for more information on a command."
    )


def program_help(flags: tuple[Flag, ...]) -> str:
    """Return the help of the program."""
    return "\n\n".join(
        (
            f"Usage:  {PROGRAM} [OPTIONS] COMMAND",
            "Docker images in tiny virtual machines",
            "Common Commands:\n" + _listing([(n, text) for n, _, text in registry.COMMON]),
            "Management Commands:\n"
            + _listing([(n, group[0]) for n, group in registry.GROUPS.items() if " " not in n]),
            "Commands:\n" + _listing([(n, text) for n, _, text in registry.PLAIN]),
            "Global Options:\n" + flag_table(flags),
            f"Run '{PROGRAM} COMMAND --help' for more information on a command.",
        )
    )


def _listing(rows: list[tuple[str, str]]) -> str:
    width = max(11, *(len(name) + 1 for name, _ in rows))
    return "\n".join(f"  {name:<{width}} {text}" for name, text in rows)
