"""One daemon per root folder, also while the one before is still ending."""

import fcntl
import threading
from pathlib import Path

import pytest

from hyper.core.errors import Unavailable
from hyper.daemon import _locked
from hyper.engine.settings import Places


def test_a_second_daemon_is_refused_at_once(tmp_path: Path) -> None:
    places = Places(root=tmp_path, run=tmp_path)
    with _locked(places, 0.0):
        with pytest.raises(Unavailable, match="another hyperd uses the root folder"):
            with _locked(places, 0.0):
                raise AssertionError("two at once")


def test_who_was_started_since_nobody_answers_waits_for_the_end_of_the_one_before(
    tmp_path: Path,
) -> None:
    places = Places(root=tmp_path, run=tmp_path)
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = threading.Event()

        def end() -> None:
            ended.set()
            fcntl.flock(lock, fcntl.LOCK_UN)

        threading.Timer(0.2, end).start()
        with _locked(places, 60.0):
            assert ended.is_set()
