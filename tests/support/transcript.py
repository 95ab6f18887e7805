"""Owns the transcripts' language: commands, exactly what they print, and where that may vary.

Reads and compares; runs nothing (transcript_run.py does). A file is a list of scenarios:

    # a comment
    == what the scenario shows
    % not dockerd: why it is not run there        (also "not hyper", the hyper command as client)
    % differs: names of schema/differences.py, with commas; needed by lines with a condition
    $ docker run --rm busybox sh -c 'echo out; echo err >&2; exit 3'
    out
    2| err
    [3]
    ~ docker inspect --format '{{.State.Status}}' web    (asked again until it says so)
    exited
    ! kill               (the daemon is killed, or with "! restart" stopped, and started again)
    hyperd> a line that only hyperd prints; also dockerd, docker, docker20, docker28, hyper; a,b
            means either, a+b means both

A command goes on in lines that start with "> ". A line of output that would be taken for one of
these starts with a backslash. What is between < and > stands for something that varies:

    <ID> <SHORT> <N> <TIME> <...>      64 and 12 hexadecimal digits, a number, RFC 3339, anything
    <ID:web> <N:port>                  the same at every place of the scenario
    <any lines>                        any number of lines, none included
    <blank> <CR> <no newline>          an empty line, a carriage return, the end without newline
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_CONDITION = re.compile(r"((?:dockerd|hyperd|docker\d*|hyper)(?:[,+][a-z0-9]+)*)> ?(.*)")
_TOKEN = re.compile(r"<([A-Z]+)(?::(\w+))?>|<(\.\.\.|any lines|blank|CR|no newline)>")
_ID_DIGITS, _SHORT_DIGITS = 64, 12
_KINDS = {
    "ID": f"[0-9a-f]{{{_ID_DIGITS}}}",
    "SHORT": f"[0-9a-f]{{{_SHORT_DIGITS}}}",
    "N": r"-?[0-9]+(?:\.[0-9]+)?",
    "TIME": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]+)?(?:Z|[+-][0-9:]{5})",
}
NO_NEWLINE = "<no newline>"


class TranscriptError(Exception):
    """A transcript cannot be read; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of expected output and where it holds (empty: everywhere)."""

    condition: str
    text: str

    def holds(self, names: frozenset[str]) -> bool:
        """Tell whether the line counts for an engine and a client of these names."""
        choices = (set(choice.split("+")) for choice in self.condition.split(","))
        return not self.condition or any(choice <= names for choice in choices)


@dataclass(slots=True)
class Step:
    """A command and what it must print."""

    number: int
    kind: str  # "$" a command, "~" one to repeat, "!" something done to the daemon
    command: str
    lines: list[Line] = field(default_factory=list)

    def expected(self, names: frozenset[str]) -> "Output":
        """Return what must be printed there, tokens included."""
        shown = [line.text for line in self.lines if line.holds(names)]
        status = 0
        out, err = [], []
        for text in shown:
            if match := re.fullmatch(r"\[(\d+)\]", text):
                status = int(match[1])
            elif text.startswith("2| "):
                err.append(text[3:])
            else:
                out.append(text.removeprefix("\\"))
        return Output(tuple(out), tuple(err), status)


@dataclass(slots=True)
class Scenario:
    """Some steps on the same containers; it starts with none and leaves none."""

    name: str
    place: str
    steps: list[Step] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    differs: str = ""

    def reason_not_to_run(self, names: frozenset[str]) -> str:
        """Return why the scenario is not for this engine or client, or nothing."""
        return next((why for name, why in self.excluded.items() if name in names), "")

    @property
    def differences(self) -> list[str]:
        """The names of the documented differences its conditional lines show."""
        return [name.strip() for name in self.differs.split(",")] if self.differs else []

    @property
    def interactions(self) -> int:
        """How many docker commands are run, each once however often it is asked."""
        return sum(len(re.findall(r"(?<![\w/.-])docker (?=[a-z-])", s.command)) for s in self.steps)


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed, or has to print: lines of stdout and stderr, exit status."""

    out: tuple[str, ...]
    err: tuple[str, ...]
    status: int

    def as_lines(self) -> list[str]:
        """Return the output as it is written in a transcript."""
        marked = [f"\\{line}" if _is_special(line) else line for line in self.out]
        status = [f"[{self.status}]"] if self.status else []
        return [*marked, *(f"2| {line}" for line in self.err), *status]


def _is_special(line: str) -> bool:
    return bool(re.match(r"[#=%$~!>\\] ?|2\| |\[\d+\]$", line) or _CONDITION.match(line))


def to_lines(text: str) -> tuple[str, ...]:
    """Return output as lines of a transcript, each difference to plain lines made visible."""
    if not text:
        return ()
    lines = text.replace("\r", "<CR>").split("\n")
    lines = [*lines[:-1], *([lines[-1] + NO_NEWLINE] if lines[-1] else [])]
    return tuple(line or "<blank>" for line in lines)


def parse(text: str, file: str) -> list[Scenario]:
    """Return the scenarios of a file. Raises TranscriptError."""
    scenarios: list[Scenario] = []
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{file}:{number}"
        if not line.strip() or line.startswith("# "):
            continue
        if line.startswith("== "):
            scenarios.append(Scenario(line[3:].strip(), place))
            continue
        if not scenarios:
            raise TranscriptError(f"{place}: before the first scenario (== name)")
        _read_line(scenarios[-1], line, number, place)
    for scenario in scenarios:
        conditional = any(line.condition for step in scenario.steps for line in step.lines)
        if conditional != bool(scenario.differs):
            raise TranscriptError(
                f"{scenario.place}: '% differs: reason' and conditional lines need each other"
            )
    return scenarios


def _read_line(scenario: Scenario, line: str, number: int, place: str) -> None:
    if match := re.fullmatch(r"% not (\w+): (.+)", line):
        scenario.excluded[match[1]] = match[2]
    elif match := re.fullmatch(r"% differs: (.+)", line):
        scenario.differs = match[1]
    elif line.startswith("%"):
        raise TranscriptError(f"{place}: not understood: {line}")
    elif line in ("! kill", "! restart") or line[:2] in ("$ ", "~ "):
        scenario.steps.append(Step(number, line[0], line[2:]))
    elif not scenario.steps:
        raise TranscriptError(f"{place}: output before the first command")
    elif line[:2] == "> ":
        scenario.steps[-1].command += "\n" + line[2:]
    elif match := _CONDITION.fullmatch(line):
        scenario.steps[-1].lines.append(Line(match[1], match[2]))
    else:
        scenario.steps[-1].lines.append(Line("", line))


def matches(expected: Output, actual: Output, known: dict[str, str]) -> bool:
    """Compare, and put what named tokens stand for into `known` when all of it is equal."""
    if expected.status != actual.status:
        return False
    found: dict[str, str] = {}
    for lines, shown in ((expected.out, actual.out), (expected.err, actual.err)):
        pattern = re.compile(_pattern(lines, {**known, **found}))
        match = pattern.fullmatch("".join(f"{line}\n" for line in shown))
        if match is None:
            return False
        found |= {name: value for name, value in match.groupdict().items() if value is not None}
    known |= found
    return True


def _pattern(lines: Iterable[str], known: Mapping[str, str]) -> str:
    pattern, own = "", set[str]()
    for line in lines:
        if line == "<any lines>":
            pattern += r"(?:.*\n)*?"
            continue
        at = 0
        for token in _TOKEN.finditer(line):
            pattern += re.escape(line[at : token.start()]) + _token(token, known, own)
            at = token.end()
        pattern += re.escape(line[at:]) + "\n"
    return pattern


def _token(token: re.Match[str], known: Mapping[str, str], own: set[str]) -> str:
    kind, name, special = token.groups()
    if special:
        return ".*" if special == "..." else re.escape(token[0])
    if kind not in _KINDS:
        return re.escape(token[0])
    if not name:
        return _KINDS[kind]
    if name in own:
        return f"(?P={name})"
    if name not in known:
        own.add(name)
        return f"(?P<{name}>{_KINDS[kind]})"
    value = known[name]
    if kind == "SHORT":
        return re.escape(value[:_SHORT_DIGITS])
    if kind == "ID" and len(value) == _SHORT_DIGITS:
        return re.escape(value) + f"[0-9a-f]{{{_ID_DIGITS - _SHORT_DIGITS}}}"
    return re.escape(value)


def accept(text: str, scenario: Scenario, outputs: Sequence[Output]) -> str:
    """Return a file's text with the output of those steps that have none, tokens where it varies.

    Line numbers stay those of the file as it was parsed, so the text keeps a mark per line.
    """
    names: dict[str, str] = {}
    lines = text.split("\n")
    for step, output in zip(scenario.steps, outputs, strict=False):
        shown = [_with_tokens(line, names) for line in output.as_lines()]
        if shown and not step.lines:
            last = step.number - 1 + step.command.count("\n")
            lines[last] = "\v".join([lines[last], *shown])
    return "\n".join(lines)


def _with_tokens(line: str, names: dict[str, str]) -> str:
    def identifier(match: re.Match[str]) -> str:
        kind = "ID" if len(match[0]) == _ID_DIGITS else "SHORT"
        name = names.setdefault(match[0][:_SHORT_DIGITS], chr(ord("a") + len(names) % 26))
        return f"<{kind}:{name}>"

    line = re.sub(r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{12})(?![0-9a-f])", identifier, line)
    return re.sub(_KINDS["TIME"], "<TIME>", line)
