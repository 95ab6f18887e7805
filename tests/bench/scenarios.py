"""Owns what is measured on whole commands: one function per figure, alike for all contenders."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.bench import contenders, density, memory, throughput
from tests.bench.contenders import BenchError, Contender
from tests.bench.measure import Figure, Series, alternate, timed
from tests.bench.running import IDLE, WAITING, Bench, each_of, running
from tests.support.userland import Entry, ImageRecipe, busybox_layer, save

MIB = 1024 * 1024
MANY_LAYERS = 20
_ANSWER_S = 300.0
_UNTIL_UP = "while [ ! -e /up ]; do sleep 0.01; done"


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


def run_echo(bench: Bench) -> tuple[Figure, ...]:
    """Measure the whole command `run --rm busybox echo hi`: pooled, forked, cloned, booted."""

    def sampler(contender: Contender) -> Callable[[], float]:
        def sample() -> float:
            contender.settle()
            seconds = timed(lambda: said.append(_echo(contender, "busybox")))
            if said.pop() != "hi\n":
                raise BenchError(f"{contender.name}: run printed something else than hi")
            return seconds

        said: list[str] = []
        return sample

    everyone = (*bench.contenders, *bench.variants)
    series = alternate(bench.rounds, [(each.name, sampler(each)) for each in everyone])
    others = tuple(each for each in series if not each.contender.startswith("hyper"))
    found = {each.contender: each for each in series}
    title = "run --rm busybox echo hi"
    ways = (
        ("", "waiting clone", 0.7),
        ("-fork", "fresh clone", 1.0),
        ("-clone", "fresh clone as a process of its own", None),
        ("-boot", "cold boot", 0.8),
    )
    return tuple(
        Figure(
            f"run{way}",
            f"{title}, {how}",
            "s",
            (Series("hyper", found[f"hyper{way}"].samples), *others),
            bar=bar,
            baseline="" if way == "-boot" else "docker",
        )
        for way, how, bar in ways
        if f"hyper{way}" in found
    )


def clones(bench: Bench) -> tuple[Figure, ...]:
    """Run many clones in a row, of both kinds: each must answer. Not part of the default run."""
    figures = []
    for way in bench.variants:
        kind = {"hyper-fork": "forks", "hyper-clone": "clones, processes of their own,"}
        if way.name in kind:
            way.settle()
            samples = [_numbered_s(way, number) for number in range(bench.clones)]
            title = f"{bench.clones} {kind[way.name]} in a row, none lost"
            series = (Series("hyper", tuple(samples)),)
            figures.append(Figure(f"clones{way.name[5:]}", title, "s", series, baseline=""))
    return tuple(figures)


def _numbered_s(contender: Contender, number: int) -> float:
    answers: list[str] = []
    asked = ("run", "--rm", "busybox", "echo", str(number))
    seconds = timed(lambda: answers.append(contenders.run(contender, *asked)))
    if answers != [f"{number}\n"]:
        raise BenchError(f"run {number} in a row answered {answers}")
    return seconds


def _echo(contender: Contender, image: str) -> str:
    return contenders.run(contender, "run", "--rm", image, "echo", "hi")


def exec_true(bench: Bench) -> Figure:
    """Measure the whole command `exec CONTAINER true`."""

    def sampler(contender: Contender) -> Callable[[], float]:
        return lambda: timed(lambda: contenders.run(contender, "exec", "bench-exec-0", "true"))

    with running(bench, "bench-exec"):
        series = alternate(bench.rounds, each_of(bench, sampler))
    return Figure("exec", "exec CONTAINER true", "s", series, bar=1.0)


def stop(bench: Bench) -> Figure:
    """Measure the whole command `stop CONTAINER` of a process that ends on TERM at once."""

    def sampler(contender: Contender) -> Callable[[], float]:
        def sample() -> float:
            start = ("run", "--detach", "--name", "bench-stop", "busybox", *WAITING)
            contenders.run(contender, *start)
            contenders.run(contender, "exec", "bench-stop", "sh", "-c", _UNTIL_UP)
            seconds = timed(lambda: contenders.run(contender, "stop", "bench-stop"))
            contenders.run(contender, "rm", "--force", "bench-stop")
            return seconds

        return sample

    series = alternate(max(3, bench.rounds // 3), each_of(bench, sampler))
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

        def sample() -> float:
            contender.settle()
            return timed(all_at_once)

        return sample

    series = alternate(max(1, bench.rounds // 15), each_of(bench, sampler), warm_up=0)
    title = f"{bench.burst} x run at once, all answered"
    return Figure("burst", title, "s", series, bar=1.5)


def _answer(process: "subprocess.Popen[bytes]") -> bytes:
    stdout, stderr = process.communicate(timeout=_ANSWER_S)
    return stdout if process.returncode == 0 else stderr


def idle_memory(bench: Bench) -> Figure:
    """Measure PSS per idle container: the contender's whole family, shared by their number.

    Clones that wait belong to no container: Hyper keeps none meanwhile.
    """
    hyper = bench.contenders[0]
    contenders.run(hyper, "pool", "set", "--waiting", "0")
    try:
        hyper.settle()
        before = {each.name: memory.total_pss_bytes(each.mark) for each in bench.contenders}
        with running(bench, "bench-idle", bench.idle, IDLE):
            totals = {each.name: memory.total_pss_bytes(each.mark) for each in bench.contenders}
    finally:
        contenders.run(hyper, "pool", "set", "--waiting", "2")
    series = tuple(Series(name, (total / bench.idle / MIB,)) for name, total in totals.items())
    shares = {name: round(size / bench.idle / MIB, 1) for name, size in before.items()}
    said = ", ".join(f"{name} {share}" for name, share in shares.items())
    note = f"of it the daemons' share, in MiB: {said}; podman's containers are not its children"
    title = f"memory per idle container (PSS, daemon's share of {bench.idle} included)"
    detail: dict[str, object] = {"containers": bench.idle, "daemon_share_mib": shares}
    return Figure("memory", title, "MiB", series, bar=40, baseline="", note=note, detail=detail)


def layers(bench: Bench) -> Figure:
    """Measure a run of the 20-layer image over the same of the 1-layer image, as a ratio."""

    def sampler(contender: Contender) -> Callable[[], float]:
        def sample() -> float:
            one = timed(lambda: _echo(contender, "busybox"))
            return timed(lambda: _echo(contender, "layers:many")) / one

        return sample

    series = alternate(max(3, bench.rounds // 2), each_of(bench, sampler))
    title = f"start of an image of {MANY_LAYERS} layers over 1 layer"
    return Figure("layers", title, "x", series, bar=1.2, baseline="")


Scenario = Callable[[Bench], Figure | tuple[Figure, ...]]
SCENARIOS: dict[str, Scenario] = {
    "run": run_echo,
    "exec": exec_true,
    "burst": burst,
    "memory": idle_memory,
    "density": density.density,
    "layers": layers,
    "stop": stop,
    "disk": throughput.disk,
    "tcp": throughput.tcp,
    "download": throughput.download,
    "clones": clones,
}
BY_REQUEST = ("clones",)
"""Scenarios that take minutes, and so run only when asked for."""
