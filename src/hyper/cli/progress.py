"""A stream of pull, push and load messages drawn as docker does (moby pkg/jsonmessage).

On a terminal each layer keeps its line; elsewhere changes are lines, without bars.
"""

import os

from hyper.cli.command import CommandFailed
from hyper.cli.streams import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_BAR = 50
_NARROW_COLUMNS = 110


class ProgressDisplay:
    """Draws messages on a descriptor. `quiet` shows errors only."""

    __slots__ = ("_descriptor", "_lines", "_live", "_quiet")

    def __init__(self, descriptor: int, quiet: bool = False) -> None:
        self._descriptor = descriptor
        self._live = os.isatty(descriptor)
        self._lines: list[str] = []
        self._quiet = quiet

    def show_all(
        self, messages: "Iterable[object]", on_aux: "Callable[[object], None] | None" = None
    ) -> None:
        """Show the messages until they end. Raises CommandFailed at a message of an error."""
        for message in messages:
            if isinstance(message, dict):
                if on_aux and "aux" in message:
                    on_aux(message["aux"])
                self.show(message)

    def show(self, message: dict[str, object]) -> None:
        """Show one message. Raises CommandFailed when it tells an error."""
        detail = message.get("errorDetail")
        error = message.get("error") or (
            detail.get("message") if isinstance(detail, dict) else None
        )
        if error:
            raise CommandFailed(str(error))
        if self._quiet or "aux" in message:
            return
        if isinstance(message.get("stream"), str):
            self._write(str(message["stream"]))
        elif "status" in message:
            self._show_status(message)

    def _show_status(self, message: dict[str, object]) -> None:
        identifier = str(message.get("id") or "")
        bar = _bar(message.get("progressDetail"), self._columns()) if self._live else ""
        progressing = bool(message.get("progressDetail"))
        if progressing and not self._live:
            return
        text = (f"{identifier}: " if identifier else "") + str(message["status"])
        text += f" {bar}" if bar else ""
        if not self._live or not identifier:
            self._write(text + "\n")
            if self._live:
                self._lines = []  # the lines above are out of reach of the cursor's counting
            return
        self._put_line(identifier, text)

    def _put_line(self, identifier: str, text: str) -> None:
        if identifier not in self._lines:
            self._lines.append(identifier)
            self._write(text + "\r\n")
            return
        up = len(self._lines) - self._lines.index(identifier)
        self._write(f"\x1b[{up}A\x1b[2K\r{text}\r\x1b[{up}B")

    def _columns(self) -> int:
        from hyper.cli.terminal import size

        return size(self._descriptor)[1] or 80

    def _write(self, text: str) -> None:
        write_all(self._descriptor, text.encode("utf-8", "replace"))


def _bar(detail: object, columns: int) -> str:
    if not isinstance(detail, dict) or not detail.get("current"):
        return ""
    from hyper.core.units import human_size

    current, total = int(detail["current"]), int(detail.get("total") or 0)
    if total <= 0 or current > total:
        return f"{human_size(current):>8}"
    numbers = f"{human_size(current):>8}/{human_size(total)}"
    if columns < _NARROW_COLUMNS:
        return numbers
    filled = current * _BAR // total
    head = ">" if filled < _BAR else ""
    return f"[{'=' * filled}{head}{' ' * (_BAR - filled - len(head))}]  {numbers}"
