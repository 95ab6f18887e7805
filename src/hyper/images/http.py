"""HTTP as registries need it: TLS and plain, proxies, redirects, bounded answers. Knows no
registry.

A server is a stranger: an answer is read up to a limit; a password or token goes to the host it
is for and never along a redirect; TLS is only left where the configuration or a loopback address
allows it. Errors have the form Go's net/http gives them, which users of Docker know.
"""

import contextlib
import errno
import functools
import ipaddress
import os
import ssl
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from hyper.core.errors import Failure, Unavailable

_REDIRECTS = 5
_CHUNK = 256 * 1024
_CONNECT_S = 20.0
_SILENCE_S = 60.0
_IDLE_S = 4.0  # a transfer asks again at once, or never
_USER_AGENT = "hyper/0.1"
_MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """dockerd's options of the same names; `certificates` is like its /etc/docker/certs.d."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    certificates: Path | None = Path("/etc/docker/certs.d")
    config_file: Path | None = None
    helper_environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Traffic:
    """Bytes of bodies exchanged with registries."""

    received_bytes: int = 0
    sent_bytes: int = 0


class Answer:
    """A server's answer: `status` and `headers` are here, the body is on its way."""

    def __init__(self, response: aiohttp.ClientResponse, request: str, traffic: Traffic) -> None:
        self._response = response
        self._request = request
        self._traffic = traffic
        self.status = response.status
        self.headers = response.headers

    async def whole(self, limit_bytes: int) -> bytes:
        """Return the body. Raises Failure when it is larger, Unavailable when it breaks off."""
        data = bytearray()
        async for chunk in self.chunks():
            data += chunk
            if len(data) > limit_bytes:
                raise Failure(f"{self._request}: the answer is larger than {limit_bytes} bytes")
        return bytes(data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises Unavailable when it breaks off."""
        with _network_errors(self._request):
            async for chunk in self._response.content.iter_chunked(_CHUNK):
                self._traffic.received_bytes += len(chunk)
                yield chunk


class Http:
    """The one session of the store. Opened when first used."""

    def __init__(self, options: RegistryOptions) -> None:
        self.options = options
        self.traffic = Traffic()
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], data: object = None
    ) -> AsyncIterator[Answer]:
        """Send a request, follow its redirects, give the answer. Raises Unavailable."""
        origin = _origin(url)
        sent = dict(headers)
        for _ in range(_REDIRECTS):
            request = f'{method.capitalize()} "{url}"'
            with _network_errors(request):
                response = await self._send(method, url, sent, data)
            try:
                target = response.headers.get("Location", "")
                if response.status not in _MOVED or method not in ("GET", "HEAD") or not target:
                    yield Answer(response, request, self.traffic)
                    return
            finally:
                response.close()
            target = resolve(url, target)
            if urlsplit(target).scheme not in ("http", "https") or (
                url.startswith("https:") and not target.startswith("https:")
            ):
                raise Failure(f"{request}: refused to follow a redirect to {target[:200]!r}")
            url = target
            if _origin(url) != origin:
                sent.pop("Authorization", None)
        raise Failure(f'{method.capitalize()} "{url}": stopped after {_REDIRECTS} redirects')

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def is_insecure(self, host: str) -> bool:
        """Tell whether plain HTTP and unverified TLS are allowed: as dockerd decides it."""
        name = urlsplit(f"//{host}").hostname or ""
        if host in self.options.insecure or name in self.options.insecure or name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or any(
            address in network for network in _networks(self.options.insecure)
        )

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], data: object
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S
            )
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                headers={"User-Agent": _USER_AGENT},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                connector=aiohttp.TCPConnector(keepalive_timeout=_IDLE_S),
            )
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return await self._session.request(
            method,
            URL(url, encoded=True),
            headers=dict(headers),
            data=self._counted(data),
            allow_redirects=False,
            proxy=_proxy(parts.scheme, parts.hostname or ""),
            ssl=_tls(parts.netloc, not self.is_insecure(parts.netloc), self.options.certificates)
            if tls
            else True,
        )

    def _counted(self, data: object) -> object:
        if isinstance(data, bytes):
            self.traffic.sent_bytes += len(data)
        return self._counting(data) if isinstance(data, AsyncIterator) else data

    async def _counting(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in data:
            yield chunk
            self.traffic.sent_bytes += len(chunk)


@contextlib.contextmanager
def _network_errors(request: str) -> Iterator[None]:
    """Turn what can go wrong on the way into Unavailable, with Go's words."""
    try:
        yield
    except aiohttp.ClientConnectorDNSError as err:
        raise Unavailable(f"{request}: dial tcp: lookup {err.host}: no such host") from err
    except aiohttp.ClientConnectorCertificateError as err:
        why = str(err.certificate_error).partition(" (_ssl")[0]
        raise Unavailable(f"{request}: tls: failed to verify certificate: {why}") from err
    except aiohttp.ClientConnectorError as err:
        code = err.os_error.errno
        known = code is not None and code in errno.errorcode
        why = os.strerror(code).lower() if known and code else str(err.os_error)
        place = f"{err.host}:{err.port}"
        raise Unavailable(f"{request}: dial tcp {place}: connect: {why}") from err
    except TimeoutError as err:
        raise Unavailable(f"{request}: i/o timeout") from err
    except aiohttp.ClientPayloadError as err:
        raise Unavailable(f"{request}: unexpected EOF") from err
    except aiohttp.ServerDisconnectedError as err:
        raise Unavailable(f"{request}: EOF") from err
    except (aiohttp.ClientError, OSError, ValueError) as err:
        raise Unavailable(f"{request}: {err}") from err


def resolve(base: str, target: str) -> str:
    """Return the URL that a server at `base` calls `target`. Raises Failure when that is none."""
    try:
        url = urljoin(base, target)
        _ = urlsplit(url).port
    except ValueError as err:
        raise Failure(f"the server named {target[:200]!r}, which is no URL: {err}") from err
    return url


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _networks(
    names: tuple[str, ...],
) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for name in names:
        with contextlib.suppress(ValueError):
            yield ipaddress.ip_network(name, strict=False)


def _proxy(scheme: str, host: str) -> str | None:
    """Return the proxy the environment names for a host; never for a loopback one, as in Go."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return None
    if host == "localhost" or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(scheme)


@functools.lru_cache(maxsize=32)
def _tls(host: str, verify: bool, certificates: Path | None) -> ssl.SSLContext:
    """Return a TLS context with the host's own certificates (dockerd's certs.d)."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    directory = certificates / host if certificates else None
    if directory is not None and directory.is_dir():
        for path in sorted(directory.glob("*.crt")):
            context.load_verify_locations(path)
        for path in sorted(directory.glob("*.cert")):
            context.load_cert_chain(path, path.with_suffix(".key"))
    return context
