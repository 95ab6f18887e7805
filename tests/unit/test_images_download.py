"""What `docker import URL` fetches, and how it says what it cannot."""

import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import pytest_asyncio

from hyper.core.errors import Failure, InvalidArgument, Unavailable
from hyper.images.download import address, download
from hyper.images.http import Http, RegistryOptions
from hyper.images.reference import parse
from hyper.images.registry import Repository
from hyper.images.shelf import Progress

CONTENT = bytes(range(256)) * 1000


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/archive.tar")
            self.end_headers()
            return
        if self.path == "/nowhere":
            self.send_response(302)
            self.send_header("Location", "http://[::1/archive.tar")
            self.end_headers()
            return
        found = self.path == "/archive.tar"
        body = CONTENT if found else b"there is nothing here\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[Http]:
    made = Http(RegistryOptions())
    yield made
    await made.close()


async def _fetched(http: Http, url: str, steps: list[Progress]) -> bytes:
    return b"".join([chunk async for chunk in download(http, url, steps.append)])


@pytest.mark.parametrize("path", ["/archive.tar", "/moved"])
async def test_an_archive_comes_whole_and_its_progress_is_told(
    server: str, http: Http, path: str
) -> None:
    steps: list[Progress] = []
    assert await _fetched(http, server + path, steps) == CONTENT
    assert steps[0].status == f"Downloading from {server}{path}"
    assert (steps[-1].status, steps[-1].current, steps[-1].total) == (
        "Importing",
        len(CONTENT),
        len(CONTENT),
    )


async def test_a_server_that_names_no_url_is_refused_in_words(server: str, http: Http) -> None:
    with pytest.raises(Failure, match=r"named 'http://\[::1/archive.tar', which is no URL"):
        await _fetched(http, f"{server}/nowhere", [])


@pytest.mark.parametrize("realm", ["https://[::1/token", "https://x:port/token"])
async def test_a_registry_that_sends_to_no_url_is_refused_in_words(http: Http, realm: str) -> None:
    repository = Repository(http, parse("127.0.0.1:1/x"), None)
    repository._base, repository._scheme = "http://127.0.0.1:1", "bearer"
    repository._challenge = {"realm": realm}
    with pytest.raises(Failure, match="which is no URL"):
        await repository.manifest("1")
    with pytest.raises(Failure, match="which is no URL"):
        repository.absolute(realm)


async def test_what_is_not_there_is_said_with_the_servers_words(server: str, http: Http) -> None:
    with pytest.raises(Failure, match=r"/none with status 404: there is nothing here$"):
        await _fetched(http, f"{server}/none", [])
    with pytest.raises(Unavailable):
        await _fetched(http, "http://127.0.0.1:1/", [])


def test_an_address_without_a_scheme_is_http() -> None:
    assert address("example.com/a.tar") == "http://example.com/a.tar"
    assert address("https://example.com:8443/a") == "https://example.com:8443/a"
    for source in ("file:///etc/passwd", "gopher://x/", "http://", "http://[::1", "http://x:99999"):
        with pytest.raises(InvalidArgument, match="invalid URL"):
            address(source)
