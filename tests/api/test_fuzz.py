"""Random requests for every operation of the specification get documented replies, never a 500."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.altered import NOWHERE, SERVED, SKIPPED, UNREACHABLE, right
from tests.support.api_client import serving
from tests.support.daemon import Daemon
from tests.support.fuzzing import Fuzzer, alter, fuzz, operations

OPERATIONS = sorted(operations())
ALTERED = sorted({*SERVED} - SKIPPED)
# The engine in memory has one network, which stays.
NETWORKS = frozenset("NetworkCreate NetworkConnect NetworkDisconnect NetworkDelete".split())


def _names() -> dict[str, list[str]]:
    """Return what there is to aim at; "" leaves the random name."""
    return {
        "containers": ["alive", "made", ""],
        "images": ["busybox:latest", f"{NOWHERE}/x", ""],
        "volumes": ["data", ""],
        "networks": ["bridge", "none", ""],
        "running": ["alive"],
        "paused": ["still"],
        "made": ["made"],
        "nowhere": [f"{NOWHERE}/x"],
        "spare": ["spare"],
        "network": ["net"],
        "joined": ["net"],
    }


def _renew(fuzzer: Fuzzer, kind: str) -> None:
    """Bring back what an earlier request removed or ended, and make what `kind` asks for."""
    sleeper = {"Image": "busybox", "Cmd": ["sleep", "1000"], "StopTimeout": 0}

    def post(path: str, body: object = None, **query: str) -> requests.Response:
        return fuzzer.request("POST", path, json=body, params=query)

    for name in ("alive", "made"):
        post("/containers/create", sleeper, name=name)
    post("/containers/alive/unpause")
    post("/containers/alive/start")
    made = post("/containers/alive/exec", {"Cmd": ["sleep", "1000"]}).json()["Id"]
    fuzzer.names["exec"] = [made, ""]
    post("/volumes/create", {"Name": "data"})
    match kind:
        case "started":
            post(f"/exec/{made}/start", {"Detach": True})
            fuzzer.names["started"] = [made]
        case "paused":
            post("/containers/create", sleeper, name="still")
            post("/containers/still/start")
            post("/containers/still/pause")
        case "spare":
            post("/images/busybox/tag", repo="spare")
        case "network" | "joined":
            post("/networks/create", {"Name": "net"})
            if kind == "joined":
                post("/networks/net/connect", {"Container": "made"})
            else:
                post("/networks/net/disconnect", {"Container": "made", "Force": True})


@pytest.fixture(scope="module")
def memory() -> Iterator[Fuzzer]:
    """Return a fuzzer before an engine in memory."""
    with _in_memory() as fuzzer:
        yield fuzzer


@pytest.fixture(scope="module")
def sound_memory() -> Iterator[Fuzzer]:
    """Return a fuzzer before another one, to which nothing random was done."""
    with _in_memory() as fuzzer:
        yield fuzzer


@contextmanager
def _in_memory() -> Iterator[Fuzzer]:
    """Serve an engine in memory, in a thread of its own."""
    folder = Path(tempfile.mkdtemp(prefix="hyper-"))
    ready, loop, done = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with serving(folder):
            ready.set()
            await done.wait()

    thread = threading.Thread(
        target=lambda: loop.run_until_complete(serve()), name="server", daemon=True
    )
    thread.start()
    assert ready.wait(60)
    try:
        yield Fuzzer(str(folder / "hyper.sock"), _names(), 0.1, _renew)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
        loop.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_an_engine_in_memory_answers_random_requests(memory: Fuzzer, operation_id: str) -> None:
    fuzz(memory, operation_id, 12 if operation_id in SERVED else 4)


@pytest.mark.parametrize("operation_id", sorted({*ALTERED} - NETWORKS))
def test_an_engine_in_memory_answers_requests_that_are_nearly_right(
    sound_memory: Fuzzer, operation_id: str
) -> None:
    assert _succeeds(sound_memory, operation_id)
    alter(sound_memory, operation_id, 20)


def _succeeds(fuzzer: Fuzzer, operation_id: str) -> bool:
    """Return whether a right request succeeds: what it answers has been compared by then."""
    status = fuzzer.ask(right(operation_id))
    return status == 503 if operation_id in UNREACHABLE else status < 400


@pytest.mark.soak
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_an_engine_in_memory_answers_many_requests(memory: Fuzzer, operation_id: str) -> None:
    fuzz(memory, operation_id, 300, fresh=True)
    if operation_id in ALTERED:
        alter(memory, operation_id, 300, fresh=True)


@pytest.fixture(scope="module")
def attacked_daemon(module_image: Daemon, busybox_archive: Path) -> Iterator[Fuzzer]:
    """Return a fuzzer before a real daemon, which must end with nothing left."""

    def renew(fuzzer: Fuzzer, kind: str) -> None:
        if fuzzer.request("GET", "/images/busybox/json").status_code == 404:
            module_image.hyper("load", "--quiet", "--input", str(busybox_archive))
        _renew(fuzzer, kind)

    yield Fuzzer(str(module_image.socket), _names(), 0.2, renew)
    assert "unexpected error" not in module_image.log.read_text(errors="replace")
    module_image.remove_containers()


@pytest.mark.vm
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_a_daemon_with_vms_answers_random_requests(
    attacked_daemon: Fuzzer, operation_id: str
) -> None:
    fuzz(attacked_daemon, operation_id, 2 if operation_id in SERVED else 1)
    assert attacked_daemon.request("GET", "/_ping").text == "OK"


@pytest.mark.vm
@pytest.mark.parametrize("operation_id", ALTERED)
def test_a_daemon_with_vms_answers_requests_that_are_nearly_right(
    attacked_daemon: Fuzzer, operation_id: str
) -> None:
    assert _succeeds(attacked_daemon, operation_id)
    alter(attacked_daemon, operation_id, 4)
    assert attacked_daemon.request("GET", "/_ping").text == "OK"
