"""Owns the command line of the benchmark (`make bench ARGS=...`)."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench import boot, contenders, profile, report
from tests.bench.contenders import BenchError, Contender, Hyper
from tests.bench.measure import Figure
from tests.bench.scenarios import SCENARIOS, Bench, write_images

OUT = Path("bench")
WITHOUT_CONTENDERS = ("boot", "soak")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    known = [*WITHOUT_CONTENDERS, *SCENARIOS]
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=known, metavar="FIGURE", help=", ".join(known))
    parser.add_argument("--rounds", type=int, default=20, help="samples per figure (20)")
    parser.add_argument("--burst", type=int, default=50, help="starts at once (50)")
    parser.add_argument("--idle", type=int, default=10, help="idle containers for memory (10)")
    parser.add_argument("--boots", type=int, default=200, help="cold boots of the soak (200)")
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
    return options


def _measure_commands(
    options: argparse.Namespace, wanted: Sequence[str], folder: Path
) -> list[Figure]:
    running: list[Contender] = []
    figures: list[Figure] = []
    try:
        running.append(Hyper(config={"hyper": {"accelerator": options.accelerator}}))
        running += contenders.others(options.against, folder)
        images = write_images(folder)
        for contender in running:
            contender.load(images)
        bench = Bench(running, options.rounds, options.burst, options.idle)
        for name in wanted:
            print(f"bench: {name} ...", file=sys.stderr, flush=True)
            figures.append(SCENARIOS[name](bench))
            _show(figures[-1])
    finally:
        for contender in running:
            contender.close()
    return figures


def _show(figure: Figure) -> None:
    said = ", ".join(
        f"{series.contender} {series.median:.3f} {figure.unit}" for series in figure.series
    )
    print(f"bench: {figure.title}: {said}", file=sys.stderr, flush=True)


def main(words: Sequence[str]) -> int:
    """Run the benchmark and return the exit status."""
    options = _arguments(words)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        if options.profile:
            print(profile.waterfall(write_images(folder), options.accelerator))
            return 0
        wanted = options.only or ["boot", *SCENARIOS]
        figures: list[Figure] = []
        if "boot" in wanted:
            figures.append(boot.cold_boot(options.rounds, options.accelerator))
            _show(figures[-1])
        if "soak" in wanted:
            figures.append(boot.soak(options.boots, options.accelerator))
            _show(figures[-1])
        commands = [name for name in wanted if name in SCENARIOS]
        if commands:
            figures += _measure_commands(options, commands, folder)
        facts = report.machine_facts()
        for path in report.write(options.out, figures, facts):
            print(f"bench: wrote {path}", file=sys.stderr)
        print((options.out / "figures.md").read_text())
    except BenchError as error:
        print(f"bench failed: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
