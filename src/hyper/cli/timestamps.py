"""--since and --until in the words of the API: Unix time with nanoseconds. Talks to nobody.

docker/cli takes a Go duration (so long ago), a Unix time, or an RFC 3339 time, whole or in part.
"""

import time

from hyper.core.errors import InvalidArgument

_SHAPES = (
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M%z",
    "%Y-%m-%dT%H%z",
    "%Y-%m-%dZ",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H",
    "%Y-%m-%d",
)


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
    from datetime import datetime

    whole, _, fraction = text.partition(".")
    zone = ""
    if fraction:
        digits = len(fraction) - len(fraction.lstrip("0123456789"))
        fraction, zone = fraction[:digits], fraction[digits:]
    for shape in _SHAPES:
        try:
            found = datetime.strptime(whole + zone, shape)
        except ValueError:
            continue
        if shape.endswith("Z"):
            from datetime import UTC

            found = found.replace(tzinfo=UTC)
        return f"{int(found.timestamp())}.{fraction[:9].ljust(9, '0')}"
    raise InvalidArgument(f'failed to parse value as time or duration: "{text}"')


def seconds(text: str) -> float:
    """Return the Unix time of an RFC 3339 time of the daemon; 0 for Go's zero time and nonsense."""
    if not text or text.startswith("0001"):
        return 0.0
    try:
        return float(_calendar(text))
    except InvalidArgument:
        return 0.0
