"""Owns the files a benchmark leaves: figures.json, figures.md and chart.svg."""

import json
import platform
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from tests.bench.measure import Figure, Series

_COLOURS = ("#2b6cb0", "#a0aec0", "#d69e2e", "#805ad5", "#38a169")
_WIDTH, _LABEL, _ROW, _GAP = 860, 300, 18, 16


def write(folder: Path, figures: Sequence[Figure], facts: dict[str, object]) -> list[Path]:
    """Write all files and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "figures.json": as_json(figures, facts),
        "figures.md": as_markdown(figures, facts),
        "chart.svg": as_svg(figures),
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [folder / name for name in contents]


def machine_facts() -> dict[str, object]:
    """Return what a reader must know of the machine to compare figures."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "processor": model,
        "processors": len(list(Path("/sys/devices/system/cpu").glob("cpu[0-9]*"))),
        "memory_mib": int(memory) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def as_json(figures: Sequence[Figure], facts: dict[str, object]) -> str:
    """Return everything, samples included."""
    content = {"facts": facts, "figures": [figure.as_json() for figure in figures]}
    return json.dumps(content, indent=1) + "\n"


def as_markdown(figures: Sequence[Figure], facts: dict[str, object]) -> str:
    """Return one table: medians, p95 in brackets, ratios, bars."""
    names = _contenders(figures)
    head = ["figure", *names, *(f"{name} / baseline" for name in names if name != "docker"), "bar"]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for figure in figures:
        cells = [figure.title, *(_shown(figure, figure.of(name)) for name in names)]
        for name in names:
            if name != "docker":
                ratio = figure.ratio(name)
                cells.append("" if ratio is None else f"{ratio:.2f}")
        cells.append(_bar(figure, names))
        rows.append("| " + " | ".join(cells) + " |")
    lines = [f"- {key}: {value}" for key, value in facts.items()]
    notes = [f"- {figure.key}: {figure.note}" for figure in figures if figure.note]
    explained = "Medians, p95 in brackets; the baseline is docker where it was measured."
    return "\n".join([*rows, "", explained, "", *lines, *notes, ""])


def _contenders(figures: Sequence[Figure]) -> list[str]:
    names: list[str] = []
    for figure in figures:
        names += [each.contender for each in figure.series if each.contender not in names]
    return names


def _shown(figure: Figure, series: Series | None) -> str:
    if series is None:
        return ""
    if len(series.samples) == 1:
        return f"{series.median:.3g} {figure.unit}"
    return f"{series.median:.3f} {figure.unit} ({series.p95:.3f})"


def _bar(figure: Figure, names: Sequence[str]) -> str:
    if figure.bar is None:
        return ""
    kind = f"ratio <= {figure.bar:g}" if figure.baseline else f"<= {figure.bar:g} {figure.unit}"
    verdict = next(
        (figure.reached(name) for name in names if figure.reached(name) is not None), None
    )
    return f"{kind}: {'not measured' if verdict is None else 'yes' if verdict else 'NO'}"


def as_svg(figures: Sequence[Figure]) -> str:
    """Return a chart: per figure one bar per contender, each figure on a scale of its own."""
    names = _contenders(figures)
    colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(names)}
    parts: list[str] = []
    y = 34
    for at, name in enumerate(names):
        parts.append(f'<rect x="{10 + at * 120}" y="10" width="10" height="10" ')
        parts.append(f'fill="{colours[name]}"/><text x="{25 + at * 120}" y="19">{name}</text>')
    for figure in figures:
        y += _GAP
        parts.append(f'<text x="10" y="{y + 12}">{escape(figure.title[:58])}</text>')
        longest = max((series.median for series in figure.series), default=0) or 1
        for series in figure.series:
            width = (_WIDTH - _LABEL - 120) * series.median / longest
            parts.append(
                f'<rect x="{_LABEL + 40}" y="{y}" width="{width:.1f}" height="{_ROW - 4}" '
                f'fill="{colours[series.contender]}"/>'
                f'<text x="{_LABEL + 46 + width:.1f}" y="{y + 12}">'
                f"{series.median:.3g} {figure.unit}</text>"
            )
            y += _ROW
    style = "text { font: 12px sans-serif; fill: #222 }"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 16}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )
