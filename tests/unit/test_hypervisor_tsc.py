"""The speed of the time stamp counter: measured once per boot, or not at all."""

from pathlib import Path

import pytest

from hyper.hypervisor import tsc


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of figures the next measurements give."""
    figures = [2_000_000, 2_000_001]
    monkeypatch.setattr(tsc, "_trusted", lambda: True)
    monkeypatch.setattr(tsc, "_measure", lambda: figures.pop(0))
    return figures


async def test_it_is_measured_once_per_boot(
    tmp_path: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await tsc.tsc_khz(tmp_path) == 2_000_000
    assert await tsc.tsc_khz(tmp_path) == 2_000_000
    monkeypatch.setattr(tsc, "boot_id", lambda: "another")
    assert await tsc.tsc_khz(tmp_path) == 2_000_001
    assert measured == []


async def test_a_counter_that_varies_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tsc, "_trusted", lambda: False)
    assert await tsc.tsc_khz(tmp_path) == 0


@pytest.mark.parametrize("text", ["", "[]", "3", '{"x": "y"}'])
async def test_a_damaged_file_is_replaced(tmp_path: Path, measured: list[int], text: str) -> None:
    (tmp_path / "tsc.json").write_text(text)
    assert await tsc.tsc_khz(tmp_path) == 2_000_000
    assert await tsc.tsc_khz(tmp_path) == 2_000_000


def test_two_measurements_agree() -> None:
    if not tsc._trusted():
        pytest.skip("no steady counter here")
    first, second = tsc._measure(), tsc._measure()
    assert first > 100_000 and abs(first - second) < first / 10_000
