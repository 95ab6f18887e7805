"""Owns a command on a terminal of its own: what a person types, and what they see."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_LIMIT_S = 60.0


class Terminal:
    """A command whose stdin, stdout and stderr are one terminal."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], folder: Path, rows: int = 24
    ) -> None:
        self._master, slave = pty.openpty()
        self._seen = b""
        self.resize(rows, 80, tell=False)
        self._process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def close(self) -> None:
        """End the command."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def resize(self, rows: int, columns: int, *, tell: bool = True) -> None:
        """Give the window another size and tell the command."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        if tell:
            self.signal(signal.SIGWINCH)  # not every kernel's pty does

    def send(self, text: str) -> None:
        """Type."""
        os.write(self._master, text.encode())

    def signal(self, number: signal.Signals) -> None:
        """Send the command a signal, as kill does."""
        self._process.send_signal(number)

    def expect(self, text: str) -> str:
        """Wait until `text` is seen; return what came before it. What was seen is used up."""
        wanted = text.encode()
        deadline = time.monotonic() + _LIMIT_S
        while wanted not in self._seen:
            if not self._read(deadline):
                raise AssertionError(f"not seen: {text!r}; seen: {self._seen!r}")
        before, _, self._seen = self._seen.partition(wanted)
        return before.decode(errors="replace")

    def shows(self, text: str, within_s: float) -> bool:
        """Wait for a while until `text` is seen; tell whether it is. What was seen stays."""
        deadline = time.monotonic() + within_s
        while text.encode() not in self._seen:
            if not self._read(deadline):
                return False
        return True

    def wait(self) -> int:
        """Return the command's status when it has ended."""
        deadline = time.monotonic() + _LIMIT_S
        while self._read(deadline):
            pass
        return self._process.wait(max(1.0, deadline - time.monotonic()))

    @property
    def rest(self) -> str:
        """What was seen and not expected."""
        return self._seen.decode(errors="replace")

    def _read(self, deadline: float) -> bool:
        """Take in what is shown next; false at the end or when it is too late."""
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([self._master], [], [], left_s)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the terminal any more
            return False
        self._seen += data
        return bool(data)
