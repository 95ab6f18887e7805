"""Owns the numbers a daemon counts about itself: counters and a histogram. Renders nothing.

Made once by the composition root and handed down; one event loop writes, so nothing is locked.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

# From a waiting clone under KVM to a boot under emulation on a busy machine.
START_BUCKETS_S = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)


class Histogram:
    """How often values were at most each bound; `counts` has one more, for those above all."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Take a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True)
class Metrics:
    """What is counted; keys are the values of the labels."""

    starts: Histogram = field(default_factory=lambda: Histogram(START_BUCKETS_S))
    start_failures: Counter[str] = field(default_factory=Counter)  # class of the error
    stream_bytes: Counter[str] = field(default_factory=Counter)  # stdin, stdout, stderr
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # operation, status
    errors: Counter[str] = field(default_factory=Counter)  # class of the error
