"""JSON objects as Go reads them: dockerd's clients may spell a field's name in any case.

encoding/json, Unmarshal: "preferring exact matches but also accepting case-insensitive matches".
docker-py, for one, sends `detachKeys`. Maps with keys of the user's (labels, ports) are iterated
and keep theirs.
"""

import json
import math
import re
from typing import Any

# A backslash in JSON begins an escape of one letter, of one UTF-16 unit, or of a pair of those.
_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE = r"u[dD][89a-fA-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"\\(?:{_PAIR}|({_LONE})|.)", re.DOTALL)


class GoObject(dict[str, Any]):
    """An object whose `get` finds a field by its name in any case, an exact one first."""

    _folded: dict[str, str] | None = None

    def get(self, key: str, default: Any = None) -> Any:
        """Return the field called `key`, whatever the case it came in."""
        if key in self:
            return self[key]
        if self._folded is None:
            self._folded = {name.lower(): name for name in self}
        name = self._folded.get(key.lower())
        return default if name is None else self[name]


def loads(data: bytes | str, kind: type[dict[str, Any]] = GoObject) -> object:
    """Return parsed JSON, objects as `kind`. Raises ValueError, RecursionError."""
    return json.loads(
        text(data), object_pairs_hook=kind, parse_float=_finite, parse_constant=_finite
    )


def _finite(number: str) -> float:
    """Return a number of JSON. Raises ValueError for NaN, Infinity and 1e999, as Go does."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is no finite number")
    return value


def text(data: bytes | str) -> str:
    """Return the text of JSON, with U+FFFD for what is not Unicode, as Go reads it.

    That is bytes that are not UTF-8, and \\ud800 without its other half: Python's json would make
    of it a str that nobody can write any more.
    """
    found = data if isinstance(data, str) else data.decode("utf-8", "replace")
    if "\\ud" not in found and "\\uD" not in found:
        return found
    return _ESCAPE.sub(lambda match: r"\ufffd" if match[1] else match[0], found)


def joined(value: str) -> str:
    """Return a string with pairs of surrogates made one character, and single ones U+FFFD.

    PyYAML leaves each \\uXXXX of a document, which may be JSON, a character of its own.
    """
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
