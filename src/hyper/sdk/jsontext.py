"""JSON text to values and back with CPython's own accelerator. Does not import `json`, which costs
8 ms.

`json` spends that on `re` and `enum`. Where the accelerator is missing (another Python), `json` is
used.
"""

from hyper.core.errors import InvalidArgument

try:
    import _json as _accelerator
except ImportError:  # not CPython
    _accelerator = None  # type: ignore[assignment]

_SPACE = " \t\r\n"


class _ScannerOptions:
    """What json.JSONDecoder gives the scanner (cpython Modules/_json.c, scanner_new)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


_scan = (
    _accelerator.make_scanner(_ScannerOptions())  # type: ignore[arg-type]
    if _accelerator is not None
    else None
)


def dumps(value: object) -> str:
    """Return `value` (None, bool, int, float, str, list, tuple, dict with str keys) as JSON."""
    if _scan is None:
        import json

        return json.dumps(value)
    parts: list[str] = []
    _encode(value, parts.append)
    return "".join(parts)


def _encode(value: object, put: "_Put") -> None:
    if value is None:
        put("null")
    elif value is True:
        put("true")
    elif value is False:
        put("false")
    elif isinstance(value, str):
        put(_accelerator.encode_basestring_ascii(value))
    elif isinstance(value, int):
        put(int.__repr__(value))
    elif isinstance(value, float):
        if value - value != 0:
            raise TypeError(f"{value} has no JSON form")
        put(float.__repr__(value))
    elif isinstance(value, dict):
        opening = "{"
        for key, item in value.items():
            put(opening)
            put(_accelerator.encode_basestring_ascii(key))
            put(":")
            _encode(item, put)
            opening = ","
        put("}" if value else "{}")
    elif isinstance(value, list | tuple):
        opening = "["
        for item in value:
            put(opening)
            _encode(item, put)
            opening = ","
        put("]" if value else "[]")
    else:
        raise TypeError(f"{type(value).__name__} has no JSON form")


def loads(text: str | bytes) -> object:
    """Return the value of one JSON text. Raises InvalidArgument."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    value, end = decode_at(text, 0)
    if text[end:].strip(_SPACE):
        raise InvalidArgument(f"invalid JSON: more text after position {end}")
    return value


def decode_at(text: str, start: int) -> tuple[object, int]:
    """Return the JSON value that begins at `start` (or after white space) and where it ends.

    Raises InvalidArgument.
    """
    size = len(text)
    while start < size and text[start] in _SPACE:
        start += 1
    try:
        if _scan is not None:
            value, end = _scan(text, start)
            return value, end
        import json

        return json.JSONDecoder().raw_decode(text, start)
    except (StopIteration, ValueError, RecursionError) as err:
        raise InvalidArgument(f"invalid JSON: {text[start : start + 60]!r}") from err


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    _Put = Callable[[str], None]
