"""Owns a podman of our own: its storage, its configuration, and the namespaces it runs in.

As with dockerd, its bridge and firewall rules live in a network namespace and its mounts in a mount
namespace nobody else sees. Each command enters them (nsenter, 1 ms).
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# crun refuses hosts whose second cgroup hierarchy has a controller; without that one it works.
_HOLD = (
    'ip link set lo up && echo 1 > "$1" && { umount /sys/fs/cgroup/unified 2> /dev/null || :; }'
    " && echo up && exec cat"
)
GATEWAY = "$(ip route | awk '/^default/ { print $3 }')"
_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_MOST = {"nofile": 20000, "nproc": 30000}
_LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}


def is_available() -> bool:
    """Tell whether this machine can run one."""
    programs = ("podman", "crun", "unshare", "nsenter", "ip")
    return os.geteuid() == 0 and all(shutil.which(program) for program in programs)


@dataclass(slots=True)
class Podman:
    """podman with crun, from the distribution; `close` removes all it made."""

    folder: Path
    name: str = "podman"
    _holder: "subprocess.Popen[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        # Its own defaults for limits need CAP_SYS_RESOURCE, which even root may lack.
        limits = ", ".join(f'"{name}={_limit(name)}"' for name in _LIMITS)
        self._configuration.write_text(f"[containers]\ndefault_ulimits = [{limits}]\n")
        enter = ["unshare", "--mount", "--net", "--propagation", "private"]
        self._holder = subprocess.Popen(
            [*enter, "sh", "-c", _HOLD, "podman", _FORWARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()  # "up"

    @property
    def _configuration(self) -> Path:
        return self.folder / "containers.conf"

    @property
    def mark(self) -> str:
        """The folder that its monitors name."""
        return str(self.folder)

    def command(self, *arguments: str) -> tuple[list[str], Mapping[str, str]]:
        """Return argv and environment of a command."""
        enter = ["nsenter", "--mount", "--net", "--target", str(self._holder.pid)]
        places = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        options = ["--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        environment = {**os.environ, "CONTAINERS_CONF": str(self._configuration)}
        return [*enter, "podman", *places, *options, *arguments], environment

    def load(self, archive: Path) -> None:
        """Bring the images of a `docker save` archive in."""
        self._finish("load", "--quiet", "--input", str(archive))

    def settle(self) -> None:
        """Return at once: nothing waits."""

    def namespace_pid(self) -> int:
        """Return the process that holds its network."""
        return self._holder.pid

    def host(self) -> tuple[tuple[str, ...], str]:
        """Return the gateway; this podman may not know the word host-gateway."""
        return (), GATEWAY

    def close(self) -> None:
        """Remove all containers and the storage, and end the namespaces."""
        try:
            self._finish("system", "reset", "--force")
        finally:
            self._holder.communicate()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self, *arguments: str) -> None:
        argv, environment = self.command(*arguments)
        subprocess.run(
            argv,
            env=environment,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _limit(name: str) -> str:
    soft, hard = resource.getrlimit(_LIMITS[name])
    limit = min(each for each in (soft, hard, _MOST[name]) if each >= 0)
    return f"{limit}:{limit}"
