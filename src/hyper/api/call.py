"""Owns what a handler gets: one request, its parameters and body, read with Docker's rules."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from aiohttp import web

from hyper.api.connection import Connection
from hyper.core import gojson
from hyper.core.errors import InvalidArgument
from hyper.core.values import read_object

if TYPE_CHECKING:
    from hyper.engine.engine import Engine

MAX_BODY_BYTES = 8 * 1024 * 1024
Version = tuple[int, int]


def parse_version(text: str) -> Version:
    """Return 1.50 as (1, 50), so that versions compare. Raises InvalidArgument."""
    major, _, minor = text.partition(".")
    try:
        return int(major), int(minor or "0")
    except ValueError:
        raise InvalidArgument(f"invalid API version: {text}") from None


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `parameters` are those of the path, `headers` go out with every answer."""

    request: web.BaseRequest
    engine: "Engine"
    version: Version
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def connection(self) -> Connection:
        """The client's connection."""
        return cast(Connection, self.request.protocol)

    def text(self, name: str, default: str = "") -> str:
        """Return a query parameter."""
        return self.request.query.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a query parameter as a boolean (moby httputils.BoolValue)."""
        if name not in self.request.query:
            return default
        return self.text(name).strip().lower() not in ("", "0", "no", "false", "none")

    def integer(self, name: str, default: int | None = None) -> int | None:
        """Return a query parameter as an integer. Raises InvalidArgument."""
        text = self.text(name)
        if not text:
            return default
        try:
            return int(text)
        except ValueError:
            raise InvalidArgument(
                f'invalid value for "{name}": "{text}" is not an integer'
            ) from None

    async def body(self, *, required: bool = True) -> Mapping[str, object]:
        """Return the JSON object of the request's body; {} for none when not `required`.

        Raises InvalidArgument with Docker's texts.
        """
        data = await self.body_bytes()
        if not data.strip():
            if required:
                raise InvalidArgument("invalid JSON: got EOF while reading request body")
            return {}
        kind = self.request.content_type
        if self.request.headers.get("Content-Type") and kind != "application/json":
            raise InvalidArgument(
                f"unsupported Content-Type header ({kind}): must be 'application/json'"
            )
        try:
            return read_object(gojson.loads(data), "request body")
        except (ValueError, RecursionError) as err:
            raise InvalidArgument(f"invalid JSON: {err}") from err

    async def body_bytes(self) -> bytes:
        """Return the request's body. Raises InvalidArgument when it is too long."""
        chunks = bytearray()
        async for chunk in self.request.content.iter_chunked(65536):
            chunks += chunk
            if len(chunks) > MAX_BODY_BYTES:
                raise InvalidArgument(f"the request body is longer than {MAX_BODY_BYTES} bytes")
        return bytes(chunks)


def json_response(value: object, status: int = 200) -> web.Response:
    """Return a value as JSON, with the newline Go's encoder writes."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    return web.Response(status=status, body=body, content_type="application/json")


def no_content() -> web.Response:
    """Return the empty answer of a success."""
    return web.Response(status=204)
