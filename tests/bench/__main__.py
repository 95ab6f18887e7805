"""Owns the command line of the benchmark (`make bench ARGS=...`)."""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import boot, contenders, profile, report
from tests.bench.contenders import WAYS, BenchError, Contender, Hyper
from tests.bench.measure import Figure
from tests.bench.running import Bench
from tests.bench.scenarios import BY_REQUEST, SCENARIOS, write_images

OUT = Path("bench")
WITHOUT_CONTENDERS = ("boot", "soak")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    known = [*WITHOUT_CONTENDERS, *SCENARIOS]
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=known, metavar="FIGURE", help=", ".join(known))
    parser.add_argument("--rounds", type=_count, default=15, help="samples per figure (15)")
    parser.add_argument("--burst", type=_count, default=50, help="starts at once (50)")
    parser.add_argument("--idle", type=_count, default=10, help="idle containers for memory (10)")
    parser.add_argument("--boots", type=_count, default=200, help="cold boots of the soak (200)")
    parser.add_argument("--density", type=_count, default=200, help="most pods at once (200)")
    parser.add_argument("--clones", type=_count, default=500, help="clones in a row (500)")
    parser.add_argument(
        "--minutes", type=float, default=11, help="begin no figure after so long (11)"
    )
    parser.add_argument("--quick", action="store_true", help="few samples, for a first look")
    parser.add_argument(
        "--against",
        nargs="*",
        default=["docker", "podman"],
        choices=["docker", "podman"],
        help="what to compare with, where installed",
    )
    parser.add_argument(
        "--accelerator", default="auto", choices=["auto", "kvm", "tcg"], help="for VMs (auto)"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="where the files go (bench/)")
    parser.add_argument(
        "--profile", action="store_true", help="only print a waterfall of one start, end to end"
    )
    options = parser.parse_args(words)
    if options.quick:
        options.rounds, options.burst, options.idle, options.boots = 5, 10, 4, 10
        options.density, options.clones = 10, 10
    return options


def _measure_commands(
    options: argparse.Namespace, wanted: Sequence[str], folder: Path
) -> tuple[list[Figure], list[str]]:
    """Return the figures, and what went wrong: one scenario that fails does not end the others."""
    running: list[Contender] = []
    variants: list[Hyper] = []
    figures: list[Figure] = []
    failures: list[str] = []
    try:
        mine = _hyper(options, "hyper", {})
        running.append(mine)
        running += contenders.others(options.against, folder)
        if {"run", "clones"} & set(wanted):
            # One by one, so that those there are get ended when the next cannot be started.
            variants += (_hyper(options, f"hyper-{way}", own) for way, own in WAYS.items())
        images = write_images(folder)
        for contender in (*running, *variants):
            contender.load(images)
        for hyper in (mine, *variants):
            contenders.warm(hyper)
        bench = Bench(
            running,
            options.rounds,
            options.burst,
            options.idle,
            options.density,
            options.clones,
            variants,
        )
        end = time.monotonic() + options.minutes * 60
        for name in wanted:
            if time.monotonic() > end and name not in BY_REQUEST:
                failures.append(f"{name}: not measured, {options.minutes:g} minutes are over")
                continue
            print(f"bench: {name} ...", file=sys.stderr, flush=True)
            try:
                measured = SCENARIOS[name](bench)
            except (BenchError, subprocess.TimeoutExpired) as error:
                failures.append(f"{name}: {error}")
                print(f"bench: {failures[-1]}", file=sys.stderr, flush=True)
                continue
            for figure in measured if isinstance(measured, tuple) else (measured,):
                figures.append(figure)
                _show(figure)
            if name == "run":
                for variant in variants if "clones" not in wanted else ():
                    variant.close()
                variants = [] if "clones" not in wanted else variants
    finally:
        for contender in (*running, *variants):
            contender.close()
    return figures, failures


def _hyper(options: argparse.Namespace, name: str, own: dict[str, object]) -> Hyper:
    config = {"accelerator": options.accelerator, "templates": True, "pool": {"waiting": 2}}
    return Hyper(name, config={"hyper": {**config, **own}})


def _show(figure: Figure) -> None:
    said = ", ".join(
        f"{series.contender} {series.median:.3f} {figure.unit}" for series in figure.series
    )
    print(f"bench: {figure.title}: {said}", file=sys.stderr, flush=True)


def main(words: Sequence[str]) -> int:
    """Run the benchmark and return the exit status."""
    options = _arguments(words)
    # However it is told to end, it ends what it has started; also in a script's background, whose
    # children ignore Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        if options.profile:
            print(profile.waterfall(write_images(folder), options.accelerator))
            return 0
        everything = ["boot", *(name for name in SCENARIOS if name not in BY_REQUEST)]
        wanted = options.only or everything
        figures: list[Figure] = []
        failures: list[str] = []
        if "boot" in wanted:
            figures.append(boot.cold_boot(options.rounds, options.accelerator))
            _show(figures[-1])
        if "soak" in wanted:
            figures.append(boot.soak(options.boots, options.accelerator))
            _show(figures[-1])
        commands = [name for name in wanted if name in SCENARIOS]
        if commands:
            found, failures = _measure_commands(options, commands, folder)
            figures += found
        facts = report.machine_facts()
        for path in report.write(options.out, figures, facts):
            print(f"bench: wrote {path}", file=sys.stderr)
        print((options.out / "figures.md").read_text())
        for failure in failures:
            print(f"bench: failed: {failure}", file=sys.stderr)
        return 1 if failures else 0
    except BenchError as error:
        print(f"bench failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
