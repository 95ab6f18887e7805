"""--since and --until in the words of the API: Unix time with nanoseconds. Talks to nobody.

docker/cli takes a Go duration (so long ago), a Unix time, or an RFC 3339 time, whole or in part.
"""

import time

from hyper.core.errors import InvalidArgument


def api_time(text: str, now_s: float | None = None) -> str:
    """Return `text` as the API takes it, "" for "". Raises InvalidArgument."""
    if not text or text.replace(".", "", 1).isdigit():
        return text
    from hyper.core.units import parse_duration

    try:
        ago_s = parse_duration(text)
    except InvalidArgument:
        return _calendar(text)
    return f"{(time.time() if now_s is None else now_s) - ago_s:.9f}"


def _calendar(text: str) -> str:
    from hyper.core.calendar import calendar_ns

    seconds, fraction = divmod(calendar_ns(text), 1_000_000_000)
    return f"{seconds}.{fraction:09d}"


def seconds(text: str) -> float:
    """Return the Unix time of an RFC 3339 time of the daemon; 0 for Go's zero time and nonsense."""
    if not text or text.startswith("0001"):
        return 0.0
    try:
        return float(_calendar(text))
    except InvalidArgument:
        return 0.0
