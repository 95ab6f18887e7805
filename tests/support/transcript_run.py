"""Owns running a transcript's scenarios, and showing what an engine really prints.

`python -m tests.support.transcript_run FILE [WORD]` runs the scenarios whose name has WORD and
prints all their differences, where the test stops at the first. With --accept before FILE, what
commands print that have no output yet is written into the file: that is how a transcript is made,
with dockerd as the measure (HYPER_TEST_ENGINE, HYPER_TEST_DOCKER: see engines.py; the hyper command
is used with HYPER_TEST_CLIENT=hyper).
"""

import difflib
import os
import sys
import tempfile
import time
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


def main() -> int:
    """Run scenarios and print what differs; the status says how many do."""
    from tests.support.transcript_images import save_images

    words = sys.argv[1:]
    accept = words[0] == "--accept"
    path = Path(words.pop(0) if not accept else words.pop(1))
    client = HYPER_COMMAND if os.environ.get("HYPER_TEST_CLIENT") == "hyper" else docker_command()
    assert client, "there is no docker command"
    wrong = 0
    text = path.read_text()
    engine = chosen_engine()
    folder = tempfile.TemporaryDirectory()
    try:
        bench = Bench(engine, save_images(Path(folder.name) / "images.tar"))
        for scenario in transcript.parse(text, path.name):
            if not all(word in scenario.name for word in words[accept:]):
                continue
            shell = Shell(bench, client)
            outputs, differing = _try(scenario, shell)
            shell.close()
            bench.reset()
            shown = "\n".join(differing) or "as expected"
            print(f"== {scenario.name}\n{shown}\n", flush=True)
            wrong += bool(differing)
            if accept:
                text = transcript.accept(text, scenario, outputs)
    finally:
        engine.close()
        folder.cleanup()
    if accept:
        path.write_text(text.replace("\v", "\n"))
    return wrong


def _try(scenario: Scenario, shell: Shell) -> tuple[list[Output], list[str]]:
    """Run all steps; return their output, and the differences to what is expected."""
    outputs: list[Output] = []
    differing: list[str] = []
    known: dict[str, str] = {}
    if scenario.reason_not_to_run(shell.names):
        return outputs, differing
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
