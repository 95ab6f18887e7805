"""Owns `top`: the guest's process list as the columns ps would print."""

import re
import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import time_ns

from hyper.agent.messages import ProcessEntry
from hyper.api.times import NS_PER_S
from hyper.core.errors import InvalidArgument
from hyper.engine.sessions import Processes

Column = Callable[[ProcessEntry, Processes], str]
# What only says which processes to list, or how: those of the container are, one a line.
_SELECTS = re.compile(r"-?[aexwA]+|--no-headers|-H")


def _cpu_seconds(entry: ProcessEntry, listed: Processes) -> int:
    return entry.cpu_ticks // max(listed.ticks_per_second, 1)


def _age_s(entry: ProcessEntry, listed: Processes) -> float:
    return max(
        listed.boottime_ns / NS_PER_S - entry.start_ticks / max(listed.ticks_per_second, 1), 0.001
    )


def _start(entry: ProcessEntry, listed: Processes) -> str:
    started = time_ns() / NS_PER_S - _age_s(entry, listed)
    return datetime.fromtimestamp(started, UTC).strftime("%H:%M")


def _percent(entry: ProcessEntry, listed: Processes) -> float:
    return 100 * entry.cpu_ticks / max(listed.ticks_per_second, 1) / _age_s(entry, listed)


def _time(entry: ProcessEntry, listed: Processes) -> str:
    seconds = _cpu_seconds(entry, listed)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _minutes(entry: ProcessEntry, listed: Processes) -> str:
    seconds = _cpu_seconds(entry, listed)
    return f"{seconds // 60}:{seconds % 60:02d}"


def _tty(entry: ProcessEntry, listed: Processes) -> str:
    major, minor = entry.tty_nr >> 8 & 0xFFF, entry.tty_nr & 0xFF
    return f"pts/{minor}" if major == 136 else "?"


_COLUMNS: dict[str, tuple[str, Column]] = {
    "uid": ("UID", lambda entry, listed: str(entry.uid)),
    "user": ("USER", lambda entry, listed: "root" if entry.uid == 0 else str(entry.uid)),
    "owner": ("UID", lambda entry, listed: "root" if entry.uid == 0 else str(entry.uid)),
    "pid": ("PID", lambda entry, listed: str(entry.pid)),
    "ppid": ("PPID", lambda entry, listed: str(entry.ppid)),
    "c": ("C", lambda entry, listed: str(min(int(_percent(entry, listed)), 99))),
    "pcpu": ("%CPU", lambda entry, listed: f"{_percent(entry, listed):.1f}"),
    "pmem": ("%MEM", lambda entry, listed: "0.0"),
    "vsz": ("VSZ", lambda entry, listed: str(entry.vsize_bytes // 1024)),
    "rss": ("RSS", lambda entry, listed: str(entry.rss_bytes // 1024)),
    "tty": ("TTY", _tty),
    "stat": ("STAT", lambda entry, listed: chr(entry.state)),
    "stime": ("STIME", _start),
    "start": ("START", _start),
    "time": ("TIME", _time),
    "bsdtime": ("TIME", _minutes),
    "ni": ("NI", lambda entry, listed: str(entry.nice)),
    "nlwp": ("NLWP", lambda entry, listed: str(entry.threads)),
    "comm": ("COMMAND", lambda entry, listed: entry.comm),
    "args": ("COMMAND", lambda entry, listed: entry.command),
    "cmd": ("CMD", lambda entry, listed: entry.command),
}
_ALIASES = {
    "command": "args",
    "%cpu": "pcpu",
    "%mem": "pmem",
    "tt": "tty",
    "s": "stat",
    "state": "stat",
    "nice": "ni",
    "thcount": "nlwp",
    "uname": "user",
    "euser": "user",
    "ruser": "user",
    "euid": "uid",
    "cputime": "time",
    "vsize": "vsz",
    "rssize": "rss",
    "ucmd": "comm",
}
_FULL = ("owner", "pid", "ppid", "c", "stime", "tty", "time", "cmd")
_BSD = ("user", "pid", "pcpu", "pmem", "vsz", "rss", "tty", "stat", "start", "bsdtime", "args")
_PLAIN = ("pid", "tty", "time", "cmd")


def parse_ps_args(text: str) -> tuple[tuple[str, Column], ...]:
    """Return the columns that ps would print for its arguments: -ef, aux and -o lists are known.

    Raises InvalidArgument.
    """
    try:
        words = shlex.split(text)
    except ValueError as err:
        raise InvalidArgument(f"ps: {err}") from err
    names: list[str] = []
    shape: Sequence[str] = _PLAIN
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        if option in ("-o", "o", "-eo", "eo", "axo", "-axo", "--format", "-O"):
            names += (value if equals else words.pop(0) if words else "").split(",")
        elif word.startswith("-o") and len(word) > 2:
            names += word[2:].split(",")
        elif "f" in word and word.startswith("-"):
            shape = ("uid", *_FULL[1:]) if "n" in word else _FULL
        elif "u" in word:
            shape = _BSD
        elif not _SELECTS.fullmatch(word):
            raise InvalidArgument(f"ps: error: unsupported option {word!r}")
    columns = tuple(_column(name) for name in names or shape)
    if not any(title == "PID" for title, _ in columns):
        raise InvalidArgument("Couldn't find PID field in ps output")
    return columns


def _column(text: str) -> tuple[str, Column]:
    name, equals, title = text.strip().partition("=")
    key = _ALIASES.get(name.lower(), name.lower())
    if key not in _COLUMNS:
        raise InvalidArgument(f'ps: error: unknown user-defined format specifier "{name}"')
    heading, column = _COLUMNS[key]
    return (title if equals else heading), column


def table(listed: Processes, columns: Sequence[tuple[str, Column]]) -> dict[str, object]:
    """Return the body of GET /containers/{id}/top."""
    return {
        "Titles": [title for title, _ in columns],
        "Processes": [[column(entry, listed) for _, column in columns] for entry in listed.entries],
    }
