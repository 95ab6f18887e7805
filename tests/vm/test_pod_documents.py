"""What a pod document names: users, kernels, files elsewhere, ports of UDP."""

import base64
import hashlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon
from tests.support.pods import BOX, Hyper, container, inspect, pod

CONTENT = bytes(range(256)) * 4096
SHOW = "sha256sum /x; stat -c %a /x"
SHOWN = [f"{hashlib.sha256(CONTENT).hexdigest()}  /x", "640"]


# --- users ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "asked", "shown"),
    [
        ("1000", None, "1000 0"),
        ("daemon", None, "1 1"),
        ("1000:50", None, "1000 50"),
        ("daemon:users", None, "1 100"),
        ("1000:50", {"name": "7", "group": "8"}, "7 8"),
        ("daemon:users", {"name": "root"}, "0 0"),
    ],
)
def test_the_image_s_user_holds_unless_the_document_names_one(
    hyper: Hyper, named: str, asked: dict[str, str] | None, shown: str
) -> None:
    hyper("create", "--name", "base", BOX, "true")
    hyper("commit", "--change", f"USER {named}", "base", "with-user")
    hyper("rm", "base")
    own = {"user": asked} if asked else {}
    ran = {"name": "a", "image": "with-user", "command": ["sh", "-c", "echo $(id -u) $(id -g)"]}
    try:
        assert pod(hyper, "--rm", id="user", containers=[ran | own]).lines == [shown]
    finally:
        hyper("rmi", "with-user")


def test_a_user_who_is_not_in_the_image_keeps_the_pod_from_starting(hyper: Hyper) -> None:
    refused = pod(
        hyper, id="user", containers=[container("a", "true", user="nobodyhere")], status=1
    )
    assert "container a did not start" in refused.error
    assert "nobodyhere" in refused.error


# --- kernels --------------------------------------------------------------------------------------


def test_a_pod_runs_on_the_kernel_it_names(
    daemon: Daemon, hyper: Hyper, guest_artifacts: tuple[Path, Path]
) -> None:
    sleeps = [container("a", "sleep 600")]
    pod(hyper, id="default", containers=sleeps)
    release = hyper("exec", "default-a", "uname", "-r").stdout.strip()
    other = "9" + release[1:]
    kernel = daemon.folder / "vmlinux-other"
    kernel.write_bytes(guest_artifacts[0].read_bytes().replace(release.encode(), other.encode()))
    hyper("kernel", "add", str(kernel), "other")
    try:
        pod(hyper, id="own", kernel="other", containers=sleeps)
        assert hyper("exec", "own-a", "uname", "-r").stdout.strip() == other
        assert inspect(hyper, "own")["Kernel"] == "other"
        hyper("pod", "restart", "-t", "0", "own")
        assert hyper("exec", "own-a", "uname", "-r").stdout.strip() == other
        assert hyper("exec", "default-a", "uname", "-r").stdout.strip() == release
    finally:
        hyper("pod", "rm", "-f", "own")
        hyper("kernel", "rm", "other")


def test_a_kernel_nobody_knows_is_refused(hyper: Hyper) -> None:
    refused = pod(hyper, kernel="nosuch", containers=[container("a", "true")], status=1)
    assert "nosuch" in refused.error
    assert hyper("pod", "ls", "-q").lines == []


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """Return the folder pods may have files of, with a file in it and one beside it."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    (folder / "a b").write_bytes(CONTENT)
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    return folder


@pytest.fixture
def reads(start_daemon: Callable[..., Daemon], busybox_archive: Path, allowed: Path) -> Hyper:
    """Return the commands of a daemon that reads files below `allowed`."""
    quiet = {"accelerator": "tcg", "templates": False, "pool": {"waiting": 0}}
    daemon = start_daemon({"hyper": {**quiet, "pod-files": str(allowed)}})
    daemon.hyper("load", "-i", str(busybox_archive))
    return daemon.hyper


@pytest.fixture
def web(allowed: Path) -> Iterator[str]:
    """Return the address of a web server of that folder, on the loopback."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(allowed))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, name="web")
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _file(uri: str) -> dict[str, object]:
    use = {"filename": "f", "path": "/x", "perm": "0640"}
    return {"files": [{"name": "f", "uri": uri}], "containers": [container("a", SHOW, files=[use])]}


def test_files_come_from_the_directory_the_daemon_allows(reads: Hyper, allowed: Path) -> None:
    shown = pod(reads, "--rm", id="file", **_file(f"file://{allowed}/a%20b"))
    assert shown.lines == SHOWN
    for outside in (f"{allowed}/../secret", f"{allowed}/out", "/etc/shadow"):
        refused = pod(reads, id="file", **_file(f"file://{outside}"), status=1)
        assert f"file f: {outside} is not below {allowed}" in refused.error
    refused = pod(reads, id="file", **_file(f"file://{allowed}/none"), status=1)
    assert "no such file" in refused.error.lower()
    assert reads("pod", "ls", "-q").lines == []


def test_files_come_over_http(hyper: Hyper, web: str) -> None:
    assert pod(hyper, "--rm", id="http", **_file(f"{web}/a%20b")).lines == SHOWN
    refused = pod(hyper, id="http", **_file(f"{web}/none"), status=1)
    assert f"file f: {web}/none: 404" in refused.error
    refused = pod(hyper, id="http", **_file("http://127.0.0.1:1/x"), status=1)
    assert "file f: http://127.0.0.1:1/x: " in refused.error
    refused = pod(hyper, id="http", **_file("ftp://127.0.0.1/x"), status=1)
    assert "files[0]" in refused.error


def test_a_daemon_without_a_directory_reads_no_file(hyper: Hyper, allowed: Path) -> None:
    refused = pod(hyper, id="file", **_file(f"file://{allowed}/a%20b"), status=1)
    assert "set hyper.pod-files" in refused.error
    assert hyper("pod", "ls", "-q").lines == []


# --- ports ----------------------------------------------------------------------------------------


ECHO = r"""
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Send every datagram back with our port after it. */
int main(int count, char **arguments)
{
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])) };
    struct sockaddr peer;
    socklen_t length = sizeof peer;
    char text[2048];
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    ssize_t got;

    if (bind(server, (struct sockaddr *)&own, sizeof own) < 0)
        return 1;
    while ((got = recvfrom(server, text, 1024, 0, &peer, &length)) >= 0) {
        memcpy(text + got, arguments[1], strlen(arguments[1]));
        sendto(server, text, got + strlen(arguments[1]), 0, &peer, length);
    }
    return 1;
}
"""


def test_a_published_range_of_udp_ports_answers_on_the_host(hyper: Hyper, tmp_path: Path) -> None:
    program = tmp_path / "echo"
    command = ["cc", "-static", "-Os", "-s", "-x", "c", "-o", str(program), "-"]
    subprocess.run(command, input=ECHO.encode(), check=True)
    encoded = base64.b64encode(program.read_bytes()).decode()
    use = [{"filename": "echo", "path": "/echo", "perm": "0755"}]
    first = _free_udp_port()
    ports = {"hostPort": f"{first}-{first + 1}", "containerPort": "7001-7002", "protocol": "udp"}
    pod(
        hyper,
        id="udp",
        files=[{"name": "echo", "encoding": "base64", "contents": encoded}],
        containers=[
            container("a", "exec /echo 7001", files=use),
            container("b", "exec /echo 7002", files=use),
        ],
        portmappings=[ports],
    )
    for at in range(2):
        assert leaks.settle(lambda at=at: _ask(first + at) != f"ping{7001 + at}", limit_s=30)
    refused = pod(
        hyper, id="same", containers=[container("a", "true")], portmappings=[ports], status=1
    )
    assert "port is already allocated" in refused.error


def _free_udp_port() -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ask(port: int) -> str:
    """Return what comes back for a datagram, "" if nothing does: its server may not be up yet."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.connect(("127.0.0.1", port))
        try:
            client.send(b"ping")
            return client.recv(99).decode()
        except OSError:
            return ""
