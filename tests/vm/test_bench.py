"""The benchmark's own manners: it ends what it started, however it is ended."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.support import leaks

_S = 120


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder in which the paths of sockets fit."""
    folder = Path(tempfile.mkdtemp(prefix="b-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_benchmark_leaves_nothing(short: Path, number: signal.Signals) -> None:
    folder = short
    argv = [sys.executable, "-m", "tests.bench", "--only", "run", "--against"]
    with subprocess.Popen(
        argv, env={**os.environ, "TMPDIR": str(folder)}, stderr=subprocess.PIPE
    ) as process:
        # Of four daemons one runs, and the next may be about to.
        assert leaks.settle(lambda: not leaks.processes_naming(f"{folder}/hyper-"), _S)
        process.send_signal(number)
        _, said = process.communicate(timeout=_S)
    assert b"bench: interrupted" in said
    assert leaks.settle(lambda: leaks.processes_naming(str(folder)))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("option", ["--rounds", "--burst", "--idle", "--boots", "--clones"])
def test_a_benchmark_of_nothing_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main([option, "0"])
    assert ended.value.code == 2
    assert "0 is less than 1" in capsys.readouterr().err
