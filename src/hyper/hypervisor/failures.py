"""Counts what went wrong with each shape of VM lately, and tells when to leave it alone for now.

What makes a clone fail is often gone a while later (a full disk, no memory, a process somebody
killed), and a daemon runs for months: so a failure is forgotten in the end. Decides nothing itself.
"""

import time

LIMIT = 3
WINDOW_S = 600.0


class Failures:
    """The failures of one kind, by the key of the shape's template."""

    def __init__(self) -> None:
        self._when: dict[str, list[float]] = {}

    def note(self, key: str) -> None:
        """Count one more."""
        self._when[key] = [*self._recent(key), time.monotonic()]

    def count(self, key: str) -> int:
        """Return how many there were lately."""
        return len(self._recent(key))

    def too_many(self, key: str) -> bool:
        """Tell whether it should not be tried again for now."""
        return self.count(key) >= LIMIT

    def forget(self, key: str) -> None:
        """Begin anew."""
        self._when.pop(key, None)

    def _recent(self, key: str) -> list[float]:
        begin = time.monotonic() - WINDOW_S
        return [when for when in self._when.get(key, ()) if when > begin]
