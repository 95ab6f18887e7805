"""What a command is: its arguments, its table of flags, its action. Runs nothing itself."""

from hyper.cli.flags import Flag, Options
from hyper.core.errors import HyperError
from hyper.sdk.address import Address, resolve
from hyper.sdk.daemon import Daemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NO_LIMIT = -1


class CommandFailed(HyperError):
    """A command ends with `status`; `message` goes to stderr, "" when all has been said."""

    def __init__(self, message: str, status: int = 1) -> None:
        self.status = status
        super().__init__(message)


class Command:
    """One command: `arguments` as in its usage line, how many it takes, its flags, its action.

    `failure_status` is the exit status of a failure of ours or the daemon's (125 for run);
    `names` says what its arguments name, for completion.
    """

    __slots__ = (
        "action",
        "arguments",
        "description",
        "failure_status",
        "flags",
        "interspersed",
        "maximum",
        "minimum",
        "names",
    )

    def __init__(
        self,
        action: "Callable[[Invocation], int]",
        arguments: str = "",
        *,
        minimum: int = 0,
        maximum: int = NO_LIMIT,
        flags: tuple[Flag, ...] = (),
        interspersed: bool = True,
        failure_status: int = 1,
        names: str = "",
        description: str = "",
    ) -> None:
        self.action = action
        self.arguments = arguments
        self.minimum = minimum
        self.maximum = maximum
        self.flags = flags
        self.interspersed = interspersed
        self.failure_status = failure_status
        self.names = names
        self.description = description


class Invocation:
    """A command as it was called: `path` ("container ls"), options, arguments and the daemon."""

    __slots__ = ("_daemon", "arguments", "host", "options", "path")

    def __init__(self, path: str, options: Options, arguments: list[str], host: str) -> None:
        self.path = path
        self.options = options
        self.arguments = arguments
        self.host = host
        self._daemon: Daemon | None = None

    @property
    def address(self) -> Address:
        """Return where the daemon is. Raises InvalidArgument."""
        return resolve(self.host)

    @property
    def daemon(self) -> Daemon:
        """Return the connection to the daemon, made on first use."""
        if self._daemon is None:
            self._daemon = Daemon(self.address)
        return self._daemon
