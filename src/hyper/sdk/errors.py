"""Errors a client of the daemon sees. Does not decide them: the daemon's status code does."""

from hyper.core.errors import HyperError


class ApiError(HyperError):
    """The daemon refused or failed a request; `status` is HTTP's, `message` the daemon's own
    words."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class NotFoundError(ApiError):
    """There is no such object."""


class ConflictError(ApiError):
    """The object's state or name does not allow the request."""


class ConnectionLost(HyperError):
    """The connection to the daemon broke, or its answer is not HTTP."""


class DaemonUnavailable(HyperError):
    """The daemon cannot be reached at `address`."""

    def __init__(self, address: str, reason: str = "") -> None:
        self.address = address
        text = f"Cannot connect to the Hyper daemon at {address}. Is hyperd running?"
        super().__init__(f"{text} ({reason})" if reason else text)


class StartFailed(HyperError):
    """hyperd was started on first use and did not come up."""


def api_error(status: int, message: str) -> ApiError:
    """Return the error of an answer with `status`."""
    if status == 404:
        return NotFoundError(status, message)
    if status == 409:
        return ConflictError(status, message)
    return ApiError(status, message)
