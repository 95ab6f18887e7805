"""Owns running a transcript's scenarios, and showing what an engine really prints.

`python -m tests.support.transcript_run FILE.txt... [WORD...]` runs the scenarios whose name has all
words and prints all their differences, where the test stops at the first, and the score. With
--accept, what commands print that have no output yet is written into the file: that is how a
transcript is made, with dockerd as the measure (HYPER_TEST_ENGINE, HYPER_TEST_DOCKER: see
engines.py; the hyper command is used with HYPER_TEST_CLIENT=hyper).
"""

import difflib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import transcript
from tests.support.engines import HYPER_COMMAND, Bench, Shell, chosen_engine, docker_command
from tests.support.transcript import Output, Scenario, Step

_UNTIL_S = 90.0
_AGAIN_S = 0.2


def run(scenario: Scenario, shell: Shell) -> tuple[list[Output], str]:
    """Run a scenario; return what was printed and, where it went wrong, how (else nothing)."""
    outputs: list[Output] = []
    known: dict[str, str] = {}
    for step in scenario.steps:
        expected = step.expected(shell.names)
        output = _ask(step, shell)
        deadline = time.monotonic() + _UNTIL_S
        while not transcript.matches(expected, output, known):
            if step.kind != "~" or time.monotonic() > deadline:
                return [*outputs, output], _difference(scenario, step, expected, output)
            time.sleep(_AGAIN_S)
            output = _ask(step, shell)
        outputs.append(output)
    return outputs, ""


def _ask(step: Step, shell: Shell) -> Output:
    if step.kind == "!":
        shell.engine.restart(kill=step.command == "kill")
        return Output((), (), 0)
    out, err, status = shell.run(step.command)
    return Output(transcript.to_lines(out), transcript.to_lines(err), status)


def _difference(scenario: Scenario, step: Step, expected: Output, output: Output) -> str:
    file = scenario.place.rpartition(":")[0]
    lines = difflib.unified_diff(expected.as_lines(), output.as_lines(), "expected", "printed", n=9)
    shown = "\n".join(line.rstrip("\n") for line in lines)
    return f"{file}:{step.number}: {step.command}\n{shown}"


@dataclass(slots=True)
class Score:
    """How many scenarios, and commands of them, printed what is expected of this engine."""

    names: frozenset[str]
    scenarios: int = 0
    wrong_scenarios: int = 0
    commands: int = 0
    wrong: int = 0
    documented: int = 0
    left_out: list[str] = field(default_factory=list)

    def count(self, scenario: Scenario, differing: int) -> None:
        """Take in a scenario that was run."""
        self.scenarios += 1
        self.wrong_scenarios += bool(differing)
        self.commands += len(scenario.steps)
        self.wrong += differing
        measure = self.names - {"hyperd"} | {"dockerd"}
        self.documented += sum(
            step.expected(self.names) != step.expected(measure) for step in scenario.steps
        )

    def __str__(self) -> str:
        shown = (
            f"{', '.join(sorted(self.names))}: {self.scenarios - self.wrong_scenarios} of "
            f"{self.scenarios} scenarios, {self.commands - self.wrong} of {self.commands} commands "
            f"as expected; {self.documented} of them documented differences to dockerd"
        )
        return "\n".join([shown, *(f"not run: {why}" for why in self.left_out)])


def main() -> int:
    """Run scenarios and print what differs; the status says how many do."""
    from tests.support.transcript_images import save_images

    accept = "--accept" in sys.argv
    words = [word for word in sys.argv[1:] if word != "--accept"]
    files = [Path(word) for word in words if word.endswith(".txt")]
    words = [word for word in words if not word.endswith(".txt")]
    client = HYPER_COMMAND if os.environ.get("HYPER_TEST_CLIENT") == "hyper" else docker_command()
    assert client, "there is no docker command"
    engine = chosen_engine()
    folder = tempfile.TemporaryDirectory()
    try:
        bench = Bench(engine, save_images(Path(folder.name) / "images.tar"))
        score = Score(client.names | {engine.name})
        for path in files:
            text = _run_file(path, words, lambda: Shell(bench, client), score)
            if accept:
                path.write_text(text)
    finally:
        engine.close()
        folder.cleanup()
    print(score)
    return min(score.wrong_scenarios, 99)


def _run_file(path: Path, words: list[str], shell_of: Callable[[], Shell], score: Score) -> str:
    """Run a file's scenarios whose name has all words; return it with what it lacked of output."""
    text = path.read_text()
    for scenario in transcript.parse(text, path.name):
        if not all(word in scenario.name for word in words):
            continue
        if why := scenario.reason_not_to_run(score.names):
            score.left_out.append(f"{path.name}, {scenario.name}: {why}")
            continue
        shell = shell_of()
        outputs, differing = _try(scenario, shell)
        shell.close()
        shell.bench.reset()
        shown = "\n".join(differing) or "as expected"
        print(f"== {path.stem}: {scenario.name}\n{shown}\n", flush=True)
        score.count(scenario, len(differing))
        text = transcript.accept(text, scenario, outputs)
    return text.replace("\v", "\n")


def _try(scenario: Scenario, shell: Shell) -> tuple[list[Output], list[str]]:
    """Run all steps; return their output, and the differences to what is expected."""
    outputs: list[Output] = []
    differing: list[str] = []
    known: dict[str, str] = {}
    for step in scenario.steps:
        expected = step.expected(shell.names)
        output = _ask(step, shell)
        deadline = time.monotonic() + _UNTIL_S / 9
        while step.kind == "~" and step.lines and not transcript.matches(expected, output, known):
            if time.monotonic() > deadline:
                break
            time.sleep(_AGAIN_S)
            output = _ask(step, shell)
        if not transcript.matches(expected, output, known):
            differing.append(_difference(scenario, step, expected, output))
        outputs.append(output)
    return outputs, differing


if __name__ == "__main__":
    sys.exit(main())
