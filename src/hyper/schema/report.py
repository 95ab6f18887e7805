"""Owns docs/docker-api.md: what works, differs or is refused, from the tables the server runs on.

`python -m hyper.schema.report` prints the page; a test compares it with the file.
"""

from collections.abc import Iterable, Sequence

from hyper.schema.config import CONFIG
from hyper.schema.differences import DIFFERENCES, ELSEWHERE
from hyper.schema.fields import Field
from hyper.schema.hostconfig import HOST_CONFIG
from hyper.schema.parameters import PARAMETERS, Parameter
from hyper.schema.routes import (
    DOCKER_ROUTES,
    MAXIMUM_VERSION,
    MINIMUM_VERSION,
    ROUTES,
    Route,
)

_INTRODUCTION = f"""\
# Docker's API in Hyper

Made by `python -m hyper.schema.report`; do not edit.

hyperd serves the Docker Engine API, versions {MINIMUM_VERSION} to {MAXIMUM_VERSION}. Every endpoint
and every field of a container's configuration is listed: **works** (as with dockerd), **differs**
(and how), **refused** (and why; the answer is an error that names it, unless the value is the one
that asks for nothing).
"""


def page() -> str:
    """Return the page."""
    own = [route for route in ROUTES if route not in DOCKER_ROUTES]
    return "\n".join(
        [
            _INTRODUCTION,
            "## Endpoints",
            "",
            *_table(("endpoint", "operation", "support", "note"), map(_route, DOCKER_ROUTES)),
            "",
            "## Config",
            "",
            *_table(("field", "support", "note"), map(_field, CONFIG)),
            "",
            "## HostConfig",
            "",
            *_table(("field", "support", "note"), map(_field, HOST_CONFIG)),
            "",
            "## Parameters, and fields of other bodies",
            "",
            "Those that are not listed work.",
            "",
            *_table(("operation", "name", "support", "note"), map(_parameter, PARAMETERS)),
            "",
            "## What else a client may notice",
            "",
            *_table(("difference", "to dockerd 20.10"), (*DIFFERENCES.items(), *ELSEWHERE.items())),
            "",
            "## Hyper's own endpoints",
            "",
            *_table(("endpoint", "operation", "support", "note"), map(_route, own)),
            "",
        ]
    )


def _route(route: Route) -> Sequence[str]:
    return f"`{route.method} {route.path}`", route.operation, str(route.support), route.note


def _parameter(parameter: Parameter) -> Sequence[str]:
    return parameter.operation, f"`{parameter.name}`", str(parameter.support), parameter.note


def _field(field: Field) -> Sequence[str]:
    return f"`{field.name}`", str(field.support), field.note


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [" | ".join(titles), " | ".join("---" for _ in titles)]
    lines += [" | ".join(row) for row in rows]
    return [f"| {line} |".replace("|  |", "| |") for line in lines]


if __name__ == "__main__":
    print(page(), end="")
