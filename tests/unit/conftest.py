"""Fixtures of the unit tests: the API over an engine in memory, a hyperstart under test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hyperstart_client import Host, start
from hyperstart_guest import create, greeted_host

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


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host that has greeted a fresh hyperstart."""
    with greeted_host(tmp_path) as host:
        yield host


@pytest.fixture
def running(host: Host) -> Host:
    """A host with a container whose first process, 1, sleeps."""
    create(host)
    host.request(start(1, "sleep", "600", main=True))
    return host
