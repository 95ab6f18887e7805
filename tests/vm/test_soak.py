"""Long repeated runs (`make soak`): nothing is lost, however often it is repeated."""

import socket
import threading
from collections.abc import Callable

import pytest

from tests.bench import boot
from tests.support.daemon import Result

_SILENCE_S = 40  # longer than an uplink with the flaw of hyper.network.uplink waits


@pytest.mark.soak
def test_two_hundred_cold_boots_lose_none(guest_artifacts: object) -> None:
    measured = boot.boots(200, "tcg")
    assert len(measured) == 200


@pytest.mark.soak
def test_a_connection_lives_while_its_far_side_says_nothing(hyper: Callable[..., Result]) -> None:
    heard: list[bytes] = []

    def listen(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        with connection, connection.makefile("rb") as arriving:
            heard.append(arriving.read())

    with socket.create_server(("0.0.0.0", 0)) as listener:
        far = threading.Thread(target=listen, args=(listener,), daemon=True)
        far.start()
        talk = f"(echo early; sleep {_SILENCE_S}; echo late) | nc far {listener.getsockname()[1]}"
        hyper("run", "--rm", "--add-host=far:host-gateway", "busybox", "sh", "-c", talk)
        far.join(timeout=60)
    assert heard == [b"early\nlate\n"]
