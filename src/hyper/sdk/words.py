"""Single values users write, checked: addresses and comma-separated fields."""

from hyper.core.errors import InvalidArgument


def check_ip(text: str) -> str:
    """Return `text` if it is an IP address. Raises InvalidArgument with docker's text."""
    import _socket

    family = _socket.AF_INET6 if ":" in text else _socket.AF_INET
    try:
        _socket.inet_pton(family, text.strip())
    except OSError as err:
        raise InvalidArgument(f"IP address is not correctly formatted: {text}") from err
    return text.strip()


def csv_fields(text: str) -> list[str]:
    """Return the fields of one line of comma-separated values, with double quotes as in RFC
    4180."""
    if '"' not in text:
        return text.split(",")
    import csv

    return next(csv.reader([text]), [])
