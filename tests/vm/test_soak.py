"""Long repeated runs (`make soak`): nothing is lost, however often it is repeated."""

import pytest

from tests.bench import boot


@pytest.mark.soak
def test_two_hundred_cold_boots_lose_none(guest_artifacts: object) -> None:
    measured = boot.boots(200, "tcg")
    assert len(measured) == 200
