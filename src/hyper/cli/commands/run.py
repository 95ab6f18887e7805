"""hyper run: one round trip to the daemon, then the container's streams until it ends."""

import os
import sys

from hyper.cli import streams
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.container_body import create_body
from hyper.cli.container_flags import RUN_FLAGS
from hyper.cli.creation import check_cidfile, create, failed, image_is_missing, pull_as_asked
from hyper.sdk import jsontext
from hyper.sdk.errors import ApiError
from hyper.sdk.transport import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.container_body import Body
    from hyper.cli.signals import SignalProxy

_DAEMON_FAILED = 125


def run(call: Invocation) -> int:
    """Run a container; return its exit status."""
    options = call.options
    if options.on("detach"):
        if options.given("attach"):
            raise CommandFailed("conflicting options: cannot specify both --attach and --detach")
        return _run_detached(call)
    body = create_body(options, call.arguments)
    tty, stdin = options.on("tty"), bool(body["AttachStdin"])
    if tty and stdin and not os.isatty(0):
        print("the input device is not a TTY", file=sys.stderr)
        return 1
    check_cidfile(options)
    if tty:
        _put_console_size(body)
    body["Name"] = options.text("name")
    body["Pull"] = "never"  # we pull ourselves: with the user's credentials, drawing the progress
    from hyper.cli.signals import SignalProxy

    signals = SignalProxy(call.address)
    pull_as_asked(call)
    signals.install(proxy=options.on("sig-proxy"), tty=tty)
    response = _start(call, body)
    return _Attached(call, response, signals).serve(tty, stdin)


def _put_console_size(body: "Body") -> None:
    from hyper.cli.terminal import size

    rows, columns = size(1)
    host = body["HostConfig"]
    assert isinstance(host, dict)
    if rows:
        host["ConsoleSize"] = [rows, columns]


def _start(call: Invocation, body: "Body") -> Response:
    query = {"platform": call.options.text("platform")}
    try:
        return call.daemon.hijack("/hyper/v1/run", query, body)
    except ApiError as err:
        if not image_is_missing(call, err):
            raise failed(err) from err
    pull_as_asked(call, missing=True)
    try:
        return call.daemon.hijack("/hyper/v1/run", query, body)
    except ApiError as err:
        raise failed(err) from err


def _run_detached(call: Invocation) -> int:
    body = create_body(call.options, call.arguments)
    body.update(AttachStdin=False, AttachStdout=False, AttachStderr=False, StdinOnce=False)
    if call.options.on("tty"):
        _put_console_size(body)
    identifier = create(call, body)
    try:
        call.daemon.call("POST", f"/containers/{identifier}/start")
    except ApiError as err:
        raise failed(err) from err
    print(identifier)
    return 0


class _Attached:
    """A running container's stream: its frames, its end, the user's detaching."""

    __slots__ = ("_call", "_error", "_response", "_signals", "_status", "_tty")

    def __init__(self, call: Invocation, response: Response, signals: "SignalProxy") -> None:
        self._call = call
        self._response = response
        self._signals = signals
        self._status: int | None = None
        self._error = ""
        self._tty = False

    def serve(self, tty: bool, stdin: bool) -> int:
        """Copy until the container ends or the user detaches; return the exit status."""
        self._tty = tty
        channel = self._response.hijack()
        if not tty:
            pump = streams.InputPump(channel, b"", tty=False)
            if stdin:
                pump.start()
            streams.copy_frames(channel, self._control, self._signals)
            return self._result(detached=False)
        from hyper.cli.detaching import detach_keys
        from hyper.cli.terminal import RawTerminal

        pump = streams.InputPump(channel, detach_keys(self._call.options), tty=True)
        with RawTerminal(0, stdin):
            if stdin:
                pump.start()
            streams.copy_frames(channel, self._control, self._signals)
        return self._result(pump.detached)

    def _control(self, text: bytes) -> None:
        message = jsontext.loads(text)
        if not isinstance(message, dict):
            return
        for warning in message.get("Warnings") or ():
            print(f"WARNING: {warning}", file=sys.stderr)
        if isinstance(message.get("Id"), str):
            self._signals.target(message["Id"], self._tty)
            cidfile = self._call.options.text("cidfile")
            if cidfile:
                from hyper.cli.creation import write_cidfile

                write_cidfile(cidfile, message["Id"])
        if isinstance(message.get("StatusCode"), int):
            self._status = message["StatusCode"]
        if message.get("Error"):
            self._error = str(message["Error"])

    def _result(self, detached: bool) -> int:
        if detached:
            print("read escape sequence", file=sys.stderr)
            return 0
        if self._error:
            # What the daemon tells apart is how the program failed; docker also reads the words.
            known = self._status if self._status != _DAEMON_FAILED else None
            raise failed(ApiError(500, self._error), known)
        if self._status is None:
            raise CommandFailed(
                "error waiting for container: the daemon closed the connection", _DAEMON_FAILED
            )
        return self._status


COMMAND = Command(
    run,
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    minimum=1,
    flags=RUN_FLAGS,
    interspersed=False,
    failure_status=_DAEMON_FAILED,
    names="image",
)
