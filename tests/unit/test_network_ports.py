"""Published ports on the host: who may be given the same one."""

import socket
from collections.abc import Callable

import pytest

from hyper.core.spec import PortBinding
from hyper.network import ports


def _taken(address: tuple[str, int]) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(address)
        except OSError:
            return True
        return False


class _Socket(socket.socket):
    """A socket that lets somebody in between its bind and its listen."""

    between: Callable[[tuple[str, int]], None]

    def listen(self, backlog: int = 1, /) -> None:
        _Socket.between(self.getsockname()[:2])
        super().listen(backlog)


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_a_free_port_is_given_to_one_alone(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    seen = []
    monkeypatch.setattr(socket, "socket", _Socket)
    monkeypatch.setattr(
        _Socket,
        "between",
        staticmethod(lambda address: seen.append(_taken(address))),
        raising=False,
    )
    binding, listener = ports.bind(PortBinding(80, "tcp", host))
    with listener:
        assert binding.host_port
        assert seen == [True]
