"""Owns a dockerd of our own, in network and mount namespaces nobody else sees.

Its bridge, addresses and firewall rules live in its network namespace, its mounts in its mount
namespace: the machine stays as it is, and one's own dockerd is not touched.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import leaks

_START_S = 60.0
_STOP_S = 30.0
# In the new namespaces: mounts propagate to containers as dockerd expects, and loopback is up.
_HOLD = 'mount --make-rshared / && ip link set lo up && echo 1 > "$1" && echo && exec sleep inf'
_UNSHARE = ("unshare", "--mount", "--net", "--propagation", "private")
_FORWARD = "/proc/sys/net/ipv4/ip_forward"


class DockerdError(Exception):
    """dockerd did not start; the text is the end of its log."""


@dataclass(slots=True)
class Dockerd:
    """A running dockerd; `close` ends it and removes its data.

    With `live_restore` containers go on while it is restarted.
    """

    live_restore: bool = False
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="bench-docker-")))
    process: "subprocess.Popen[bytes]" = field(init=False)
    _namespaces: "subprocess.Popen[bytes]" = field(init=False)

    @staticmethod
    def is_available() -> bool:
        """Tell whether this machine can run one."""
        programs = ("dockerd", "docker", "runc", "unshare", "nsenter", "ip")
        return os.geteuid() == 0 and all(shutil.which(program) for program in programs)

    @property
    def socket(self) -> Path:
        """Its API socket."""
        return self.folder / "docker.sock"

    @property
    def namespace_pid(self) -> int:
        """A process in its namespaces."""
        return self._namespaces.pid

    def __post_init__(self) -> None:
        self._namespaces = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _HOLD, str(self.folder), _FORWARD],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._namespaces.stdout
        self._namespaces.stdout.readline()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        daemon = ["dockerd", "--host", f"unix://{self.socket}"]
        daemon += ["--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec"]
        daemon += ["--pidfile", f"{self.folder}/pid"]
        if self.live_restore:
            daemon.append("--live-restore")
        if not Path("/run/systemd/system").exists():
            daemon += ["--exec-opt", "native.cgroupdriver=cgroupfs"]
        enter = ["nsenter", f"--target={self.namespace_pid}", "--mount", "--net", "--"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*enter, *daemon],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not leaks.settle(self._is_starting, _START_S) or not self._answers():
            text = (self.folder / "log").read_text(errors="replace")[-1500:]
            self.close()
            raise DockerdError(f"dockerd did not start:\n{text}")

    def _answers(self) -> bool:
        argv = ["docker", "--host", f"unix://{self.socket}", "info"]
        return subprocess.run(argv, capture_output=True).returncode == 0

    def _is_starting(self) -> bool:
        return self.process.poll() is None and not self._answers()

    def restart(self, *, kill: bool) -> None:
        """End dockerd, without warning if `kill`, and start it again."""
        self._end(kill=kill)
        # Its containerd died with it; a zombie of that one would be taken for it.
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        self._start()

    def _end(self, *, kill: bool) -> None:
        self.process.kill() if kill else self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """End dockerd, the containers' shims, and the data."""
        self._end(kill=False)
        for pid in leaks.processes_naming(str(self.folder)):
            os.kill(pid, signal.SIGKILL)
        leaks.settle(lambda: leaks.processes_naming(str(self.folder)))
        self._namespaces.kill()
        self._namespaces.wait()
        assert self._namespaces.stdout
        self._namespaces.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
