"""JSON objects as Go reads them: dockerd's clients may spell a field's name in any case.

encoding/json, Unmarshal: "preferring exact matches but also accepting case-insensitive matches".
docker-py, for one, sends `detachKeys`. Maps with keys of the user's (labels, ports) are iterated
and keep theirs.
"""

import json
from typing import Any


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


def loads(data: bytes) -> object:
    """Return parsed JSON. Raises ValueError, RecursionError."""
    return json.loads(data, object_pairs_hook=GoObject)
