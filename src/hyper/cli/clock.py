"""Times as Go prints them. Reads no clock."""

import time


def nano_time(nanoseconds: int) -> str:
    """Return a time in Go's RFC3339Nano with all nine digits, in the local zone."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    suffix = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{fraction:09d}{suffix}"
