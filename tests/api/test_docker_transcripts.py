"""Real docker commands against a real daemon with real VMs, each with exactly what it prints.

The cases are in transcripts/; their language is described in tests/support/transcript.py. Every one
runs with the docker command and, since both are interchangeable, with the hyper command.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import transcript
from tests.support.engines import (
    HYPER_COMMAND,
    Bench,
    ClientCommand,
    Engine,
    Shell,
    chosen_engine,
    docker_command,
)
from tests.support.transcript import Scenario
from tests.support.transcript_images import save_images
from tests.support.transcript_run import run

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
SCENARIOS = [
    scenario
    for path in TRANSCRIPTS
    for scenario in transcript.parse(path.read_text(), f"{path.parent.name}/{path.name}")
]
INTERACTIONS_LEAST = 90
HAVE_DOCKER = docker_command() is not None
AGAINST_HYPERD = os.environ.get("HYPER_TEST_ENGINE", "hyperd") == "hyperd"


@pytest.fixture(scope="module")
def engine(guest_artifacts: tuple[Path, Path]) -> Iterator[Engine]:
    """Return the engine that all scenarios share."""
    engine = chosen_engine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def bench(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return the engine with the images of the transcripts."""
    return Bench(engine, save_images(tmp_path_factory.mktemp("images") / "images.tar"))


def _client(name: str) -> ClientCommand:
    if name == "hyper":
        return HYPER_COMMAND
    found = docker_command()
    if found is None:
        text = "the docker command is missing; `make test` installs it"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return found


@pytest.mark.vm
@pytest.mark.parametrize("client", ["docker", "hyper"] if AGAINST_HYPERD else ["docker"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_transcript(scenario: Scenario, client: str, bench: Bench) -> None:
    shell = Shell(bench, _client(client))
    if why := scenario.reason_not_to_run(shell.names):
        pytest.skip(why)
    try:
        _, difference = run(scenario, shell)
    finally:
        shell.close()
        bench.reset()
    assert not difference, f"\n{difference}"


def test_the_transcripts_are_enough() -> None:
    assert sum(scenario.interactions for scenario in SCENARIOS) >= INTERACTIONS_LEAST


def test_scenarios_have_names_of_their_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
