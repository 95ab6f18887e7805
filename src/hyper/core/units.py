"""Sizes and durations as people write them, in Docker's units (docker/go-units: RAMInBytes,
HumanSize).
"""

from hyper.core.errors import InvalidArgument

# Without `re` where the command line starts: importing it takes as long as half of `hyper run`.
_DURATION = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

KIB = 1024
MIB = 1024**2
GIB = 1024**3


def parse_size(text: str) -> int:
    """Return the bytes of a size such as 64m, 1.5g, 4096 or 10MB (powers of 1024).

    Raises InvalidArgument.
    """
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    power = " kmgtp".find(number[-1:])
    if number and power > 0:
        number = number[:-1]
    number = number.removesuffix(" ")
    whole, point, fraction = number.partition(".")
    if not (whole + fraction).isdecimal() or not whole or (point and not fraction):
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(float(number) * 1024 ** max(power, 0))


def go_duration(seconds: float) -> str:
    """Return a duration as Go prints it: 1.5s, 300ms, 1m30s, 1h0m0s."""
    if 0 < seconds < 1:
        scale, unit = (1e3, "ms") if seconds >= 1e-3 else (1e6, "us")
        return f"{seconds * scale:.9g}{unit}"
    minutes, rest = divmod(round(seconds, 9), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{hours}h" if hours else ""
    return text + (f"{minutes}m" if hours or minutes else "") + f"{rest:.11g}s"


def human_size(size_bytes: float, digits: int = 3) -> str:
    """Return a size in powers of 1000, as `docker images` shows it; sums have four digits."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if size < 1000 or unit == "PB":
            return f"{size:.{digits}g}{unit}"
        size /= 1000
    raise AssertionError("unreachable")


def binary_size(size_bytes: float) -> str:
    """Return a size in powers of 1024 with four digits, as `docker stats` shows it."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024 or unit == "PiB":
            return f"{size:.4g}{unit}"
        size /= 1024
    raise AssertionError("unreachable")


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration such as 1h30m, 10s or 250ms (time.ParseDuration).

    Raises InvalidArgument.
    """
    if text == "0":
        return 0.0
    import re

    sign, body = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    parts = list(re.finditer(_DURATION, body))
    if not parts or "".join(part[0] for part in parts) != body:
        raise InvalidArgument(f'time: invalid duration "{text}"')
    return sign * sum(float(part[1]) * _SECONDS[part[2]] for part in parts)


def human_duration(seconds: float) -> str:
    """Return a duration as Docker words it: "Less than a second", "5 minutes", "2 days"."""
    count = int(seconds)
    if count < 1:
        return "Less than a second"
    for limit, divisor, one, many in (
        (2, 1, "1 second", ""),
        (60, 1, "", "seconds"),
        (120, 60, "About a minute", ""),
        (3600, 60, "", "minutes"),
        (5400, 3600, "About an hour", ""),
        (48 * 3600, 3600, "", "hours"),
        (14 * 86400, 86400, "", "days"),
        (60 * 86400, 7 * 86400, "", "weeks"),
        (730 * 86400, 30 * 86400, "", "months"),
    ):
        if count < limit:
            return one or f"{count // divisor} {many}"
    return f"{count // (365 * 86400)} years"
