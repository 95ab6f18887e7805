"""Owns times as Docker's API writes and reads them: RFC 3339 and Unix, to the nanosecond."""

import re
from datetime import UTC, datetime
from time import time_ns

from hyper.core.calendar import calendar_ns
from hyper.core.errors import InvalidArgument
from hyper.core.units import parse_duration

ZERO = "0001-01-01T00:00:00Z"
NS_PER_S = 1_000_000_000
_UNIX = re.compile(r"(-?\d+)(?:\.(\d{1,9}))?")
_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})")


def rfc3339(ns: int) -> str:
    """Return a time as Go's RFC3339Nano writes it; 0 is Go's zero time."""
    if ns == 0:
        return ZERO
    fraction = f".{ns % NS_PER_S:09d}".rstrip("0").rstrip(".")
    return f"{_seconds(ns)}{fraction}Z"


def log_time(ns: int) -> str:
    """Return the time before a log line: always nine digits, so that lines stay aligned."""
    return f"{_seconds(ns)}.{ns % NS_PER_S:09d}Z"


def _seconds(ns: int) -> str:
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time(text: str, name: str = "") -> int:
    """Return the nanoseconds of a Unix time, a time of the calendar or a duration before now.

    "" is 0; a calendar without a zone is the daemon's.

    Raises InvalidArgument.
    """
    if not text:
        return 0
    if match := _UNIX.fullmatch(text):
        return int(match[1]) * NS_PER_S + int((match[2] or "").ljust(9, "0"))
    if match := _RFC3339.fullmatch(text):
        zone = "+00:00" if match[3] == "Z" else match[3]
        seconds = int(datetime.fromisoformat(match[1] + zone).timestamp())
        return seconds * NS_PER_S + int((match[2] or "").ljust(9, "0"))
    try:
        return time_ns() - round(parse_duration(text) * NS_PER_S)
    except InvalidArgument:
        pass
    try:
        return calendar_ns(text)
    except InvalidArgument as err:
        where = f'invalid value for "{name}": ' if name else ""
        raise InvalidArgument(f"{where}{err}") from None
