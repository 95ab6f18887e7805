"""Owns the figure of density: pods are added in steps until there are as many as asked for."""

import statistics

from tests.bench import contenders, memory
from tests.bench.contenders import BenchError
from tests.bench.measure import Figure, Series, timed
from tests.bench.running import IDLE, Bench

MIB = 1024 * 1024
_STEPS = (10, 25, 50, 100, 150, 200)


def density(bench: Bench) -> Figure:
    """Add idle pods to Hyper; at each step their memory and start, at the end an exec in each."""
    hyper = bench.contenders[0]
    hyper.settle()
    steps = [step for step in _STEPS if step < bench.density] + [bench.density]
    before = memory.total_pss_bytes(hyper.mark)
    names: list[str] = []
    starts: list[float] = []
    detail = []
    try:
        for step in steps:
            begin = len(names)
            while len(names) < step:
                names.append(f"bench-density-{len(names)}")
                start = ("run", "--detach", "--name", names[-1], "busybox", *IDLE)
                starts.append(timed(lambda start=start: contenders.run(hyper, *start)))  # type: ignore[misc]
            grown = memory.total_pss_bytes(hyper.mark) - before
            detail.append(
                {
                    "pods": step,
                    "pss_mib": round(grown / step / MIB, 1),
                    "start_s": round(statistics.median(starts[begin:]), 3),
                }
            )
        execs = [_answer_s(hyper, name) for name in names]
    finally:
        if names:
            contenders.run(hyper, "rm", "--force", *names)
    said = "; ".join(
        f"{d['pods']} pods: {d['pss_mib']} MiB each, start {d['start_s']} s" for d in detail
    )
    note = f"{said}; every one answered an exec, median {statistics.median(execs):.3f} s"
    title = f"start of each of {bench.density} idle pods, all kept"
    series = (Series("hyper", tuple(starts)),)
    return Figure("density", title, "s", series, baseline="", note=note, detail={"steps": detail})


def _answer_s(hyper: contenders.Contender, name: str) -> float:
    answers: list[str] = []
    seconds = timed(lambda: answers.append(contenders.run(hyper, "exec", name, "echo", name)))
    if answers != [f"{name}\n"]:
        raise BenchError(f"{name} answered {answers}")
    return seconds
