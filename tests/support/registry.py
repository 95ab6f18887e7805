"""Owns a real registry, the distribution's docker-registry, on loopback."""

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port

# htpasswd -Bbn -C 4 tester secret
USER, PASSWORD = "tester", "secret"
_HTPASSWD = "tester:$2y$04$gH8iZV/rJ.OkOzPTxeIDRuk415VoFGlBem4dOdvAkH8uzUxfbMUam\n"


@dataclass(frozen=True)
class Registry:
    """A running registry; `root` is where it keeps what it has."""

    port: int
    root: Path

    @property
    def host(self) -> str:
        """The registry's name in image names."""
        return f"127.0.0.1:{self.port}"


def start_registry(directory: Path, auth: str) -> tuple[Registry, "subprocess.Popen[bytes]"]:
    """Start a registry that keeps all in `directory`; `auth` is a section of its settings."""
    program = shutil.which("docker-registry", path="/usr/bin:/usr/local/bin")
    if program is None:
        text = "docker-registry is missing: install the package docker-registry"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    port = free_port()
    config = directory / "config.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory / 'data'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}', secret: test}}\n{auth}"
    )
    with open(directory / "log", "wb") as log:
        child = subprocess.Popen(
            [program, "serve", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
        )
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Registry(port, directory / "data"), child
        if child.poll() is not None:
            break
        try:
            child.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    child.wait()
    pytest.fail("docker-registry did not start: " + (directory / "log").read_text()[-2000:])


def start_private_registry(directory: Path) -> tuple[Registry, "subprocess.Popen[bytes]"]:
    """Start a registry that takes only USER with PASSWORD."""
    (directory / "htpasswd").write_text(_HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: test, path: {directory / 'htpasswd'}}}}}\n"
    return start_registry(directory, auth)
