"""Real docker commands against a real daemon with real VMs, each with exactly what it prints.

The cases are in transcripts/; their language is described in tests/support/transcript.py. Every one
runs with the docker command and, since both are interchangeable, with the hyper command.
"""

from pathlib import Path

import pytest

from hyper.schema.differences import DIFFERENCES
from tests.support import transcript
from tests.support.engines import Shell
from tests.support.transcript import Scenario
from tests.support.transcript_run import run

INTERACTIONS_LEAST = 600
SCENARIOS = [
    scenario
    for path in sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
    for scenario in transcript.parse(path.read_text(), f"{path.parent.name}/{path.name}")
]


@pytest.mark.vm
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_transcript(scenario: Scenario, shell: Shell) -> None:
    if why := scenario.reason_not_to_run(shell.names):
        pytest.skip(why)
    _, difference = run(scenario, shell)
    assert not difference, f"\n{difference}"


def test_the_transcripts_are_enough() -> None:
    assert sum(scenario.interactions for scenario in SCENARIOS) >= INTERACTIONS_LEAST


def test_every_difference_is_documented() -> None:
    named = {name for scenario in SCENARIOS for name in scenario.differences}
    assert named == set(DIFFERENCES)


def test_scenarios_have_names_of_their_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
