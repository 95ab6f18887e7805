"""What can follow a command line that is being typed, from the tables of commands and flags.

All shells ask this one place, through `hyper __complete`; their scripts only carry words
(shells.py).
"""

from hyper.cli import registry
from hyper.cli.__main__ import GLOBAL_FLAGS
from hyper.cli.command import Command
from hyper.cli.flags import BOOL, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Names = Callable[[str], list[str]]

FILES = ":files"  # the shell is to offer names of files
# Flags whose value is the name of an object.
_NAMED = {"network": "network", "net": "network", "volumes-from": "container", "kernel": "kernel"}


def candidates(words: "Sequence[str]", names: "Names") -> list[tuple[str, str]]:
    """Return (word, description) for the last of `words`, which may be empty.

    `names` returns the names of a kind of object (container, image, ...).
    """
    *before, current = words or [""]
    rest = _after_globals(before)
    if rest is None:
        return [(FILES, "")]
    if not rest:
        if current.startswith("-"):
            return _matching(_flag_words(GLOBAL_FLAGS), current)
        return _matching(_top_level(), current)
    path, rest = rest[0], rest[1:]
    while path in registry.GROUPS:
        if not rest:
            return _matching([(name, text) for name, _, text in registry.GROUPS[path][1]], current)
        path, rest = f"{path} {rest[0]}", rest[1:]
    found = registry.find(path)
    return _of_command(registry.load(found[0]), rest, current, names) if found else []


def _after_globals(words: list[str]) -> list[str] | None:
    """Return the words from the command on, None when a global flag's value is being typed."""
    taking = _taking(GLOBAL_FLAGS)
    position = 0
    while position < len(words) and words[position].startswith("-"):
        position += 2 if words[position] in taking else 1
    return words[position:] if position <= len(words) else None


def _of_command(
    command: Command, words: list[str], current: str, names: "Names"
) -> list[tuple[str, str]]:
    taking = _taking(command.flags)
    arguments = 0
    flag: Flag | None = None
    for word in words:
        if flag is not None:
            flag = None
        elif word.startswith("-") and (command.interspersed or not arguments):
            flag = taking.get(word)
        else:
            arguments += 1
    if flag is not None:
        return _values(flag, current, names)
    if arguments and not command.interspersed:
        return [(FILES, "")]
    if current.startswith("--") and "=" in current:
        name, _, value = current.partition("=")
        flag = taking.get(name)
        found = _values(flag, value, names) if flag else []
        return [(text if text == FILES else f"{name}={text}", note) for text, note in found]
    if current.startswith("-"):
        return _matching(_flag_words(command.flags), current)
    return _arguments(command, current, names)


def _arguments(command: Command, current: str, names: "Names") -> list[tuple[str, str]]:
    if command.names == "shell":
        return _matching([(shell, "") for shell in ("bash", "zsh", "fish")], current)
    if not command.names:
        return [(FILES, "")] if command.maximum else []
    found = _matching([(name, "") for name in names(command.names)], current)
    return found or ([(FILES, "")] if command.names == "container" else [])


def _values(flag: Flag, current: str, names: "Names") -> list[tuple[str, str]]:
    if flag.values:
        return _matching([(value, "") for value in flag.values], current)
    if flag.name in _NAMED:
        return _matching([(name, "") for name in names(_NAMED[flag.name])], current)
    return [(FILES, "")]


def _taking(flags: tuple[Flag, ...]) -> dict[str, Flag]:
    """Return the flags that take a value, by how they are written; -it counts by its last
    letter."""
    found: dict[str, Flag] = {}
    for flag in flags:
        if flag.kind is not BOOL:
            found[f"--{flag.name}"] = flag
            if flag.short:
                found[f"-{flag.short}"] = flag
    return found


def _flag_words(flags: tuple[Flag, ...]) -> list[tuple[str, str]]:
    words = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        if not flag.hidden:
            text = flag.help.split("\n", 1)[0]
            words.append((f"--{flag.name}", text))
            if flag.short:
                words.append((f"-{flag.short}", text))
    return [*words, ("--help", "Print usage")]


def _top_level() -> list[tuple[str, str]]:
    found = [(name, text) for name, _, text in (*registry.COMMON, *registry.PLAIN)]
    groups = ((name, group[0]) for name, group in registry.GROUPS.items() if " " not in name)
    return sorted([*found, *groups])


def _matching(words: list[tuple[str, str]], current: str) -> list[tuple[str, str]]:
    return [pair for pair in words if pair[0].startswith(current)]
