"""Signals on their way to a container, and window sizes with them. Decides nothing about
streams."""

import _signal  # type: ignore[import-not-found]  # signal itself costs 6 ms: enum
import os
import sys

from hyper.cli import terminal
from hyper.core.errors import HyperError
from hyper.sdk.address import Address
from hyper.sdk.daemon import Daemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from types import FrameType

    from hyper.sdk.transport import Socket

_FORCED_EXIT = 1
_FORCE_AFTER = 3  # docker/cli: forceExitAfter3TerminationSignals
_NAMES = ("HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "CONT", "TSTP")


def end_on_interrupt() -> None:
    """Let Ctrl-C end this process at once, which must have nothing to clean up.

    A KeyboardInterrupt would wait for the next output when its signal comes right before a
    receive. Who ignores the signal, such as a shell's background job, goes on doing so.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


class SignalProxy:
    """Sends the signals this process gets to a container, and its window size to the terminal
    there.

    Signals that come before the container's id is known are sent when it is. `resource` is
    "containers" or "exec": where a window size goes.
    """

    __slots__ = ("_address", "_asked", "_identifier", "_pending", "_poller", "_resource", "_woken")

    def __init__(self, address: Address, resource: str = "containers") -> None:
        self._address = address
        self._resource = resource
        self._identifier = ""
        self._pending: list[str] = []
        self._asked = 0
        self._woken = -1
        self._poller: select.poll | None = None

    def install(self, proxy: bool, tty: bool) -> None:
        """Take over the signals (`proxy`) and the changes of the window's size (`tty`)."""
        if proxy:
            for name in _NAMES:
                number = getattr(_signal, f"SIG{name}")
                if _signal.getsignal(number) is not _signal.SIG_IGN:
                    _signal.signal(number, self._forward)
        if tty:
            _signal.signal(_signal.SIGWINCH, self._resized)
        if proxy or tty:
            self._watch()

    def _watch(self) -> None:
        import select

        self._woken, ours = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        self._poller = select.poll()
        self._poller.register(self._woken, select.POLLIN)

    def until_readable(self, channel: "Socket") -> None:
        """Return when `channel` has something to receive; signals are handled meanwhile.

        One that comes right before a receive would not interrupt it, and be handled when that
        returns; but it is written into a pipe, and so noticed here.
        """
        if self._poller is None or channel.has_early:
            return
        self._poller.register(channel.fileno(), 1)  # POLLIN
        while True:
            ready = {descriptor for descriptor, _ in self._poller.poll()}
            if channel.fileno() in ready:
                return
            os.read(self._woken, 256)

    def target(self, identifier: str, tty: bool, redraw: bool = False) -> None:
        """Say which container or exec it is; pending signals are sent.

        `redraw` makes a shell print its prompt again, as docker does: the size is changed, and
        changed back.
        """
        self._identifier = identifier
        if tty and redraw:
            self.resize(1)
        if tty:
            self.resize()
        pending, self._pending = self._pending, []
        for name in pending:
            self._send(name)

    def _forward(self, number: int, frame: "FrameType | None") -> None:
        name = next(name for name in _NAMES if getattr(_signal, f"SIG{name}") == number)
        if name in ("INT", "TERM"):
            self._asked += 1
            if self._asked >= _FORCE_AFTER:
                print(f"\ngot {_FORCE_AFTER} SIGTERM/SIGINTs, forcefully exiting", file=sys.stderr)
                raise SystemExit(_FORCED_EXIT)  # the terminal is to be left as it was
        if self._identifier:
            self._send(name)
        else:
            self._pending.append(name)

    def _send(self, name: str) -> None:
        try:
            Daemon(self._address, start=False).call(
                "POST", f"/containers/{self._identifier}/kill", {"signal": name}
            )
        except HyperError:
            pass  # it has ended already; its stream says so

    def _resized(self, number: int, frame: "FrameType | None") -> None:
        self.resize()

    def resize(self, more: int = 0) -> None:
        """Send the window's size, or one that is `more`."""
        rows, columns = terminal.size(1)
        if not rows or not self._identifier:
            return
        size = {"h": rows + more, "w": columns + more}
        try:
            Daemon(self._address, start=False).call(
                "POST", f"/{self._resource}/{self._identifier}/resize", size
            )
        except HyperError:
            pass  # it has ended already
