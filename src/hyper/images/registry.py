"""Repositories at registries: the distribution protocol and its authentication. Stores nothing.

OCI distribution-spec v1.1; tokens as in distribution/distribution "Token Authentication
Specification" and "OAuth2". What is fetched is not verified here: who keeps it does that.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit

from hyper.core.errors import Failure, HyperError, NotFound, Unauthorized, Unavailable
from hyper.images.credentials import Credentials
from hyper.images.http import Answer, Http, resolve
from hyper.images.manifest import ACCEPTED, MANIFEST_LIMIT_BYTES, parse_json
from hyper.images.reference import DEFAULT_DOMAIN, Reference, is_tag

_HUB = "registry-1.docker.io"
_ATTEMPTS = 5
_ERROR_LIMIT = 64 * 1024
_TOKEN_LIMIT = 1024 * 1024
_RETRIED = (408, 429, 500, 502, 503, 504)
_CHALLENGE = re.compile(r'([a-zA-Z_]+)="([^"]*)"')
_NEXT = re.compile(r'<([^>]*)>; *rel="?next"?')  # RFC 8288
_TAGS_LIMIT = 10_000
_PAUSE_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Response:
    """A small answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Repository:
    """One repository at one registry (or a mirror of it), with our credentials for it."""

    def __init__(
        self, http: Http, reference: Reference, credentials: Credentials | None, mirror: str = ""
    ) -> None:
        self._http = http
        self._reference = reference
        self._credentials = credentials
        own = _HUB if reference.domain == DEFAULT_DOMAIN else reference.domain
        self._fixed = mirror.rstrip("/") if "://" in mirror else ""
        self.host = urlsplit(mirror).netloc if self._fixed else mirror or own
        self._base = ""
        self._challenge: dict[str, str] = {}
        self._scheme = ""
        self._scopes = [f"repository:{reference.path}:pull"]
        self._token = ("", 0.0)
        self._wants_identity = False
        self._pushes = False
        self._identity_token = ""

    def for_push(self, source: str = "") -> None:
        """Ask for the right to push, and to pull from `source` whose blobs may be mounted."""
        self._pushes = True
        self._scopes = [f"repository:{self._reference.path}:pull,push"]
        if source and source != self._reference.path:
            self._scopes.append(f"repository:{source}:pull")
        self._token = ("", 0.0)

    async def login(self) -> str:
        """Check the credentials; return the identity token to keep instead of them, if any.

        Raises Unauthorized, Unavailable, Failure.
        """
        self._scopes, self._wants_identity = [], True
        response = await self.request("GET", "/v2/")
        if response.status != 200:
            status = f"{response.status} {HTTPStatus(response.status).phrase}"
            raise Unauthorized(f"login attempt to {self._base}/v2/ failed with status: {status}")
        return self._identity_token

    def path(self, *parts: str) -> str:
        """Return the path of something in this repository."""
        rest = "/".join(quote(part, safe=":") for part in parts)
        return f"/v2/{self._reference.path}/{rest}"

    async def manifest(self, name: str) -> tuple[bytes, str]:
        """Return the bytes and media type of the manifest with this tag or digest.

        Raises NotFound, Unauthorized, Unavailable, Failure.
        """
        response = await self.request(
            "GET",
            self.path("manifests", name),
            {"Accept": ", ".join(ACCEPTED)},
            limit_bytes=MANIFEST_LIMIT_BYTES,
        )
        if response.status != 200:
            raise self.error(response)
        return response.body, response.headers.get("Content-Type", "")

    async def tags(self) -> list[str]:
        """Return all tags of the repository, page by page.

        Raises NotFound, Unauthorized, Unavailable, Failure.
        """
        found: list[str] = []
        path = self.path("tags", "list")
        while path and len(found) < _TAGS_LIMIT:
            response = await self.request("GET", path, limit_bytes=MANIFEST_LIMIT_BYTES)
            if "NAME_UNKNOWN" in _codes(response.body):
                name = self._reference.familiar_name
                raise NotFound("repository to list", name, _reason(response))
            if response.status != 200:
                raise self.error(response)
            tags = parse_json(response.body, "the list of tags").get("tags") or []
            if not isinstance(tags, list):
                raise Failure(f"{self.host}: the list of tags is none")
            found += [tag for tag in tags if isinstance(tag, str) and is_tag(tag)]
            following = _NEXT.search(response.headers.get("Link", ""))
            path = self.absolute(following[1]) if following and tags else ""
        return found

    async def blob(self, digest: str, size_bytes: int) -> AsyncIterator[bytes]:
        """Yield a blob; a transfer that breaks off is resumed where it broke.

        Raises Unavailable after several attempts without a byte, NotFound, Unauthorized.
        """
        position = failures = 0
        while True:
            start = position
            try:
                async for chunk in self._blob_from(digest, position):
                    position += len(chunk)
                    yield chunk
                if position >= size_bytes or position == start:
                    return  # complete; or short, which the digest will tell
            except Unavailable:
                failures = 0 if position > start else failures + 1
                if failures >= _ATTEMPTS:
                    raise
            await asyncio.sleep(_pause_s(failures))

    async def _blob_from(self, digest: str, position: int) -> AsyncIterator[bytes]:
        whole: dict[str, str] = {}
        for headers in ({"Range": f"bytes={position}-"}, whole) if position else (whole,):
            async with self.exchange("GET", self.path("blobs", digest), headers) as answer:
                if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and headers:
                    continue
                if answer.status not in (200, 206):
                    raise self.error(await _whole(answer, _ERROR_LIMIT))
                skip = position if answer.status == 200 else 0  # no ranges here: it starts over
                async for chunk in answer.chunks():
                    if skip < len(chunk):
                        yield chunk[skip:] if skip else chunk
                    skip = max(0, skip - len(chunk))
                return

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        limit_bytes: int = _ERROR_LIMIT,
    ) -> Response:
        """Return a small answer, whatever its status; retried when that may help."""
        failures = 0
        while True:
            async with self.exchange(method, path, headers or {}, data) as answer:
                response = await _whole(answer, limit_bytes)
            failures += 1
            if response.status not in _RETRIED or failures >= _ATTEMPTS:
                return response
            after = response.headers.get("Retry-After", "")
            await asyncio.sleep(_pause_s(failures, after))

    @contextlib.asynccontextmanager
    async def exchange(
        self, method: str, path: str, headers: Mapping[str, str], data: object = None
    ) -> AsyncIterator[Answer]:
        """Send an authenticated request to a path, or to a URL the registry gave us."""
        if not self._base:
            await self._connect()
        url = path if "://" in path else self._base + path
        again = not hasattr(data, "__anext__")
        while True:
            sent = dict(headers)
            if urlsplit(url).netloc == urlsplit(self._base).netloc:
                sent |= await self._authorization(method, url)
            async with self._http.exchange(method, url, sent, data) as answer:
                if answer.status == 401 and again and self._renew(answer):
                    again = False
                    continue
                yield answer
                return

    def absolute(self, location: str) -> str:
        """Return a place the registry named as a URL. Raises Failure when it names none."""
        if not location:
            raise Failure(f"{self.host}: the registry did not say where to upload to")
        return resolve(self._base + "/", location)

    async def _connect(self) -> None:
        """Find the scheme and how to authenticate (GET /v2/). Raises Unavailable."""
        insecure = self._http.is_insecure(self.host)
        bases = [f"https://{self.host}", *([f"http://{self.host}"] if insecure else [])]
        for base in [self._fixed] if self._fixed else bases:
            try:
                async with self._http.exchange("GET", f"{base}/v2/", {}) as answer:
                    self._renew(answer)
            except Unavailable:
                if base == bases[-1] or self._fixed:
                    raise
                continue
            self._base = base
            return

    def _renew(self, answer: Answer) -> bool:
        """Learn from an answer how to authenticate. Return whether trying again may help."""
        header = answer.headers.get("WWW-Authenticate", "")
        scheme, _, rest = header.partition(" ")
        challenge = {key.lower(): value for key, value in _CHALLENGE.findall(rest)}
        before = (self._scheme, self._challenge)
        if answer.status != 401 or not scheme:
            return False
        self._scheme, self._challenge = scheme.lower(), challenge
        scope = challenge.get("scope", "")
        if scope and scope not in self._scopes:
            self._scopes.append(scope)
        had_token = bool(self._token[0])
        self._token = ("", 0.0)
        return before[0] != self._scheme or (self._scheme == "bearer" and had_token)

    async def _authorization(self, method: str, url: str) -> dict[str, str]:
        if self._credentials is not None and self._credentials.registry_token:
            return {"Authorization": f"Bearer {self._credentials.registry_token}"}
        if self._scheme == "basic":
            if self._credentials is None or not self._credentials.username:
                # dockerd's words, which asks for a manifest with HEAD first.
                what = "Head" if "/manifests/" in url else method.capitalize()
                place = "" if self._pushes else f'{what} "{url}": '
                raise Unauthorized(f"{place}no basic auth credentials")
            return {"Authorization": self._credentials.basic()}
        if self._scheme == "bearer":
            if time.monotonic() >= self._token[1]:
                self._token = await self._fetch_token()
            return {"Authorization": f"Bearer {self._token[0]}"}
        return {}

    async def _fetch_token(self) -> tuple[str, float]:
        realm = resolve("", self._challenge.get("realm", ""))
        if urlsplit(realm).scheme != "https" and not (
            realm.startswith("http://") and self._base.startswith("http://")
        ):
            raise Unauthorized(f"{self.host}: refused to authenticate at {realm[:200]!r}")
        query = [("service", self._challenge.get("service", ""))]
        query += [("scope", scope) for scope in self._scopes]
        known = self._credentials or Credentials()
        headers: dict[str, str] = {}
        if known.identity_token:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            form = {
                "grant_type": "refresh_token",
                "refresh_token": known.identity_token,
                "client_id": "hyper",
                "service": self._challenge.get("service", ""),
                "scope": " ".join(self._scopes),
            }
            body: bytes | None = urlencode(form).encode()
            method, url = "POST", realm
        else:
            if known.username:
                query.append(("account", known.username))
                headers["Authorization"] = known.basic()
            if self._wants_identity:
                query += [("offline_token", "true"), ("client_id", "hyper")]
            method, body = "GET", None
            url = realm + ("&" if "?" in realm else "?") + urlencode(query)
        async with self._http.exchange(method, url, headers, body) as answer:
            response = await _whole(answer, _TOKEN_LIMIT)
        if response.status in (401, 403):
            raise Unauthorized(f"{self.host}: unauthorized: {_reason(response)}")
        if response.status != 200:
            raise Unavailable(f"{realm}: status {response.status}: {_reason(response)}")
        raw = parse_json(response.body, f"the token of {realm}")
        token = raw.get("token") or raw.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise Failure(f"{realm} answered without a token")
        identity = raw.get("refresh_token")
        if self._wants_identity and isinstance(identity, str) and identity.isprintable():
            self._identity_token = identity
        lifetime = raw.get("expires_in")
        seconds = lifetime if isinstance(lifetime, int | float) and lifetime > 0 else 60
        return token, time.monotonic() + max(5.0, 0.8 * seconds)

    def error(self, response: Response) -> HyperError:
        """Return the error that an answer means, in Docker's words."""
        codes = _codes(response.body)
        reason = _reason(response)
        name = self._reference.familiar_name
        if response.status == 429:
            return Unavailable(
                reason if reason.startswith("toomany") else f"toomanyrequests: {reason}"
            )
        if response.status in (401, 403) and self._credentials is not None:
            return Unauthorized(f"{self.host}: {reason}")
        if response.status in (401, 403) or "NAME_UNKNOWN" in codes:
            return NotFound("repository", name, reason)
        if response.status == 404 and "BLOB_UNKNOWN" not in codes:
            return NotFound("manifest", self._reference.familiar(), reason)
        if response.status >= 500:
            return Unavailable(f"{self.host}: status {response.status}: {reason}")
        return Failure(f"{self.host}: status {response.status}: {reason}")


async def _whole(answer: Answer, limit_bytes: int) -> Response:
    return Response(answer.status, answer.headers, await answer.whole(limit_bytes))


def _errors(body: bytes) -> list[dict[str, object]]:
    try:
        errors = parse_json(body, "error").get("errors")
    except Failure:
        return []
    return [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []


def _codes(body: bytes) -> set[str]:
    return {str(error.get("code")) for error in _errors(body)}


def _reason(response: Response) -> str:
    """Return a registry's own words, on one line and not too long."""
    said = [
        f"{str(e.get('code', 'unknown')).lower().replace('_', ' ')}: {e.get('message', '')}"
        for e in _errors(response.body)
    ]
    text = "; ".join(said) or response.body[:200].decode("utf-8", "replace").strip()
    text = "".join(c if c.isprintable() else " " for c in text[:400])
    if not text and response.status == 401:  # an answer to HEAD has no body
        return "unauthorized: authentication required"
    return text or f"status {response.status}"


def _pause_s(failures: int, retry_after: str = "") -> float:
    if retry_after.isdigit():
        return min(float(retry_after), _PAUSE_LIMIT_S)
    return min(0.2 * 2.0**failures, _PAUSE_LIMIT_S)
