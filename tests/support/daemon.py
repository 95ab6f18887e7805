"""Owns a real hyperd in folders of its own, and the `hyper` command against it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hyper.host.pidfd import start_time_ticks
from tests.support import leaks
from tools.places import INITRD, KERNEL, VENV

HYPER = VENV / "bin" / "hyper"
HYPERD = VENV / "bin" / "hyperd"
_STOP_S = 60.0
_COMMAND_S = 120.0

# Emulation works everywhere and is the same everywhere; what acceleration does has its own tests.
# No VM but those of a test, so that leaks can be counted; tests of clones ask for them.
_DEFAULTS = {"hyper": {"accelerator": "tcg", "templates": False, "pool": {"waiting": 0}}}


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed, and its exit status."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """The lines of stdout."""
        return self.stdout.splitlines()

    @property
    def error(self) -> str:
        """The one line a user reads when a command fails; more than one is a failed test."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        # docker's own closing words, which say nothing of the failure
        lines = [line for line in lines if not line.startswith(("Run '", "Error: failed to start"))]
        assert len(lines) == 1, f"{' '.join(self.argv)}: not one line on stderr: {self.stderr!r}"
        return lines[0]


@dataclass(slots=True)
class Daemon:
    """A hyperd with its own root and run folders. `folder` is short: socket paths are limited."""

    config: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="hyper-")))
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def root(self) -> Path:
        """Where its state survives."""
        return self.folder / "root"

    @property
    def run_dir(self) -> Path:
        """Where its sockets and VMs are."""
        return self.folder / "run"

    @property
    def socket(self) -> Path:
        """Its API socket."""
        return self.run_dir / "hyper.sock"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "hyperd.log"

    @property
    def pid(self) -> int:
        """The process id of the running daemon."""
        assert self.process is not None, "the daemon does not run"
        return self.process.pid

    def start(self) -> None:
        """Start it and wait until it serves; fails with the end of its log."""
        for path in (self.root, self.run_dir, self.folder / "docker"):
            path.mkdir(mode=0o700, exist_ok=True)
        settings = self.folder / "daemon.json"
        settings.write_text(json.dumps({**_DEFAULTS, **self.config}))
        reader, writer = os.pipe()
        argv = [
            str(HYPERD),
            *("--root", str(self.root), "--run-dir", str(self.run_dir)),
            *("--config", str(settings), "--log-level", "debug", "--ready-fd", str(writer)),
        ]
        with self.log.open("ab") as log, os.fdopen(reader, "rb") as ready:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment_of_commands(),
                pass_fds=(writer,),
                start_new_session=True,
            )
            os.close(writer)
            served = ready.read(1)
        assert served, f"hyperd did not start:\n{self.log_tail()}"

    def environment_of_commands(self) -> dict[str, str]:
        """Return the environment of the daemon and of commands that talk to it."""
        own = {
            "HYPER_HOST": f"unix://{self.socket}",
            "HYPER_AUTOSTART": "0",
            "DOCKER_CONFIG": str(self.folder / "docker"),
            "DOCKER_HOST": f"unix://{self.socket}",
        }
        guest = {"HYPER_KERNEL": str(KERNEL.resolve()), "HYPER_INITRD": str(INITRD.resolve())}
        return {**os.environ, **guest, **own, **self.environment}

    def hyper(
        self,
        *arguments: str,
        input: str | None = None,
        status: int | None = 0,
        timeout_s: float = _COMMAND_S,
    ) -> Result:
        """Run a hyper command; `status` is the exit status it must have, None for any."""
        done = subprocess.run(
            [str(HYPER), *arguments],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            env=self.environment_of_commands(),
            timeout=timeout_s,
        )
        result = Result(("hyper", *arguments), done.returncode, done.stdout, done.stderr)
        if status is not None and result.status != status:
            raise AssertionError(
                f"{' '.join(result.argv)}: status {result.status}, not {status}\n"
                f"stdout: {result.stdout}\nstderr: {result.stderr}"
            )
        return result

    def popen(
        self, *arguments: str, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE
    ) -> "subprocess.Popen[bytes]":
        """Start a hyper command and leave it to the test; stderr goes where stdout goes."""
        return subprocess.Popen(
            [str(HYPER), *arguments],
            env=self.environment_of_commands(),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )

    def remove_containers(self) -> None:
        """Remove every pod and container there is."""
        pods = self.hyper("pod", "ls", "--quiet", "--no-trunc").lines
        if pods:  # one whose container had --rm may go by itself meanwhile
            self.hyper("pod", "rm", "--force", "--volumes", *pods, status=None)
        ids = self.hyper("ps", "--all", "--quiet", "--no-trunc").lines
        if ids:  # here as well
            removed = self.hyper("rm", "--force", "--volumes", *ids, status=None)
            assert not self.hyper("ps", "--all", "--quiet").lines, removed.stderr

    def vmms(self) -> set[int]:
        """Return the processes of this daemon's VMs, by the records it keeps of them."""
        pids = set()
        for record in leaks.files_named(self.run_dir, "vmm.json"):
            with contextlib.suppress(OSError, ValueError):
                fields = json.loads(record.read_text())
                if start_time_ticks(fields["pid"]) == fields["start_ticks"]:
                    pids.add(fields["pid"])
        return pids

    def snapshot(self) -> leaks.Snapshot:
        """Return what this daemon holds now."""
        return leaks.Snapshot.take(self.pid, self.root, self.run_dir)

    def stop(self) -> None:
        """Stop the daemon as a service manager would."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None

    def kill(self) -> None:
        """Kill the daemon without warning; its pods go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def destroy(self) -> None:
        """Stop the daemon and its VMs, and remove its folders."""
        try:
            self.stop()
        finally:
            for pid in self.vmms() | set(leaks.processes_naming(str(self.run_dir))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            leaks.settle(lambda: self.vmms() | set(leaks.processes_naming(str(self.run_dir))))
            shutil.rmtree(self.folder)

    def log_tail(self, lines: int = 40) -> str:
        """Return the end of what the daemon printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def keep_logs(self, target: Path) -> Sequence[Path]:
        """Copy the daemon's log, and every console and agent log, to `target`."""
        found = [Path(top, name) for top, _, names in os.walk(self.folder) for name in names]
        found = [path for path in found if path.suffix == ".log"]
        target.mkdir(parents=True, exist_ok=True)
        for path in found:
            name = str(path.relative_to(self.folder)).replace("/", "_")
            with contextlib.suppress(FileNotFoundError):  # of a VM that has just ended
                shutil.copyfile(path, target / name)
        return found
