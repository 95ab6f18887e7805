"""Flags as data, and the parser with spf13/pflag's rules and words. Prints nothing.

One table of flags per command gives the parser, the help (usage.py) and the completion.
"""

from hyper.core.errors import HyperError, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_INT_LIMIT = 1 << 63


class FlagError(HyperError):
    """The command line is wrong, in pflag's words."""


class HelpRequested(Exception):
    """The user asked for help instead."""


class Kind:
    """What a flag takes: `label` is shown in the help, `convert` reads a value, `many` collects."""

    __slots__ = ("convert", "label", "many", "separator")

    def __init__(
        self,
        label: str,
        convert: "Callable[[str], object]",
        many: bool = False,
        separator: str = "",
    ) -> None:
        self.label = label
        self.convert = convert
        self.many = many
        self.separator = separator


def _boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidArgument(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _integer(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError as err:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": invalid syntax') from err
    if not -_INT_LIMIT <= value < _INT_LIMIT:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def _size(text: str) -> int:
    from hyper.core.units import parse_size

    return -1 if text == "-1" else parse_size(text)


def _duration(text: str) -> int:
    from hyper.core.units import parse_duration

    return round(parse_duration(text) * 1e9)


def _nano_cpus(text: str) -> int:
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdigit():
        raise InvalidArgument(f"failed to parse {text} as a rational number")
    if len(fraction.rstrip("0")) > 9:
        raise InvalidArgument("value is too precise")
    return int(whole or "0") * 10**9 + int(fraction[:9].ljust(9, "0"))


def _filter(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise InvalidArgument("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


BOOL = Kind("", _boolean)
TEXT = Kind("string", str)
INT = Kind("int", _integer)
SIZE = Kind("bytes", _size)
DURATION = Kind("duration", _duration)  # nanoseconds
DECIMAL = Kind("decimal", _nano_cpus)
ITEMS = Kind("list", str, many=True)
STRINGS = Kind("strings", str, many=True, separator=",")
MAP = Kind("map", str, many=True)
FILTER = Kind("filter", _filter, many=True)


class Flag:
    """One row of a command's table of flags. `check` judges a value while it is parsed.

    `values` are the words completion offers; `default` is shown and used when the flag is absent.
    """

    __slots__ = ("check", "default", "help", "hidden", "kind", "name", "short", "values")

    def __init__(
        self,
        name: str,
        kind: Kind,
        text: str,
        *,
        short: str = "",
        default: object = None,
        check: "Callable[[str], object] | None" = None,
        values: tuple[str, ...] = (),
        hidden: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.help = text
        self.short = short
        self.default = default
        self.check = check
        self.values = values
        self.hidden = hidden

    @property
    def spelling(self) -> str:
        """Return how pflag names the flag in errors."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Options:
    """The values of a command's flags; typed access by the flag's name."""

    __slots__ = ("_defaults", "_values")

    def __init__(self, flags: "Sequence[Flag]") -> None:
        self._defaults = {flag.name: flag.default for flag in flags}
        self._values: dict[str, object] = {}

    def put(self, flag: Flag, text: str) -> None:
        """Store a value as the command line gives it. Raises FlagError."""
        parts = text.split(flag.kind.separator) if flag.kind.separator else [text]
        for part in parts:
            try:
                if flag.check:
                    flag.check(part)
                value = flag.kind.convert(part)
            except InvalidArgument as err:
                raise FlagError(
                    f'invalid argument "{text}" for "{flag.spelling}" flag: {err}'
                ) from err
            if flag.kind.many:
                found = self._values.setdefault(flag.name, [])
                assert isinstance(found, list)
                found.append(value)
            else:
                self._values[flag.name] = value

    def given(self, *names: str) -> bool:
        """Return whether any of the flags is on the command line."""
        return any(name in self._values for name in names)

    def value(self, name: str) -> object:
        """Return the flag's value, or its default."""
        return self._values.get(name, self._defaults.get(name))

    def on(self, name: str) -> bool:
        """Return a boolean flag's value."""
        return bool(self.value(name))

    def text(self, name: str) -> str:
        """Return a string flag's value, "" by default."""
        value = self.value(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        """Return a numeric flag's value, 0 by default."""
        value = self.value(name)
        return value if isinstance(value, int) else 0

    def items(self, name: str) -> list[str]:
        """Return the values of a flag that may be given many times."""
        value = self._values.get(name)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def add_filter(self, key: str, value: str, name: str = "filter") -> None:
        """Add a filter to those on the command line."""
        found = self._values.setdefault(name, [])
        assert isinstance(found, list)
        found.append((key, value))

    def filters(self, name: str = "filter") -> dict[str, list[str]]:
        """Return the values of --filter in the form the API takes."""
        result: dict[str, list[str]] = {}
        value = self._values.get(name)
        for key, item in value if isinstance(value, list) else ():
            result.setdefault(key, []).append(item)
        return result


def parse(
    flags: "Sequence[Flag]", words: "Sequence[str]", interspersed: bool = True
) -> tuple[Options, list[str]]:
    """Return the options and the remaining arguments of a command line.

    Without `interspersed`, flags end at the first argument (run, exec). Raises FlagError,
    HelpRequested.
    """
    options = Options(flags)
    parser = _Parser(flags, options)
    rest = list(words)
    arguments: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if len(word) < 2 or word[0] != "-":
            arguments.append(word)
            if not interspersed:
                arguments += rest
                break
        elif word.startswith("--"):
            parser.long(word, rest)
        else:
            parser.short(word, rest)
    return options, arguments


class _Parser:
    __slots__ = ("_long", "_options", "_short")

    def __init__(self, flags: "Iterable[Flag]", options: Options) -> None:
        self._long = {flag.name: flag for flag in flags}
        self._short = {flag.short: flag for flag in self._long.values() if flag.short}
        self._options = options

    def long(self, word: str, rest: list[str]) -> None:
        name, separator, value = word[2:].partition("=")
        if not name or name[0] == "-":
            raise FlagError(f"bad flag syntax: {word}")
        flag = self._long.get(name)
        if flag is None:
            if name == "help":
                raise HelpRequested
            raise FlagError(f"unknown flag: --{name}")
        if separator:
            self._options.put(flag, value)
        elif flag.kind is BOOL:
            self._options.put(flag, "true")
        elif rest:
            self._options.put(flag, rest.pop(0))
        else:
            raise FlagError(f"flag needs an argument: --{name}")

    def short(self, word: str, rest: list[str]) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._short.get(letter)
            if flag is None:
                if letter == "h":
                    raise HelpRequested
                raise FlagError(f"unknown shorthand flag: {letter!r} in -{letter}{letters}")
            if letters.startswith("="):
                self._options.put(flag, letters[1:])
                return
            if flag.kind is BOOL:
                self._options.put(flag, "true")
                continue
            if letters:
                self._options.put(flag, letters)
            elif rest:
                self._options.put(flag, rest.pop(0))
            else:
                raise FlagError(f"flag needs an argument: {letter!r} in {word}")
            return
