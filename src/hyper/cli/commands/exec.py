"""hyper exec: another process in a running container."""

import os
import sys

from hyper.cli import streams
from hyper.cli.command import Command, Invocation
from hyper.cli.container_flags import DETACH_KEYS, PROCESS
from hyper.cli.each import container_path
from hyper.cli.flags import BOOL, Flag
from hyper.sdk import answers

_SHARED = ("env", "env-file", "interactive", "tty", "user", "workdir")


def execute(call: Invocation) -> int:
    """Run a command in a running container; return its exit status."""
    options = call.options
    tty, detach, stdin = options.on("tty"), options.on("detach"), options.on("interactive")
    if tty and stdin and not detach and not os.isatty(0):
        print("the input device is not a TTY", file=sys.stderr)
        return 1
    answer = call.daemon.call("POST", container_path(call.arguments[0], "/exec"), None, _body(call))
    identifier = answers.text(answer, "Id")
    if detach:
        body = {"Detach": True, "Tty": tty}
        call.daemon.call("POST", f"/exec/{identifier}/start", None, body)
        return 0
    detached = _attach(call, identifier, tty, stdin)
    if detached:
        print("read escape sequence", file=sys.stderr)
        return 0
    return answers.number(call.daemon.call("GET", f"/exec/{identifier}/json"), "ExitCode")


def _body(call: Invocation) -> dict[str, object]:
    from hyper.cli.values import environment

    options = call.options
    attached = not options.on("detach")
    body: dict[str, object] = {
        "AttachStdin": attached and options.on("interactive"),
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Tty": options.on("tty"),
        "Cmd": call.arguments[1:],
    }
    if options.text("user"):
        body["User"] = options.text("user")
    if options.text("workdir"):
        body["WorkingDir"] = options.text("workdir")
    if options.on("privileged"):
        body["Privileged"] = True
    if options.given("env", "env-file"):
        body["Env"] = environment(options.items("env-file"), options.items("env"))
    if options.text("detach-keys"):
        body["DetachKeys"] = options.text("detach-keys")
    return body


def _attach(call: Invocation, identifier: str, tty: bool, stdin: bool) -> bool:
    """Copy the streams until the process ends; return whether the user detached."""
    body: dict[str, object] = {"Detach": False, "Tty": tty}
    if tty:
        from hyper.cli.terminal import size

        rows, columns = size(1)
        if rows:
            body["ConsoleSize"] = [rows, columns]
    channel = call.daemon.hijack(f"/exec/{identifier}/start", None, body).hijack()
    if not tty:
        pump = streams.InputPump(channel, b"", tty=False)
        if stdin:
            pump.start()
        streams.copy_frames(channel)
        return False
    from hyper.cli.detaching import detach_keys
    from hyper.cli.signals import SignalProxy
    from hyper.cli.terminal import RawTerminal

    signals = SignalProxy(call.address, "exec")
    signals.install(proxy=False, tty=True)
    pump = streams.InputPump(channel, detach_keys(call.options), tty=True)
    with RawTerminal(0, stdin):
        signals.target(identifier, tty=True)
        if stdin:
            pump.start()
        streams.copy_raw(channel, signals)
    return pump.detached


COMMAND = Command(
    execute,
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    minimum=2,
    interspersed=False,
    names="container",
    flags=(
        *(flag for flag in PROCESS if flag.name in _SHARED),
        DETACH_KEYS,
        Flag("detach", BOOL, "Detached mode: run command in the background", short="d"),
        Flag("privileged", BOOL, "Give extended privileges to the command"),
    ),
)
