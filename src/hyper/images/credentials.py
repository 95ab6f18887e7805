"""Who we are to a registry: from the API's header, from ~/.docker/config.json, from its helpers.

Does not talk to registries. Docker CLI documentation "docker login", "Credential stores"; the
helpers' protocol: docker/docker-credential-helpers README.
"""

import base64
import binascii
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyper.core.errors import Failure, InvalidArgument, ProcessError, Unavailable
from hyper.host import process, threads
from hyper.images.manifest import parse_json
from hyper.images.reference import DEFAULT_DOMAIN

_DOCKER_KEY = "https://index.docker.io/v1/"
_LIMIT_BYTES = 4 * 1024 * 1024
_HELPER = re.compile(r"[A-Za-z0-9_.-]+")
_HELPER_TIMEOUT_S = 30.0
_FIELDS = ("username", "password", "auth", "identitytoken", "registrytoken")
_HELPER_VARIABLES = ("HOME", "PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and password, or an identity token (OAuth2), or a ready bearer token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """Return the value of an Authorization header for HTTP basic authentication."""
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


def from_header(value: str) -> Credentials | None:
    """Return the credentials of an X-Registry-Auth header, None if it is empty or holds none.

    Raises InvalidArgument.
    """
    return _of_auth(_header_object(value, "X-Registry-Auth"))


def from_config_header(value: str) -> dict[str, Credentials]:
    """Return the credentials of an X-Registry-Config header by registry. Raises InvalidArgument."""
    found = {}
    for server, raw in _header_object(value, "X-Registry-Config").items():
        credentials = _of_auth(raw) if isinstance(raw, dict) else None
        if credentials:
            host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
            found[DEFAULT_DOMAIN if server == _DOCKER_KEY else host] = credentials
    return found


def _header_object(value: str, header: str) -> dict[str, Any]:
    try:
        padded = value + "=" * (-len(value) % 4)
        raw = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True) or b"{}")
        raw = {} if raw is None else raw
        if not isinstance(raw, dict):
            raise ValueError("not an object")
    except (ValueError, binascii.Error, RecursionError) as err:
        raise InvalidArgument(f"invalid {header} header: {err}") from err
    return raw


def _of_auth(raw: dict[str, Any]) -> Credentials | None:
    for key in _FIELDS:
        if not isinstance(raw.get(key) or "", str):
            raise InvalidArgument(f"invalid X-Registry-Auth header: {key} is not a string")
    found = Credentials(
        _text(raw, "username"),
        _text(raw, "password"),
        _text(raw, "identitytoken"),
        _text(raw, "registrytoken"),
    )
    if not found.username and raw.get("auth"):
        try:
            return _decode(_text(raw, "auth"))
        except Failure as err:
            raise InvalidArgument(f"invalid X-Registry-Auth header: {err}") from err
    return found if found != Credentials() else None


async def from_config(
    path: Path, domain: str, environment: Mapping[str, str] | None = None
) -> Credentials | None:
    """Return what Docker's config file knows of a registry, asking its helper; None if nothing.

    Raises Failure when the file or the helper is broken.
    """
    raw = await threads.in_thread("credentials", _load, path)
    keys = [domain, f"https://{domain}", f"http://{domain}", f"https://{domain}/v1/"]
    if domain == DEFAULT_DOMAIN:
        keys = [_DOCKER_KEY, domain, "index.docker.io", "registry-1.docker.io"]
    helpers = raw.get("credHelpers")
    for key in keys:
        helper = helpers.get(key) if isinstance(helpers, dict) else None
        if isinstance(helper, str) and helper:
            return await _ask(helper, key, environment or {})
    store = raw.get("credsStore")
    if isinstance(store, str) and store:
        found = await _ask(store, keys[0], environment or {})
        if found is not None:
            return found
    auths = raw.get("auths")
    for key in keys:
        entry = auths.get(key) if isinstance(auths, dict) else None
        if isinstance(entry, dict) and entry:
            return _of_entry(entry)
    return None


def _of_entry(entry: dict[str, Any]) -> Credentials | None:
    pair = _decode(_text(entry, "auth")) if entry.get("auth") else None
    return Credentials(
        _text(entry, "username") or (pair.username if pair else ""),
        _text(entry, "password") or (pair.password if pair else ""),
        _text(entry, "identitytoken"),
        _text(entry, "registrytoken"),
    )


async def _ask(helper: str, key: str, environment: Mapping[str, str]) -> Credentials | None:
    """Run docker-credential-HELPER get; it answers JSON, or says that it has nothing."""
    if not _HELPER.fullmatch(helper):
        raise Failure(f"config.json names an impossible credential helper: {helper[:80]!r}")
    name = f"docker-credential-{helper}"
    program = shutil.which(name, path=environment.get("PATH", process.SEARCH_PATH))
    if program is None:
        raise Unavailable(f"the credential helper {name} that config.json names is missing")
    env = {k: v for k, v in environment.items() if k in _HELPER_VARIABLES} or None
    try:
        answer = await process.run(
            [program, "get"], input=key.encode(), env=env, timeout_s=_HELPER_TIMEOUT_S
        )
        raw = parse_json(answer, f"what {name} answered")
    except ProcessError as err:
        if not err.stderr.strip():  # "credentials not found in native keychain" goes to stdout
            return None
        raise Failure(f"credential helper {name} failed for {key}: {err}") from err
    username, secret = _text(raw, "Username"), _text(raw, "Secret")
    if username == "<token>":
        return Credentials(identity_token=secret)
    return Credentials(username, secret)


def _load(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return parse_json(file.read(_LIMIT_BYTES), str(path))
    except FileNotFoundError:
        return {}
    except OSError as err:
        raise Failure(f"cannot read {path}: {err.strerror}") from err


def _decode(auth: str) -> Credentials:
    """Return the user and password of base64(user:password). Raises Failure."""
    try:
        user, _, password = base64.b64decode(auth).decode().partition(":")
    except (ValueError, binascii.Error) as err:
        raise Failure("an `auth` is not base64 of user:password") from err
    return Credentials(user, password.rstrip("\0"))


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""
