"""The user's terminal: raw mode, its size, the keys that detach. Knows nothing of containers."""

import _signal  # type: ignore[import-not-found]  # signal itself costs 6 ms: enum
import os

from hyper.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
_CONTROL_MARKS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def size(descriptor: int) -> tuple[int, int]:
    """Return (rows, columns), (0, 0) when `descriptor` is no terminal."""
    try:
        found = os.get_terminal_size(descriptor)
    except OSError:
        return 0, 0
    return found.lines, found.columns


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes of a key sequence such as "ctrl-p,ctrl-q" or "a,b". Raises
    InvalidArgument."""
    result = []
    for key in text.split(","):
        name = key.removeprefix("ctrl-")
        if len(name) != 1 or not name.isascii():
            raise InvalidArgument(
                f"invalid detach keys ({text}) provided: unknown character: '{key}'"
            )
        if name is key or name == key:
            result.append(ord(key))
        elif name.isalpha():
            result.append(ord(name.lower()) - ord("a") + 1)
        elif name in _CONTROL_MARKS:
            result.append(_CONTROL_MARKS[name])
        else:
            raise InvalidArgument(
                f"invalid detach keys ({text}) provided: unknown character: '{key}'"
            )
    return bytes(result)


class DetachScanner:
    """Finds the detach keys in what is typed; holds back a prefix of them until it is decided."""

    __slots__ = ("_keys", "_matched", "detached")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0
        self.detached = False

    def feed(self, data: bytes) -> bytes:
        """Return what is to be sent on; sets `detached` when the sequence is complete."""
        if not self._keys:
            return data
        result = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self.detached = True
                    break
                continue
            result += self._keys[: self._matched]
            self._matched = 1 if byte == self._keys[0] else 0
            if not self._matched:
                result.append(byte)
        return bytes(result)


class RawTerminal:
    """A terminal in raw mode while the context lasts; nothing happens when it is none.

    Nor when it is not `read`: what is typed goes nowhere then, and Ctrl-C is to be a signal.
    """

    __slots__ = ("_descriptor", "_read", "_saved")

    def __init__(self, descriptor: int, read: bool) -> None:
        self._descriptor = descriptor
        self._read = read
        self._saved: list[object] | None = None

    def __enter__(self) -> "RawTerminal":
        if self._read and os.isatty(self._descriptor):
            import termios

            mode = termios.tcgetattr(self._descriptor)
            self._saved = list(mode)
            # What cfmakeraw(3) does.
            mode[0] &= ~(
                termios.IGNBRK
                | termios.BRKINT
                | termios.PARMRK
                | termios.ISTRIP
                | termios.INLCR
                | termios.IGNCR
                | termios.ICRNL
                | termios.IXON
            )
            mode[1] &= ~termios.OPOST
            mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
            mode[3] &= ~(
                termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
            )
            mode[6] = [*mode[6]]
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            for number in (_signal.SIGHUP, _signal.SIGTERM):
                if _signal.getsignal(number) == _signal.SIG_DFL:
                    _signal.signal(number, self._end)
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, mode)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        self._restore()

    def _end(self, number: int, frame: "FrameType | None") -> None:
        """End by a signal as before, but leave a terminal that can be used."""
        self._restore()
        _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _restore(self) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
