"""The network of hosts without namespaces for pods: the VMM's own, in user mode."""

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.support import leaks
from tests.support.daemon import Daemon
from tests.support.ports import free_port


def _status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as err:
        return err.code
    except OSError:
        return 0


def test_a_pod_has_an_address_and_its_ports(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    daemon = start_daemon({"hyper": {"accelerator": "tcg", "templates": False, "network": "user"}})
    daemon.hyper("load", "--quiet", "--input", str(busybox_archive))
    shown = daemon.hyper("run", "--rm", "busybox", "ip", "-o", "-4", "address").stdout
    assert "eth0" in shown and "10.0.2.15/24" in shown
    port = free_port()
    daemon.hyper(
        "run", "-d", "-p", f"{port}:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc"
    )
    assert leaks.settle(lambda: _status(port) != 404)  # nothing at /, but somebody who says so
    alone = daemon.hyper("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net")
    assert set(alone.lines) - {"bonding_masters"} == {"lo"}
    daemon.remove_containers()
