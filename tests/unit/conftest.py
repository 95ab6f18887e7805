"""Fixtures of the unit tests: the API over an engine in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.api_client import Client, serving
from tests.support.fake_engine import FakeEngine


@pytest.fixture
async def served(run_dir: Path) -> AsyncIterator[tuple[FakeEngine, Client]]:
    """Return an engine in memory and a client of the server before it."""
    async with serving(run_dir) as pair:
        yield pair


@pytest.fixture
async def client(served: tuple[FakeEngine, Client]) -> Client:
    """Return a client of a server."""
    return served[1]
