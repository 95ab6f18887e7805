"""Owns the waterfall of one start: the bare boot by its kernel's own clock, and the whole command.

The kernel's lines come from a boot that prints them, which is slower than a quiet one: read the
shares, not the sum.
"""

import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from tests.bench import boot, contenders
from tests.bench.contenders import Hyper

_BAR = 40
_PRINTK = re.compile(r"^\[ *(\d+\.\d+)\] (.*)$", re.MULTILINE)
_LOG_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+ (.*)$", re.MULTILINE)
_KERNEL_STEPS = 15
_LOUD = ("loglevel=7", "printk.time=1")


def waterfall(images: Path, accelerator: str) -> str:
    """Return the waterfalls of one start as text."""
    quiet = boot.boots(3, accelerator)[-1]
    loud = boot.boots(1, accelerator, _LOUD)[0]
    parts = [
        f"Cold boot, VMM spawned to agent ready: {quiet.agent_s * 1000:.0f} ms",
        _bars(quiet.steps),
        f"The kernel's longest steps (it prints here: {loud.agent_s * 1000:.0f} ms in all)",
        _bars(_kernel_steps(loud.console)),
        *(_command(images, accelerator, way, own) for way, own in _ways()),
    ]
    return "\n".join(parts)


def _ways() -> Iterable[tuple[str, Mapping[str, object]]]:
    yield "waiting clone", {}
    yield from contenders.WAYS.items()


def _bars(steps: Iterable[tuple[str, float]]) -> str:
    """Return one line per step: its start, its length, and a bar at its place."""
    steps = list(steps)
    total = sum(seconds for _, seconds in steps) or 1.0
    lines, at = [], 0.0
    for name, seconds in steps:
        left = round(at / total * _BAR)
        bar = "#" * max(1, round(seconds / total * _BAR))
        where = (" " * left + bar).ljust(_BAR)[:_BAR]
        lines.append(f"  {at * 1000:7.1f} ms {seconds * 1000:+8.1f}  |{where}| {name[:64]}")
        at += seconds
    return "\n".join([*lines, ""])


def _kernel_steps(console: str) -> list[tuple[str, float]]:
    """Return the longest silent stretches between the kernel's lines, in order, and the rest."""
    lines = [(float(seconds), text) for seconds, text in _PRINTK.findall(console)]
    gaps = [(text, later - earlier) for (earlier, text), (later, _) in pairwise(lines)]
    longest = {id(gap) for gap in sorted(gaps, key=lambda gap: gap[1])[-_KERNEL_STEPS:]}
    steps: list[tuple[str, float]] = []
    for gap in gaps:
        if id(gap) in longest:
            steps.append((f"after: {gap[0]}", gap[1]))
        elif steps and steps[-1][0] == "(short steps)":
            steps[-1] = ("(short steps)", steps[-1][1] + gap[1])
        else:
            steps.append(("(short steps)", gap[1]))
    return steps


def _command(images: Path, accelerator: str, way: str, own: Mapping[str, object]) -> str:
    """Return the waterfall of the command `hyper run`, by the daemon's log."""
    config = {"accelerator": accelerator, "pool": {"waiting": 1}, **own}
    hyper = Hyper(config={"log-level": "debug", "hyper": config})
    try:
        hyper.load(images)
        contenders.warm(hyper)
        hyper.settle()
        log_start = hyper.daemon.log.stat().st_size
        started = time.time()
        contenders.run(hyper, "run", "--rm", "busybox", "echo", "hi")
        ended = time.time()
        text = hyper.daemon.log.read_bytes()[log_start:].decode(errors="replace")
        argv, environment = hyper.command("--version")
        before = time.perf_counter()
        subprocess.run(argv, env=environment, capture_output=True)
        command_line_s = time.perf_counter() - before
    finally:
        hyper.close()
    events = [("hyper starts", started)]
    for stamp, line in _LOG_LINE.findall(text):
        at = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f").timestamp()
        if started <= at + 0.001 and at <= ended:
            events.append((line, at))
    events.append(("hyper has ended", ended))
    steps = [
        (f"until: {name}", max(0.0, at - earlier)) for (_, earlier), (name, at) in pairwise(events)
    ]
    head = f"hyper run --rm busybox echo hi, {way}: {(ended - started) * 1000:.0f} ms"
    return f"{head} (of it starting hyper alone: {command_line_s * 1000:.0f} ms)\n{_bars(steps)}"
