"""Owns what is measured on whole commands: one function per figure, alike for all contenders."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import contenders, memory
from tests.bench.contenders import BenchError, Contender
from tests.bench.measure import Figure, Series, alternate, timed
from tests.support.userland import Entry, ImageRecipe, busybox_layer, save

MIB = 1024 * 1024
MANY_LAYERS = 20
_ANSWER_S = 300.0
# A first process that ends at once when asked to: `stop` is measured, not its grace period.
_WAITING = "trap 'exit 0' TERM; : > /up; while :; do sleep 1 & wait; done"
_UNTIL_UP = "while [ ! -e /up ]; do sleep 0.01; done"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a scenario gets: the contenders and how often to measure."""

    contenders: Sequence[Contender]
    rounds: int
    burst: int
    idle: int


def write_images(folder: Path) -> Path:
    """Write the images of all scenarios as one archive: busybox, and the same in many layers."""
    base = busybox_layer()
    above = [
        [Entry(f"layer/{number}", f"{number}\n".encode(), mode=0o644)]
        for number in range(1, MANY_LAYERS)
    ]
    recipes = [
        ImageRecipe("busybox:latest", [base]),
        ImageRecipe("layers:many", [base, *above]),
    ]
    return save(recipes, folder / "images.tar")


def _each(
    bench: Bench, make: Callable[[Contender], Callable[[], float]]
) -> list[tuple[str, Callable[[], float]]]:
    return [(contender.name, make(contender)) for contender in bench.contenders]


@contextmanager
def _running(bench: Bench, name: str, count: int = 1) -> Iterator[None]:
    """Have `count` idle containers per contender, called name-0, name-1, ..."""
    names = [f"{name}-{number}" for number in range(count)]
    try:
        for contender in bench.contenders:
            for each in names:
                start = ("run", "--detach", "--name", each, "busybox", "sh", "-c", _WAITING)
                contenders.run(contender, *start)
        yield
    finally:
        for contender in bench.contenders:
            contenders.run(contender, "rm", "--force", *names)


def run_echo(bench: Bench) -> Figure:
    """Measure the whole command `run --rm busybox echo hi`."""

    def sampler(contender: Contender) -> Callable[[], float]:
        def sample() -> float:
            seconds = timed(lambda: said.append(_echo(contender, "busybox")))
            if said.pop() != "hi\n":
                raise BenchError(f"{contender.name}: run printed something else than hi")
            return seconds

        said: list[str] = []
        return sample

    series = alternate(bench.rounds, _each(bench, sampler))
    return Figure("run", "run --rm busybox echo hi", "s", series, bar=1.0)


def _echo(contender: Contender, image: str) -> str:
    return contenders.run(contender, "run", "--rm", image, "echo", "hi")


def exec_true(bench: Bench) -> Figure:
    """Measure the whole command `exec CONTAINER true`."""

    def sampler(contender: Contender) -> Callable[[], float]:
        return lambda: timed(lambda: contenders.run(contender, "exec", "bench-exec-0", "true"))

    with _running(bench, "bench-exec"):
        series = alternate(bench.rounds, _each(bench, sampler))
    return Figure("exec", "exec CONTAINER true", "s", series, bar=1.0)


def stop(bench: Bench) -> Figure:
    """Measure the whole command `stop CONTAINER` of a process that ends on TERM at once."""

    def sampler(contender: Contender) -> Callable[[], float]:
        def sample() -> float:
            start = ("run", "--detach", "--name", "bench-stop", "busybox", "sh", "-c", _WAITING)
            contenders.run(contender, *start)
            contenders.run(contender, "exec", "bench-stop", "sh", "-c", _UNTIL_UP)
            seconds = timed(lambda: contenders.run(contender, "stop", "bench-stop"))
            contenders.run(contender, "rm", "--force", "bench-stop")
            return seconds

        return sample

    series = alternate(max(3, bench.rounds // 3), _each(bench, sampler))
    return Figure("stop", "stop CONTAINER", "s", series)


def burst(bench: Bench) -> Figure:
    """Measure many `run --rm busybox echo hi` at once, from the first start to the last answer."""

    def sampler(contender: Contender) -> Callable[[], float]:
        def all_at_once() -> None:
            argv = ("run", "--rm", "busybox", "echo", "hi")
            started = [contenders.start(contender, *argv) for _ in range(bench.burst)]
            answers = [_answer(process) for process in started]
            lost = [answer for answer in answers if answer != b"hi\n"]
            if lost:
                raise BenchError(
                    f"{contender.name}: {len(lost)} of {bench.burst} lost: {lost[0]!r}"
                )

        return lambda: timed(all_at_once)

    series = alternate(max(1, bench.rounds // 10), _each(bench, sampler), warm_up=0)
    title = f"{bench.burst} x run at once, all answered"
    return Figure("burst", title, "s", series, bar=1.5)


def _answer(process: "subprocess.Popen[bytes]") -> bytes:
    stdout, stderr = process.communicate(timeout=_ANSWER_S)
    return stdout if process.returncode == 0 else stderr


def idle_memory(bench: Bench) -> Figure:
    """Measure PSS per idle container: what the whole family grew by, shared by their number."""
    before = {each.name: memory.total_pss_bytes(each.mark) for each in bench.contenders}
    detail: dict[str, object] = {"containers": bench.idle, "daemon_pss_mib": {}}
    with _running(bench, "bench-idle", bench.idle):
        series = []
        for contender in bench.contenders:
            total = memory.total_pss_bytes(contender.mark)
            series.append(Series(contender.name, (total / bench.idle / MIB,)))
    detail["daemon_pss_mib"] = {name: round(size / MIB, 1) for name, size in before.items()}
    title = f"memory per idle container (PSS, daemon's share of {bench.idle} included)"
    return Figure("memory", title, "MiB", tuple(series), bar=40, baseline="", detail=detail)


def layers(bench: Bench) -> Figure:
    """Measure a run of the 20-layer image over the same of the 1-layer image, as a ratio."""

    def sampler(contender: Contender) -> Callable[[], float]:
        def sample() -> float:
            one = timed(lambda: _echo(contender, "busybox"))
            return timed(lambda: _echo(contender, "layers:many")) / one

        return sample

    series = alternate(max(3, bench.rounds // 2), _each(bench, sampler))
    title = f"start of an image of {MANY_LAYERS} layers over 1 layer"
    return Figure("layers", title, "x", series, bar=1.2, baseline="")


SCENARIOS: dict[str, Callable[[Bench], Figure]] = {
    "run": run_echo,
    "exec": exec_true,
    "stop": stop,
    "layers": layers,
    "memory": idle_memory,
    "burst": burst,
}
