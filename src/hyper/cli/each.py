"""The shape of commands that do one thing to each of their arguments, going on after a failure."""

import sys

from hyper.cli.command import Invocation
from hyper.core.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def each(call: Invocation, act: "Callable[[str], object]") -> int:
    """Do `act` for each argument and print it; failures go to stderr and make the status 1."""
    return each_of(call.arguments, act, print)


def each_of(
    names: "Iterable[str]",
    act: "Callable[[str], object]",
    done: "Callable[[str], object]",
    missing_is_fine: bool = False,
) -> int:
    """Do `act`, then `done`, for each name; failures go to stderr and make the status 1.

    With `missing_is_fine` (--force) an object that is not there is told, but is no failure.
    """
    from hyper.cli.__main__ import error_text
    from hyper.sdk.errors import DaemonUnavailable, NotFoundError

    failures = []
    status = 0
    for name in names:
        try:
            act(name)
        except DaemonUnavailable:
            raise
        except HyperError as err:
            failures.append(error_text(err))
            if not (missing_is_fine and isinstance(err, NotFoundError)):
                status = 1
        else:
            done(name)
    if failures:
        sys.stdout.flush()
        print("\n".join(failures), file=sys.stderr)
    return status


def container_path(name: str, rest: str = "") -> str:
    """Return the API's path of a container; a leading / of an inspected name is no part of it."""
    from hyper.sdk.http1 import path_of

    return path_of("containers", name.removeprefix("/"), rest)
