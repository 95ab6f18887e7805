"""The QMP commands a clone finds waiting when it starts, so that nobody waits for its monitor.

A second monitor on a socket pair: QEMU has no command line option for the capability
x-ignore-shared, without which it cannot read a template's state.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Callable

_log = logging.getLogger("hypervisor.qemu")


class Prelude:
    """Owns our end of the socket pair until QEMU has answered every command.

    Then it calls `done`, on the loop, before the guest can have done anything.
    """

    def __init__(self, state_fd: int, done: Callable[[], None]) -> None:
        capability = {"capability": "x-ignore-shared", "state": True}
        commands: tuple[dict[str, object], ...] = (
            {"execute": "qmp_capabilities"},
            {"execute": "migrate-set-capabilities", "arguments": {"capabilities": [capability]}},
            {"execute": "migrate-incoming", "arguments": {"uri": f"fd:{state_fd}"}},
        )
        self._left = len(commands)
        self._done = done
        self._buffer = b""
        self._ours, self.theirs = socket.socketpair()
        self._ours.sendall(b"".join(json.dumps(command).encode() for command in commands))
        self._ours.setblocking(False)
        # Closed earlier, QEMU would see the hang-up before the commands.
        asyncio.get_running_loop().add_reader(self._ours.fileno(), self._read)

    def close(self) -> None:
        """Close our end; QEMU then closes this monitor."""
        if self._ours.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._ours.fileno())
            self._ours.close()

    def _read(self) -> None:
        try:
            data = self._ours.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._left -= b'"return"' in line
            if b'"error"' in line:
                _log.error("a clone refused its template: %s", line.decode(errors="replace"))
                self._left = 0
        if not data or self._left <= 0:
            self.close()
            self._done()
