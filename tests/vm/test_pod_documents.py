"""What a pod document names: users, kernels, files elsewhere, ports of UDP, devices."""

import base64
import hashlib
import os
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
from tests.support.ports import free_ports

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


ECHO = """
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* PORT: answer each datagram with the port appended. PORT ADDRESS: ask there and print. */
int main(int count, char **arguments)
{
    struct sockaddr_in here = { .sin_family = AF_INET }, peer;
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    char text[128] = "ping";
    ssize_t got;

    here.sin_port = htons(atoi(arguments[1]));
    if (count > 2) {
        here.sin_addr.s_addr = inet_addr(arguments[2]);
        alarm(60);
        if (connect(server, (struct sockaddr *)&here, sizeof here) < 0)
            return 1;
        send(server, text, 4, 0);
        got = recv(server, text, sizeof text, 0);
        return got < 0 || write(1, text, got) != got || write(1, "\\n", 1) != 1;
    }
    bind(server, (struct sockaddr *)&here, sizeof here);
    for (;;) {
        socklen_t length = sizeof peer;
        got = recvfrom(server, text, 100, 0, (struct sockaddr *)&peer, &length);
        if (got < 0)
            return 1;
        memcpy(text + got, arguments[1], strlen(arguments[1]));
        sendto(server, text, got + strlen(arguments[1]), 0, (struct sockaddr *)&peer, length);
    }
}
"""


def test_udp_ports_are_published_in_ranges_and_balanced(hyper: Hyper, tmp_path: Path) -> None:
    program = tmp_path / "echo"
    command = ["cc", "-static", "-Os", "-s", "-x", "c", "-o", str(program), "-"]
    subprocess.run(command, input=ECHO.encode(), check=True)
    encoded = base64.b64encode(program.read_bytes()).decode()
    use = [{"filename": "echo", "path": "/echo", "perm": "0755"}]
    first = free_ports(4)
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

    def silent(first: int) -> bool:
        return [_ask(first), _ask(first + 1)] != ["ping7001", "ping7002"]

    assert leaks.settle(lambda: silent(first), limit_s=30)
    refused = pod(
        hyper, id="same", containers=[container("a", "true")], portmappings=[ports], status=1
    )
    assert "port is already allocated" in refused.error
    # Live: a range comes and goes, datagrams to a service inside go to its backends in turn.
    late = first + 2
    hyper("pod", "port", "add", "udp", f"127.0.0.1:{late}-{late + 1}:7001-7002/udp")
    assert leaks.settle(lambda: silent(late), limit_s=30)
    hyper("pod", "port", "rm", "udp", f"127.0.0.1:{late}-{late + 1}:7001-7002/udp")
    assert hyper("pod", "port", "ls", "udp").lines == [
        f"{7001 + at}/udp -> 0.0.0.0:{first + at}" for at in range(2)
    ]
    backends = "127.0.0.1:7001,127.0.0.1:7002"
    hyper("pod", "service", "add", "--protocol", "udp", "udp", f"10.254.0.30:53={backends}")
    asked = "for i in 1 2 3 4; do /echo 53 10.254.0.30; done"
    answers = hyper("pod", "exec", "udp", "sh", "-c", asked).lines
    assert sorted(answers) == ["ping7001"] * 2 + ["ping7002"] * 2


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


# --- devices --------------------------------------------------------------------------------------

PCI = Path("/sys/bus/pci/devices")


@pytest.fixture
def block_device(tmp_path: Path) -> Iterator[str]:
    """Give a loop device over a file that begins with `from the host`."""
    image = tmp_path / "disk.img"
    image.write_bytes(b"from the host".ljust(1 << 20, b"."))
    argv = ["losetup", "--find", "--show", str(image)]
    made = subprocess.run(argv, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this host has no loop device for us: {made.stderr.strip()}")
    path = made.stdout.strip()
    yield path
    subprocess.run(["losetup", "--detach", path], check=True)


def test_a_block_device_of_the_host_is_read_and_written_in_a_pod_with_pci(
    hyper: Hyper, block_device: str
) -> None:
    script = "head -c 13 /dev/data; echo; printf 'from the pod!' | dd of=/dev/data conv=notrunc"
    pod(
        hyper,
        id="given",
        machine="q35",
        devices=[{"path": block_device, "target": "/dev/data"}],
        containers=[container("a", f"{script} 2>/dev/null; sync; exec sleep 600")],
    )
    show = "while ! grep -q 'the pod' /dev/data; do sleep 0.1; done; ls /sys/bus/pci/devices"
    found = hyper("pod", "exec", "given", "sh", "-c", show).lines
    assert "0000:00:1f.0" in found  # the bridge of a q35
    assert hyper("pod", "logs", "--no-prefix", "given").lines == ["from the host"]
    spec = inspect(hyper, "given")["Spec"]
    assert isinstance(spec, dict) and spec["Machine"] == "q35"
    # While the pod has it, nobody else may write to it.
    other = ["run", "--rm", "--device", f"{block_device}:/dev/x"]
    refused = hyper(*other, "busybox", "true", status=125)
    assert f"device {block_device} cannot be opened" in refused.error
    hyper("pod", "rm", "-f", "given")
    assert Path(block_device).open("rb").read(13) == b"from the pod!"
    script = "head -c 13 /dev/x; echo; ls /dev/fuse /dev/net/tun; echo no > /dev/x"
    own = ["--device", "/dev/fuse", "--device", "/dev/net/tun", "busybox"]
    seen = hyper(*other[:-1], f"{other[-1]}:r", *own, "sh", "-c", script, status=1)
    assert seen.lines == ["from the pod!", "/dev/fuse", "/dev/net/tun"]
    assert "Read-only file system" in seen.error or "not permitted" in seen.error


def test_what_this_host_cannot_give_is_refused_when_the_pod_is_made(
    hyper: Hyper, tmp_path: Path
) -> None:
    asked = {"containers": [container("a", "true")]}
    refused = pod(hyper, id="given", devices=[{"path": "ff:1f.7"}], status=1, **asked)
    assert "no such PCI device: 0000:ff:1f.7" in refused.error
    if PCI.is_dir() and os.listdir(PCI) and not os.listdir("/sys/kernel/iommu_groups"):
        address = sorted(os.listdir(PCI))[0]
        refused = hyper("pod", "create", "--device", f"pci:{address}", "busybox", status=1)
        assert "has no IOMMU" in refused.error
    refused = hyper("pod", "create", "--device", "block:/dev/null", "busybox", status=1)
    assert "/dev/null is a character device" in refused.error
    assert hyper("pod", "ls", "-q").lines == []
