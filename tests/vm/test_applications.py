"""Real applications as pods: a database and its client; a web server, its application and cache.

The servers are the distribution's own; what they store survives the pod's stop and start.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support import leaks
from tests.support.applications import save_applications
from tests.support.daemon import Daemon
from tests.support.ports import free_port
from tools.places import cache

START_S = 120.0  # emulated servers on a busy machine

APPLICATION = """\
import http.server
import socket


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with socket.create_connection(("127.0.0.1", 6379)) as cache:
            cache.sendall(b"INCR hits\\r\\n")
            count = cache.recv(64).decode().strip(": \\r\\n")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hit {count} in {socket.gethostname()}\\n".encode())


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Page).serve_forever()
"""
SITE = "server { listen 80; location / { proxy_pass http://127.0.0.1:8000; } }\n"


@pytest.fixture(scope="module")
def applications(module_daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Load the images of the applications."""
    archive = tmp_path_factory.mktemp("applications") / "applications.tar"
    try:
        save_applications(cache() / "images", archive)
    except (OSError, subprocess.CalledProcessError) as error:
        text = f"no Debian userland: {error}"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    module_daemon.hyper("load", "--quiet", "--input", str(archive))
    archive.unlink()
    yield


def _pod(daemon: Daemon, document: dict[str, object]) -> None:
    daemon.hyper("pod", "run", "-d", "-f", "-", input=json.dumps(document))


def _psql(daemon: Daemon, statement: str, status: int | None = 0) -> str:
    argv = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-qtAc", statement)
    return daemon.hyper("exec", "store-client", *argv, status=status).stdout.strip()


def _await_database(daemon: Daemon, starts: int) -> None:
    def starting() -> bool:
        # Asked of the log: a client asking again and again takes the emulated CPU from the server.
        log = daemon.hyper("logs", "store-server", status=None).stderr
        return log.count("ready to accept connections") < starts

    leaks.settle(starting, START_S)
    assert leaks.settle(lambda: _psql(daemon, "SELECT 1", status=None) != "1", START_S), (
        daemon.hyper("logs", "store-server", status=None).stderr
    )


@pytest.mark.usefixtures("applications")
def test_a_database_and_its_client(daemon: Daemon) -> None:
    data = [{"name": "store-data", "path": "/var/lib/postgresql/data"}]
    _pod(
        daemon,
        {
            "id": "store",
            "resource": {"memory": 512},
            "terminationGracePeriod": 60,
            "containers": [
                {"name": "server", "image": "postgres:15", "namedVolumes": data},
                {
                    "name": "client",
                    "image": "postgres:15",
                    "entrypoint": ["sh", "-c"],
                    "command": ["trap exit TERM; sleep 3600 & wait"],
                },
            ],
        },
    )
    _await_database(daemon, starts=1)
    _psql(daemon, "CREATE TABLE visit (name text); INSERT INTO visit VALUES ('first')")
    daemon.hyper("pod", "stop", "store")
    daemon.hyper("pod", "start", "store")
    _await_database(daemon, starts=2)
    assert _psql(daemon, "SELECT name FROM visit") == "first"
    # A clean end both times: the server's log ends with its shutdown, not with a recovery.
    log = daemon.hyper("logs", "store-server").stderr
    assert "database system is shut down" in log
    assert "was not properly shut down" not in log
    daemon.hyper("pod", "rm", "-f", "store")
    daemon.hyper("volume", "rm", "store-data")


def _get(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            return bytes(answer.read()).decode()
    except (OSError, urllib.error.URLError):
        return ""


@pytest.mark.usefixtures("applications")
def test_a_web_server_its_application_and_its_cache(daemon: Daemon) -> None:
    port = free_port()
    server = "rm -f /etc/nginx/sites-enabled/default; exec nginx -g 'daemon off;'"
    _pod(
        daemon,
        {
            "id": "shop",
            "hostname": "shop",
            "portmappings": [{"hostPort": str(port), "containerPort": "80"}],
            "files": [
                {"name": "application", "contents": APPLICATION},
                {"name": "site", "contents": SITE},
            ],
            "containers": [
                {
                    "name": "cache",
                    "image": "redis:7",
                    "command": ["redis-server", "--appendonly", "yes", "--appendfsync", "always"],
                    "namedVolumes": [{"name": "shop-cache", "path": "/data"}],
                },
                {
                    "name": "application",
                    "image": "python:3.11",
                    "command": ["python3", "/srv/application.py"],
                    "files": [{"filename": "application", "path": "/srv/application.py"}],
                },
                {
                    "name": "server",
                    "image": "nginx:1.22",
                    "command": ["sh", "-c", server],
                    "files": [{"filename": "site", "path": "/etc/nginx/conf.d/shop.conf"}],
                },
            ],
        },
    )
    assert leaks.settle(lambda: not _get(port), START_S)
    count = int(_get(port).split()[1])
    assert _get(port) == f"hit {count + 1} in shop\n"
    daemon.hyper("pod", "stop", "shop")
    assert _get(port) == ""
    daemon.hyper("pod", "start", "shop")
    assert leaks.settle(lambda: not _get(port), START_S)
    assert int(_get(port).split()[1]) >= count + 3, "the cache forgot"
    daemon.hyper("pod", "rm", "-f", "shop")
    daemon.hyper("volume", "rm", "shop-cache")


def test_the_images_share_their_layer(applications: None, module_daemon: Daemon) -> None:
    names = ("postgres:15", "nginx:1.22", "redis:7", "python:3.11")
    layers = {
        module_daemon.hyper("inspect", "-f", "{{index .RootFS.Layers 0}}", name).stdout
        for name in names
    }
    assert len(layers) == 1
