"""Random requests for every operation of the specification get documented replies, never a 500."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_client import serving
from tests.support.daemon import Daemon
from tests.support.fuzzing import NOWHERE, Fuzzer, fuzz, operations

OPERATIONS = sorted(operations())


def _names() -> dict[str, list[str]]:
    """Return what there is to aim at; "" leaves the random name."""
    return {
        "containers": ["alive", "made", ""],
        "images": ["busybox:latest", f"{NOWHERE}/x", ""],
        "volumes": ["data", ""],
        "networks": ["bridge", "none", ""],
    }


def _renew(fuzzer: Fuzzer) -> None:
    """Bring back what an earlier request removed or ended."""
    sleeper = {"Image": "busybox", "Cmd": ["sleep", "1000"], "StopTimeout": 0}
    for name in ("alive", "made"):
        fuzzer.request("POST", "/containers/create", params={"name": name}, json=sleeper)
    fuzzer.request("POST", "/containers/alive/unpause")
    fuzzer.request("POST", "/containers/alive/start")
    made = fuzzer.request("POST", "/containers/alive/exec", json={"Cmd": ["cat"]})
    fuzzer.names["exec"] = [made.json()["Id"], ""]
    fuzzer.request("POST", "/volumes/create", json={"Name": "data"})


@pytest.fixture(scope="module")
def memory() -> Iterator[Fuzzer]:
    """Return a fuzzer before an engine in memory, whose server has a thread of its own."""
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
    fuzz(memory, operation_id, 20)


@pytest.mark.soak
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_an_engine_in_memory_answers_many_requests(memory: Fuzzer, operation_id: str) -> None:
    fuzz(memory, operation_id, 300, fresh=True)


@pytest.fixture(scope="module")
def attacked_daemon(module_image: Daemon, busybox_archive: Path) -> Iterator[Fuzzer]:
    """Return a fuzzer before a real daemon, which must end with nothing left."""

    def renew(fuzzer: Fuzzer) -> None:
        if fuzzer.request("GET", "/images/busybox/json").status_code == 404:
            module_image.hyper("load", "--quiet", "--input", str(busybox_archive))
        _renew(fuzzer)

    yield Fuzzer(str(module_image.socket), _names(), 0.2, renew)
    assert "unexpected error" not in module_image.log.read_text(errors="replace")
    module_image.remove_containers()


@pytest.mark.vm
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_a_daemon_with_vms_answers_random_requests(
    attacked_daemon: Fuzzer, operation_id: str
) -> None:
    fuzz(attacked_daemon, operation_id, 3)
    assert attacked_daemon.request("GET", "/_ping").text == "OK"
