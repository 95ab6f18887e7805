"""Owns what scenarios start from: who is compared, how often, and containers that run meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench import contenders
from tests.bench.contenders import Contender

IDLE = ("sleep", "1000000")
# A first process that ends at once when asked to: `stop` is measured, not its grace period.
WAITING = ("sh", "-c", "trap 'exit 0' TERM; : > /up; while :; do sleep 1 & wait; done")


@dataclass(frozen=True, slots=True)
class Bench:
    """What a scenario gets: the contenders and how often to measure."""

    contenders: Sequence[Contender]
    rounds: int
    burst: int
    idle: int
    density: int
    clones: int
    variants: Sequence[Contender] = ()
    """Hyper with its VMs started in other ways; only the plain start is measured with them."""


def each_of(
    bench: Bench, make: Callable[[Contender], Callable[[], float]]
) -> list[tuple[str, Callable[[], float]]]:
    """Return a sampler for each contender, for `alternate`."""
    return [(contender.name, make(contender)) for contender in bench.contenders]


@contextmanager
def running(
    bench: Bench, name: str, count: int = 1, command: Sequence[str] = WAITING
) -> Iterator[None]:
    """Have `count` containers per contender, called name-0, name-1, ..."""
    names = [f"{name}-{number}" for number in range(count)]
    try:
        for contender in bench.contenders:
            for each in names:
                start = ("run", "--detach", "--name", each, "busybox", *command)
                contenders.run(contender, *start)
        yield
    finally:
        for contender in bench.contenders:
            contenders.run(contender, "rm", "--force", *names)
