"""Owns what transcripts are run against: an engine (hyperd or dockerd), a client, a work folder.

dockerd is the measure: every transcript is to hold there as well. Which of both is chosen by
HYPER_TEST_ENGINE (hyperd), the docker command by HYPER_TEST_DOCKER (docker).
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.bench.dockerd import Dockerd
from tests.support.daemon import HYPER, Daemon
from tests.support.ports import free_ports

COMMAND_S = 100.0
START_REGISTRY = Path(__file__).parent / "start-registry"
_NO_CONTAINER = "Error response from daemon: No such container: "
# One clone waits, so that a start costs no boot; the daemon's own default is two.
_CONFIG = {"hyper": {"accelerator": "tcg", "templates": True, "pool": {"waiting": 1}}}


class Engine(Protocol):
    """A daemon that speaks Docker's API."""

    name: str

    @property
    def socket(self) -> Path:
        """Its API socket."""
        ...

    @property
    def enter(self) -> list[str]:
        """What to put before a command so that it sees the engine's network."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the commands that talk to it."""
        ...

    def restart(self, *, kill: bool) -> None:
        """End the daemon, without warning if `kill`, and start it again; containers go on."""

    def close(self) -> None:
        """End it and all it started."""


@dataclass(slots=True)
class HyperEngine:
    """hyperd with clones, in folders of its own."""

    name: str = "hyperd"
    daemon: Daemon = field(default_factory=lambda: Daemon(_CONFIG))

    def __post_init__(self) -> None:
        self.daemon.start()

    @property
    def socket(self) -> Path:
        """Its API socket."""
        return self.daemon.socket

    @property
    def enter(self) -> list[str]:
        """Nothing: published ports are on the host."""
        return []

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the commands that talk to it."""
        return self.daemon.environment_of_commands()

    def restart(self, *, kill: bool) -> None:
        """End the daemon and start it again."""
        self.daemon.kill() if kill else self.daemon.stop()
        self.daemon.start()

    def close(self) -> None:
        """End the daemon and its VMs."""
        self.daemon.destroy()


@dataclass(slots=True)
class DockerEngine:
    """A dockerd of the distribution in its own network namespace."""

    name: str = "dockerd"
    dockerd: Dockerd = field(default_factory=lambda: Dockerd(live_restore=True))

    @property
    def socket(self) -> Path:
        """Its API socket."""
        return self.dockerd.socket

    @property
    def enter(self) -> list[str]:
        """Its network namespace."""
        return ["nsenter", f"--net=/proc/{self.dockerd.namespace_pid}/ns/net", "--"]

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the commands that talk to it."""
        own = {"DOCKER_CONFIG": f"{self.dockerd.folder}/docker"}
        return {**os.environ, **own, "DOCKER_HOST": f"unix://{self.socket}"}

    def restart(self, *, kill: bool) -> None:
        """End the daemon and start it again."""
        self.dockerd.restart(kill=kill)

    def close(self) -> None:
        """End dockerd and all it started."""
        self.dockerd.close()


def chosen_engine() -> Engine:
    """Start the engine that the environment names."""
    if os.environ.get("HYPER_TEST_ENGINE", "hyperd") == "hyperd":
        return HyperEngine()
    return DockerEngine()


@dataclass(frozen=True, slots=True)
class ClientCommand:
    """A docker command, or hyper; `names` are those that transcripts know it by."""

    program: str
    names: frozenset[str]


def docker_command() -> ClientCommand | None:
    """Return the docker command to test with, None where there is none.

    Transcripts know two ages of it: docker20, Debian 12's, and docker28, all that came after.
    """
    program = shutil.which(os.environ.get("HYPER_TEST_DOCKER", "docker"))
    if program is None:
        return None
    argv = [program, "--version"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    match = re.search(r"version (\d+)", shown)
    assert match, f"{program} --version: {shown!r}"
    age = "docker20" if int(match[1]) <= 20 else "docker28"
    return ClientCommand(program, frozenset({"docker", age}))


HYPER_COMMAND = ClientCommand(str(HYPER), frozenset({"hyper"}))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=COMMAND_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


class Bench:
    """An engine and what belongs to it between scenarios: the images it must have, no more."""

    def __init__(self, engine: Engine, archive: Path) -> None:
        self.engine = engine
        self._archive = archive
        self._load()
        self._images = self._listed()

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Ask the API directly; an error is an AssertionError."""
        connection = _UnixConnection(self.engine.socket)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 400, f"{method} {path}: {answer.status} {text!r}"
            kind = answer.headers.get("Content-Type", "")
            return json.loads(text) if text and kind.startswith("application/json") else None
        finally:
            connection.close()

    def _load(self) -> None:
        connection = _UnixConnection(self.engine.socket)
        with self._archive.open("rb") as archive:
            size = str(self._archive.stat().st_size)
            connection.request("POST", "/images/load?quiet=1", archive, {"Content-Length": size})
            answer = connection.getresponse()
            text = answer.read()
        connection.close()
        assert answer.status == 200 and b"error" not in text, text

    def _listed(self) -> dict[str, str]:
        """The ids of all images by name, or by id where they have none (<none> for dockerd 20)."""
        return {
            image["Id"] if tag == "<none>:<none>" else tag: image["Id"]
            for image in self.call("GET", "/images/json")
            for tag in image["RepoTags"] or ["<none>:<none>"]
        }

    def reset(self) -> None:
        """Remove what a scenario made, and bring back what it removed."""
        for container in self.call("GET", "/containers/json?all=1"):
            with contextlib.suppress(AssertionError):  # some end by themselves meanwhile
                self.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for volume in self.call("GET", "/volumes")["Volumes"] or []:
            with contextlib.suppress(AssertionError):  # went with a --rm container
                self.call("DELETE", f"/volumes/{volume['Name']}")
        for network in self.call("GET", "/networks"):
            if network["Name"] not in ("bridge", "host", "none"):
                self.call("DELETE", f"/networks/{network['Id']}")
        found = self._listed()
        for tag, image in found.items():
            if self._images.get(tag) != image:
                with contextlib.suppress(AssertionError):  # went with another of its names
                    self.call("DELETE", f"/images/{tag}?force=1")
        if self._images.items() - found.items():
            self._load()


class Shell:
    """Runs command lines with sh in a folder of its own, where `docker` is the client."""

    def __init__(self, bench: Bench, client: ClientCommand) -> None:
        self.names = client.names | {bench.engine.name}
        self.folder = Path(tempfile.mkdtemp(prefix="transcript-"))
        self.bench = bench
        self.engine = bench.engine
        self._sessions: list[int] = []
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "docker").symlink_to(client.program)
        (programs / "start-registry").symlink_to(START_REGISTRY)
        port = free_ports(2)
        self._ports = {"FREE_PORT": str(port), "FREE_PORT2": str(port + 1)}
        (self.folder / "work").mkdir()

    @property
    def place(self) -> tuple[dict[str, str], Path]:
        """The environment and the folder of its commands."""
        path = f"{self.folder}/bin:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        own = {"PATH": path, "TZ": "UTC", "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        return {**self.engine.environment, **own, **self._ports}, self.folder / "work"

    def run(self, command: str) -> tuple[str, str, int]:
        """Return stdout, stderr and status of a command line."""
        environment, folder = self.place
        process = subprocess.Popen(
            [*self.engine.enter, "sh", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._sessions.append(process.pid)
        try:
            out, err = process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += f"(killed: it did not end within {COMMAND_S:.0f} s)\n".encode()
        return _text(out), _normalised(_text(err)), process.returncode

    def close(self) -> None:
        """End what commands left in the background, and remove the folder."""
        for session in self._sessions:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
        shutil.rmtree(self.folder)


def _text(output: bytes) -> str:
    return output.decode(errors="backslashreplace")


def _normalised(err: str) -> str:
    """Return stderr without what only the version or the name of the client decides.

    That is the advice to read the help, the usage after a wrong flag, hyper's own name, the full
    stop docker 20 puts behind its failures, its other way to say that a container is not there, and
    the line in which it reports that it cancelled its own waiting.
    """
    err = re.sub(
        r'^time="[^"]*" level=error msg="error waiting for container: context canceled"\n',
        "",
        err,
        flags=re.M,
    )
    err = re.sub(r"\n*^Usage: +(docker|hyper) .*\Z", "\n", err, flags=re.M | re.S)
    err = re.sub(r"\n*^(See|Run) '(docker|hyper)[^\n]*--help'[^\n]*\n", "\n", err, flags=re.M)
    err = re.sub(r"^hyper: ", "docker: ", err, flags=re.M)
    err = re.sub(r"^(docker: .*)\.$", r"\1", err, flags=re.M)
    err = re.sub(r"^Error: No such container: ", _NO_CONTAINER, err, flags=re.M)
    return err.removeprefix("\n")
