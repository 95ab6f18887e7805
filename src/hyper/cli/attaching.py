"""Attaching to a container through Docker's own endpoints, for attach and start -a.

run has its one-request way in commands/run.py.
"""

import sys

from hyper.cli import streams
from hyper.cli.command import CommandFailed, Invocation
from hyper.cli.each import container_path
from hyper.cli.signals import SignalProxy
from hyper.sdk import answers
from hyper.sdk.transport import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Attachment:
    """Our terminal and a container: opened first, served when the container runs."""

    __slots__ = ("_call", "_name", "_started", "_stdin", "_stream", "_tty", "_wait")

    def __init__(self, call: Invocation, name: str, tty: bool, stdin: bool) -> None:
        self._call = call
        self._name = name
        self._tty = tty
        self._stdin = stdin
        self._started = False
        self._stream: Response | None = None
        self._wait: Response | None = None

    def open(self, removed: bool, started: bool) -> None:
        """Open the streams, and the wait for the end, before anything can be missed.

        `removed` waits for the removal of --rm, `started` says that it runs already.
        """
        self._started = started
        path = container_path(self._name)
        query: dict[str, object] = {"stream": 1, "stdin": self._stdin, "stdout": 1, "stderr": 1}
        query["detachKeys"] = self._call.options.text("detach-keys")
        self._stream = self._call.daemon.hijack(f"{path}/attach", query)
        running = "not-running" if started else "next-exit"
        condition = {"condition": "removed" if removed else running}
        # Its head is the sign that the daemon waits; the body comes at the end.
        self._wait = self._call.daemon.open("POST", f"{path}/wait", condition)

    def serve(self, start: "Callable[[], object]", proxy: bool, left: int = 0) -> int:
        """Call `start`, copy until the end or the user's detaching, return the exit status.

        That of detaching is `left`: docker has 1 for attach, 0 for run and start.
        """
        assert self._stream is not None
        signals = SignalProxy(self._call.address)
        signals.install(proxy=proxy, tty=self._tty)
        channel = self._stream.hijack()
        if not self._tty:
            start()
            signals.target(self._name, tty=False)
            if self._stdin:
                streams.InputPump(channel, b"", tty=False).start()
            streams.copy_frames(channel, signals=signals)
            return self._status()
        from hyper.cli.detaching import detach_keys
        from hyper.cli.terminal import RawTerminal

        keys = detach_keys(self._call.options)
        pump = streams.InputPump(channel, keys, tty=True)
        start()
        with RawTerminal(0, self._stdin):
            signals.target(self._name, tty=True, redraw=self._started)
            if self._stdin:
                pump.start()
            streams.copy_raw(channel, signals)
        if pump.detached:
            print("read escape sequence", file=sys.stderr)
            return left
        return self._status()

    def _status(self) -> int:
        assert self._wait is not None
        answer = self._wait.json()
        error = answers.text(answer, "Error", "Message")
        if error:
            raise CommandFailed(error)
        return answers.number(answer, "StatusCode")
