"""Owns times of the calendar as Docker takes them: RFC 3339, whole or in part (local then)."""

from datetime import UTC, datetime

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


def calendar_ns(text: str) -> int:
    """Return the nanoseconds since 1970 of a time of the calendar. Raises InvalidArgument."""
    whole, _, fraction = text.partition(".")
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    fraction, zone = fraction[:digits], fraction[digits:]
    for shape in _SHAPES:
        try:
            found = datetime.strptime(whole + zone, shape)
            if shape.endswith("Z"):
                found = found.replace(tzinfo=UTC)
            return int(found.timestamp()) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
        except (ValueError, OverflowError):
            continue
    raise InvalidArgument(f'failed to parse value as time or duration: "{text}"')
