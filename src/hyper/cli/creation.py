"""Creating a container: the image first when it is missing, the cidfile, docker's exit statuses."""

import os

from hyper.cli.command import CommandFailed, Invocation
from hyper.cli.flags import Options
from hyper.sdk.errors import ApiError, NotFoundError
from hyper.sdk.http1 import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.container_body import Body

_FAILED, _CANNOT_RUN, _NOT_FOUND = 125, 126, 127
# The API tells why a start failed in words only; these are the ones docker/cli looks for
# (cli/command/container/run.go, toStatusError).
_NOT_FOUND_WORDS = ("executable file not found", "no such file or directory")
_CANNOT_RUN_WORDS = ("permission denied", "is a directory")


def failed(err: ApiError, status: int | None = None) -> CommandFailed:
    """Return the failure to create or start a container, with the exit status docker gives it."""
    text = str(err).lower()
    if status is None:
        status = _FAILED
        if any(words in text for words in _NOT_FOUND_WORDS):
            status = _NOT_FOUND
        elif any(words in text for words in _CANNOT_RUN_WORDS):
            status = _CANNOT_RUN
    return CommandFailed(f"Error response from daemon: {err}", status)


def check_cidfile(options: Options) -> None:
    """Raise CommandFailed when --cidfile names a file that exists."""
    path = options.text("cidfile")
    if path and os.path.exists(path):
        raise CommandFailed(
            "container ID file found, make sure the other container isn't running or delete "
            + path,
            _FAILED,
        )


def write_cidfile(path: str, identifier: str) -> None:
    """Write a container's id to `path`. Raises CommandFailed."""
    try:
        with open(path, "x", encoding="ascii") as target:
            target.write(identifier)
    except OSError as err:
        raise CommandFailed(
            f"failed to create the container ID file: {err.strerror}: {path}", _FAILED
        ) from err


def image_is_missing(call: Invocation, err: ApiError) -> bool:
    """Return whether `err` came because the image, or the one of the platform asked for, is not
    there, and pulling it is allowed.
    """
    if not isinstance(err, NotFoundError) or call.options.text("pull") != "missing":
        return False
    there = call.daemon.exists(path_of("images", call.arguments[0], "/json"))
    return not there or bool(call.options.text("platform"))


def pull_as_asked(call: Invocation, missing: bool = False) -> None:
    """Pull the image when it is `missing` or --pull=always. Raises ApiError, CommandFailed."""
    if not missing and call.options.text("pull") != "always":
        return
    from hyper.cli.pulling import announce_missing, pull_for_container

    image, quiet = call.arguments[0], call.options.on("quiet")
    try:
        if missing:
            announce_missing(image, quiet)
        pull_for_container(call.daemon, image, call.options.text("platform"), quiet)
    except ApiError as err:
        raise failed(err, _FAILED) from err
    except CommandFailed as err:
        raise CommandFailed(str(err), _FAILED) from err


def create(call: Invocation, body: "Body") -> str:
    """Create a container and return its id. Raises CommandFailed."""
    options = call.options
    check_cidfile(options)
    pull_as_asked(call)
    query = {"name": options.text("name"), "platform": options.text("platform")}
    try:
        answer = call.daemon.call("POST", "/containers/create", query, body)
    except ApiError as err:
        if not image_is_missing(call, err):
            raise failed(err) from err
        pull_as_asked(call, missing=True)
        try:
            answer = call.daemon.call("POST", "/containers/create", query, body)
        except ApiError as again:
            raise failed(again) from again
    assert isinstance(answer, dict)
    warnings = answer.get("Warnings") or []
    if warnings:
        import sys

        for warning in warnings:
            print(f"WARNING: {warning}", file=sys.stderr)
    identifier = str(answer["Id"])
    if options.text("cidfile"):
        write_cidfile(options.text("cidfile"), identifier)
    return identifier
