"""Owns what is compared: Hyper, docker (a dockerd of our own) and podman, behind one small face."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.bench import podman
from tests.bench.dockerd import Dockerd
from tests.bench.podman import GATEWAY, Podman
from tests.support.daemon import HYPER, Daemon

WAYS: Mapping[str, dict[str, object]] = {
    "fork": {"pool": {"waiting": 0}},
    "clone": {"pool": {"waiting": 0}, "forks": False},
    "boot": {"templates": False},
}
"""How a Hyper is configured whose VMs all start in one way, none of them waiting."""

_COMMAND_S = 300.0
_SETTLE_S = 60.0


class BenchError(Exception):
    """A command of a contender failed; the text says which and what it printed."""


class Contender(Protocol):
    """A container system: a command with docker's verbs, and the processes it consists of."""

    name: str

    @property
    def mark(self) -> str:
        """What its processes have in their arguments; memory is counted from there."""
        ...

    def command(self, *arguments: str) -> tuple[list[str], Mapping[str, str]]:
        """Return argv and environment of a command."""

    def load(self, archive: Path) -> None:
        """Bring the images of a `docker save` archive in."""

    def settle(self) -> None:
        """Return when it has nothing left to prepare for the next start."""

    def namespace_pid(self) -> int:
        """Return a process in the network that is the host's for the containers."""

    def host(self) -> tuple[tuple[str, ...], str]:
        """Return options of `run`, and what a shell in the container then calls the host."""

    def close(self) -> None:
        """End everything that was started."""


def run(contender: Contender, *arguments: str, status: int = 0) -> str:
    """Run a command of a contender and return its stdout. Raises BenchError."""
    argv, environment = contender.command(*arguments)
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=_COMMAND_S,
    )
    if done.returncode != status:
        said = (done.stderr or done.stdout).strip()[-600:]
        raise BenchError(f"{' '.join(argv)}: status {done.returncode}: {said}")
    return done.stdout


def start(contender: Contender, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a command of a contender; its stdout can be read."""
    argv, environment = contender.command(*arguments)
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


@dataclass(slots=True)
class Hyper:
    """Hyper in folders of its own; `config` chooses how its VMs start."""

    name: str = "hyper"
    config: Mapping[str, object] = field(default_factory=dict)
    daemon: Daemon = field(init=False)
    _forks: bool | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.daemon = Daemon(self.config)
        try:
            self.daemon.start()
        except BaseException:
            self.daemon.destroy()
            raise

    @property
    def mark(self) -> str:
        """The folder that all its processes name."""
        return str(self.daemon.folder)

    def command(self, *arguments: str) -> tuple[list[str], Mapping[str, str]]:
        """Return argv and environment of a command."""
        return [str(HYPER), *arguments], self.daemon.environment_of_commands()

    def load(self, archive: Path) -> None:
        """Bring the images of a `docker save` archive in."""
        run(self, "load", "--quiet", "--input", str(archive))

    def settle(self) -> None:
        """Return when there is a template and a zygote, and as many clones wait as shall."""
        deadline = time.monotonic() + _SETTLE_S
        layout = ("--format", "{{.Waiting}} {{.Wanted}} {{.Template}} {{.Zygote}}")
        while time.monotonic() < deadline:
            lines = [line.split() for line in run(self, "pool", "ls", *layout).splitlines()]
            if not self.templates or all(
                waiting >= wanted and template != "-" and (zygote == "yes" or not self.forks)
                for waiting, wanted, template, zygote in lines
            ):
                return
            time.sleep(0.05)
        raise BenchError(f"{self.name}: the pool is not filled after {_SETTLE_S:.0f} s: {lines}")

    @property
    def templates(self) -> bool:
        """Whether its VMs are cloned."""
        own = self.config.get("hyper", {})
        return isinstance(own, dict) and own.get("templates", True) is not False

    @property
    def forks(self) -> bool:
        """Whether its clones are forks, which they are where they can be."""
        if self._forks is None:
            own = self.config.get("hyper", {})
            wanted = isinstance(own, dict) and own.get("forks", True) is not False
            self._forks = wanted and "clones are forked" in run(self, "doctor")
        return self._forks

    def namespace_pid(self) -> int:
        """Return the daemon, which is in our own network."""
        return self.daemon.pid

    def host(self) -> tuple[tuple[str, ...], str]:
        """Return a name: the gateway is in the pods' network, and not the host."""
        return ("--add-host=host.bench:host-gateway",), "host.bench"

    def close(self) -> None:
        """End the daemon and its VMs."""
        self.daemon.destroy()


@dataclass(slots=True)
class Docker:
    """docker with runc, from the distribution, on a dockerd of our own."""

    name: str = "docker"
    dockerd: Dockerd = field(default_factory=Dockerd)

    @property
    def mark(self) -> str:
        """The folder that all its processes name."""
        return str(self.dockerd.folder)

    def command(self, *arguments: str) -> tuple[list[str], Mapping[str, str]]:
        """Return argv and environment of a command."""
        return ["docker", "--host", f"unix://{self.dockerd.socket}", *arguments], os.environ

    def load(self, archive: Path) -> None:
        """Bring the images of a `docker save` archive in."""
        run(self, "load", "--quiet", "--input", str(archive))

    def settle(self) -> None:
        """Return at once: nothing waits."""

    def namespace_pid(self) -> int:
        """Return dockerd, whose network is its own."""
        return self.dockerd.process.pid

    def host(self) -> tuple[tuple[str, ...], str]:
        """Return the gateway."""
        return (), GATEWAY

    def close(self) -> None:
        """End dockerd and all it started."""
        self.dockerd.close()


def warm(hyper: Hyper) -> None:
    """Have a Hyper prepare what it may: a shape that is used twice gets all there is."""
    for _ in range(2):
        run(hyper, "run", "--rm", "busybox", "true")


def others(wanted: Sequence[str], folder: Path) -> Iterator[Contender]:
    """Start the comparison systems that are installed and wanted; say which are not.

    Each is given as soon as it runs, so that it can be ended when the next does not start.
    """
    if "docker" in wanted:
        if Dockerd.is_available():
            yield Docker()
        else:
            _absent("docker", "needs root and the packages docker.io and runc")
    if "podman" in wanted:
        if podman.is_available():
            yield Podman(folder / "podman")
        else:
            _absent("podman", "needs root and the packages podman and crun")


def _absent(name: str, why: str) -> None:
    print(f"bench: without {name}: it {why}", file=sys.stderr)
