"""Signals by Linux name and number, as `docker kill` and STOPSIGNAL take them (moby/sys/signal)."""

import re
import signal

from hyper.core.errors import InvalidArgument

SIGKILL = 9
SIGTERM = 15
# The guest is Linux on x86-64 or arm64, where these numbers are the same (signal(7)).
RTMIN, RTMAX = 34, 64
NAMES = {item.name.removeprefix("SIG"): item.value for item in signal.Signals} | {
    "CLD": 17,
    "IOT": 6,
    "POLL": 29,
    "STKFLT": 16,
    "RTMIN": RTMIN,
    "RTMAX": RTMAX,
}
_REAL_TIME = re.compile(r"RT(MIN|MAX)([+-]\d+)")


def signal_number(text: str) -> int:
    """Return the number of a signal given by number or name, with or without SIG.

    Raises InvalidArgument with Docker's text.
    """
    name = text.upper().removeprefix("SIG")
    if name.isdigit():
        number = int(name)
    elif match := _REAL_TIME.fullmatch(name):
        number = NAMES["RT" + match[1]] + int(match[2])
        number = number if RTMIN <= number <= RTMAX else 0
    else:
        number = NAMES.get(name, 0)
    if not 1 <= number <= RTMAX:
        raise InvalidArgument(f"Invalid signal: {text}")
    return number
