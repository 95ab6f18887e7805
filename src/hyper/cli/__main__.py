"""The `hyper` program: global flags, the way to a command, errors to text and exit status."""

import os
import sys

from hyper.cli import registry
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag, FlagError, HelpRequested, parse
from hyper.core.errors import HyperError
from hyper.sdk.errors import ApiError

WRONG_USAGE = 125
_INTERRUPTED = 130  # 128 + SIGINT
_BROKEN_PIPE = 141  # 128 + SIGPIPE

GLOBAL_FLAGS = (
    Flag("config", TEXT, "Location of client config files (default: ~/.docker)"),
    Flag("debug", BOOL, "Show where an error came from", short="D"),
    Flag("host", TEXT, "Daemon socket to connect to", short="H"),
    Flag(
        "log-level",
        TEXT,
        "What to say of a failure: debug shows where it came from",
        short="l",
        values=("debug", "info", "warn", "error", "fatal"),
    ),
    Flag("version", BOOL, "Print version information and quit", short="v"),
)


def main() -> None:
    """Run the command line and end the process with its status."""
    _open_missing()
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(_BROKEN_PIPE)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except SystemExit as err:
        status = int(err.code or 0)
    except OSError as err:  # in most cases a full disk below our stdout
        name = err.filename or "/dev/stdout"
        print(f"{name}: {os.strerror(err.errno or 0).lower()}", file=sys.stderr)
        status = 1
    # Ends without waiting for a thread that reads stdin, and without tearing down the interpreter.
    os._exit(status)


def _open_missing() -> None:
    """Open /dev/null in place of a stdin, stdout or stderr that is closed, as Go's runtime does.

    Else the connection to the daemon would get its number, and what is printed be sent there.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))


def run(words: list[str]) -> int:
    """Run the command that `words` call and return its exit status."""
    program = Command(_nothing, "[OPTIONS] COMMAND [ARG...]", flags=GLOBAL_FLAGS)
    try:
        options, rest = parse(GLOBAL_FLAGS, words, interspersed=False)
    except HelpRequested:
        return _print_program_help()
    except FlagError as err:
        from hyper.cli import usage

        text = usage.flag_error("", program, str(err)).replace("hyper  ", "hyper ")
        return _fail(text, WRONG_USAGE)
    if options.text("config"):
        os.environ["DOCKER_CONFIG"] = options.text("config")
    if options.on("version"):
        rest = ["version", "--short"]
    if not rest or rest == ["help"]:
        return _print_program_help()
    if rest[0] == "help":
        rest = [*rest[1:], "--help"]
    debug = options.on("debug") or options.text("log-level") == "debug"
    return _dispatch(rest, options.text("host"), debug)


def _dispatch(words: list[str], host: str, debug: bool) -> int:
    path, rest = words[0], words[1:]
    while path in registry.GROUPS:
        if not rest or rest[0] in ("--help", "-h"):
            from hyper.cli import usage

            print(usage.group_help(path))
            return 0
        path, rest = f"{path} {rest[0]}", rest[1:]
    found = registry.find(path)
    if found is None:
        return _fail(_unknown(path), 1)
    command = registry.load(found[0])
    try:
        options, arguments = parse(command.flags, rest, command.interspersed)
    except HelpRequested:
        from hyper.cli import usage

        print(usage.command_help(path, command, found[1]))
        return 0
    except FlagError as err:
        from hyper.cli import usage

        return _fail(usage.flag_error(path, command, str(err)), WRONG_USAGE)
    if len(arguments) < command.minimum or len(arguments) > command.maximum >= 0:
        from hyper.cli import usage

        return _fail(usage.argument_error(path, command, len(arguments)), 1)
    return _act(command, Invocation(path, options, arguments, host), debug)


def _act(command: Command, call: Invocation, debug: bool) -> int:
    try:
        return command.action(call)
    except CommandFailed as err:
        return _fail(_with_hint(command, call, str(err), err.status), err.status)
    except HyperError as err:
        if debug:
            raise
        text = error_text(err)
        return _fail(
            _with_hint(command, call, text, command.failure_status), command.failure_status
        )


def error_text(err: HyperError) -> str:
    """Return an error as docker words it."""
    return f"Error response from daemon: {err}" if isinstance(err, ApiError) else str(err)


def _with_hint(command: Command, call: Invocation, text: str, status: int) -> str:
    """Return `text` in the form docker's run and create give their own failures."""
    if not text or command.failure_status != WRONG_USAGE or status < WRONG_USAGE:
        return text
    return f"hyper: {text}\n\nRun 'hyper {call.path} --help' for more information"


def _unknown(path: str) -> str:
    group = path.rpartition(" ")[0]
    if not group:
        return f"hyper: unknown command: hyper {path}\n\nRun 'hyper --help' for more information"
    usage = "" if group in ("container", "image") else " COMMAND"  # as docker has it
    return (
        f"hyper: unknown command: hyper {path}\n\nUsage:  hyper {group}{usage}\n\n"
        f"Run 'hyper {group} --help' for more information"
    )


def _print_program_help() -> int:
    from hyper.cli import usage

    print(usage.program_help(GLOBAL_FLAGS))
    return 0


def _fail(text: str, status: int) -> int:
    if text:
        sys.stdout.flush()
        print(text, file=sys.stderr)
    return status


def _nothing(call: Invocation) -> int:
    return 0


if __name__ == "__main__":
    main()
