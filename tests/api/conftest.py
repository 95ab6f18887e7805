"""Fixtures of the docker commands: engine -> bench -> a client's shell."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.engines import (
    HYPER_COMMAND,
    Bench,
    ClientCommand,
    Engine,
    Shell,
    chosen_engine,
    docker_command,
)
from tests.support.transcript_images import save_images


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses a shell with the docker command and, against hyperd, with the hyper command."""
    if "client" in metafunc.fixturenames:
        against_hyperd = os.environ.get("HYPER_TEST_ENGINE", "hyperd") == "hyperd"
        metafunc.parametrize("client", ["docker", "hyper"] if against_hyperd else ["docker"])


@pytest.fixture(scope="module")
def engine(guest_artifacts: tuple[Path, Path]) -> Iterator[Engine]:
    """Return the engine that a module's tests share."""
    engine = chosen_engine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def bench(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return the engine with the images of the transcripts."""
    return Bench(engine, save_images(tmp_path_factory.mktemp("images") / "images.tar"))


def _command(name: str) -> ClientCommand:
    if name == "hyper":
        return HYPER_COMMAND
    found = docker_command()
    if found is None:
        text = "the docker command is missing; `make test` installs it"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return found


@pytest.fixture
def shell(bench: Bench, client: str) -> Iterator[Shell]:
    """Return a shell in which `docker` is the client; nothing of the test is left afterwards."""
    shell = Shell(bench, _command(client))
    yield shell
    shell.close()
    bench.reset()


@pytest.fixture
def docker(shell: Shell) -> Callable[[str], str]:
    """Return a callable that runs a docker command line, which must succeed."""

    def run(arguments: str) -> str:
        out, err, status = shell.run(f"docker {arguments}")
        assert status == 0, f"docker {arguments}: status {status}: {out}{err}"
        return out

    return run
