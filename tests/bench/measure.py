"""Owns samples and what is computed from them: series, figures, ratios. Only a clock runs here."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one contender, in the figure's unit."""

    contender: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        """The sample that 95 % do not exceed."""
        ordered = sorted(self.samples)
        return ordered[max(0, math.ceil(len(ordered) * 0.95) - 1)]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing: a series per contender; `bar` is the goal for the ratio or the value."""

    key: str
    title: str
    unit: str
    series: tuple[Series, ...]
    bar: float | None = None
    # The contender whose median the others' are divided by; empty: the bar is a plain value.
    baseline: str = "docker"
    note: str = ""
    detail: dict[str, object] = field(default_factory=dict)

    def of(self, contender: str) -> Series | None:
        """Return the series of a contender."""
        return next((series for series in self.series if series.contender == contender), None)

    def ratio(self, contender: str) -> float | None:
        """Return a contender's median over the baseline's."""
        base, own = self.of(self.baseline), self.of(contender)
        if base is None or own is None or base is own or base.median == 0:
            return None
        return own.median / base.median

    def reached(self, contender: str) -> bool | None:
        """Tell whether a contender reaches the bar; None without a bar or a baseline."""
        own = self.of(contender)
        if self.bar is None or own is None:
            return None
        if not self.baseline:
            return own.median <= self.bar
        ratio = self.ratio(contender)
        return None if ratio is None else ratio <= self.bar

    def as_json(self) -> dict[str, object]:
        """Return the figure with everything that is computed from it."""
        computed = {
            series.contender: {
                "median": series.median,
                "p95": series.p95,
                "count": len(series.samples),
                "ratio": self.ratio(series.contender),
                "reached": self.reached(series.contender),
            }
            for series in self.series
        }
        return {**asdict(self), "computed": computed}


def timed(action: Callable[[], object]) -> float:
    """Return how many seconds `action` took."""
    started = perf_counter()
    action()
    return perf_counter() - started


def alternate(
    rounds: int, samplers: Sequence[tuple[str, Callable[[], float]]], warm_up: int = 1
) -> tuple[Series, ...]:
    """Take one sample of each in turn, A B A B, `rounds` times, so that drift hits all alike."""
    samples: dict[str, list[float]] = {name: [] for name, _ in samplers}
    for number in range(warm_up + rounds):
        for name, sampler in samplers:
            value = sampler()
            if number >= warm_up:
                samples[name].append(value)
    return tuple(Series(name, tuple(values)) for name, values in samples.items())
