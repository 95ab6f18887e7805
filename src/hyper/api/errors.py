"""Owns the one table from error classes to HTTP statuses, and the body of an error.

Nothing else mentions statuses of errors; texts are never matched.
"""

import json
import logging

from aiohttp import web

from hyper.core.errors import (
    Conflict,
    Forbidden,
    HyperError,
    InvalidArgument,
    Malformed,
    NotFound,
    NotModified,
    Unauthorized,
    Unavailable,
    Unsupported,
)

log = logging.getLogger("api.errors")

STATUS: tuple[tuple[type[HyperError], int], ...] = (
    (InvalidArgument, 400),
    (Malformed, 400),
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (NotModified, 304),
    (Unsupported, 501),
    (Unavailable, 503),
    (HyperError, 500),
)


class PageNotFound(HyperError):
    """No route matches."""

    def __init__(self) -> None:
        super().__init__("page not found")


def cause_of(error: Exception) -> Exception:
    """Return the error inside a task group's wrapping; a lost client if nothing else failed."""
    while isinstance(error, ExceptionGroup):
        inner = [item for item in error.exceptions if not isinstance(item, ConnectionError)]
        error = (inner or error.exceptions)[0]
    return error


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error; anything unexpected is 500."""
    if isinstance(error, PageNotFound):
        return 404
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def text_of(error: Exception) -> str:
    """Return the one line a client sees of an error."""
    if isinstance(error, HyperError):
        return str(error)
    return f"internal error: {type(error).__name__}: {error}"


def error_response(error: Exception) -> web.Response:
    """Return the response of an error: Docker's {"message": ...}, nothing for 304."""
    if not isinstance(error, HyperError):
        log.error("unexpected error", exc_info=error)
    status = status_of(error)
    if status == 304:
        return web.Response(status=304)
    body = json.dumps({"message": text_of(error)}).encode() + b"\n"
    return web.Response(status=status, body=body, content_type="application/json")
