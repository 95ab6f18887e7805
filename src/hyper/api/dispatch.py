"""Owns finding the handler of a request by the route table, and API versions. No sockets."""

import re
from collections.abc import Awaitable, Callable
from importlib import import_module
from urllib.parse import unquote

from aiohttp import web

from hyper.api.call import Call, Version, parse_version
from hyper.api.errors import PageNotFound
from hyper.core.errors import InvalidArgument, Unsupported
from hyper.schema.routes import MAXIMUM_VERSION, MINIMUM_VERSION, OWN_PREFIX, Route

Handler = Callable[[Call], Awaitable[web.StreamResponse]]
_VERSION = re.compile(r"/v(\d+(?:\.\d+)*)(/.*)")
_PARAMETER = re.compile(r"\{(\w+)\}")


def split_version(path: str) -> tuple[Version, str]:
    """Return the API version and the rest of a path.

    Raises InvalidArgument with Docker's text when the version is not served.
    """
    maximum = parse_version(MAXIMUM_VERSION)
    match = _VERSION.fullmatch(path)
    if match is None or path.startswith(OWN_PREFIX + "/"):
        return maximum, path
    version = parse_version(match[1])
    if version < parse_version(MINIMUM_VERSION):
        raise InvalidArgument(
            f"client version {match[1]} is too old. Minimum supported API version is "
            f"{MINIMUM_VERSION}, please upgrade your client to a newer version"
        )
    if version > maximum:
        raise InvalidArgument(
            f"client version {match[1]} is too new. "
            f"Maximum supported API version is {MAXIMUM_VERSION}"
        )
    return version, match[2]


class Router:
    """The routes with their handlers, found once at start: a missing handler is an error then."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._fixed: dict[tuple[str, str], tuple[Route, Handler]] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Route, Handler]]] = {}
        for route in routes:
            handler = _load(route)
            if "{" not in route.path:
                self._fixed[route.method, route.path] = route, handler
                continue
            pattern = re.compile(_PARAMETER.sub(r"(?P<\1>.+)", route.path))
            key = route.method, _first(route.path)
            self._patterns.setdefault(key, []).append((pattern, route, handler))
        for candidates in self._patterns.values():
            # The more a path spells out, the earlier it is tried: /{name}/json before /{name}.
            candidates.sort(key=lambda entry: -len(_PARAMETER.sub("", entry[1].path)))

    def find(self, method: str, path: str) -> tuple[Route, Handler, dict[str, str]]:
        """Return the route of a request with its parameters.

        Raises PageNotFound.
        """
        if found := self._fixed.get((method, path)):
            return *found, {}
        for pattern, route, handler in self._patterns.get((method, _first(path)), ()):
            if match := pattern.fullmatch(path):
                return (
                    route,
                    handler,
                    {key: unquote(text) for key, text in match.groupdict().items()},
                )
        raise PageNotFound


def _first(path: str) -> str:
    parts = path.split("/", 4)
    return (
        "/".join(parts[:4]) if path.startswith(OWN_PREFIX) else parts[1] if len(parts) > 1 else ""
    )


def _load(route: Route) -> Handler:
    if not route.handler:
        return _refuser(route)
    module, _, name = route.handler.partition(".")
    handler: Handler = getattr(import_module(f"hyper.api.handlers.{module}"), name)
    return handler


def _refuser(route: Route) -> Handler:
    async def refuse(call: Call) -> web.StreamResponse:
        raise Unsupported(f"{route.operation} is not supported: {route.note}")

    return refuse
