"""Owns the first image and the first container: `busybox` in the store, and a run that shows it."""

import os
import subprocess
import time

from tools.console import SetupError, note, output_of
from tools.places import BUILD, VENV

HYPER = str(VENV / "bin" / "hyper")
HYPERD = str(VENV / "bin" / "hyperd")
_DAEMON_START_S = 30.0
_PULL_S = 120.0


def ensure_daemon() -> None:
    """Start hyperd unless one answers.

    An ordinary user's `hyper` starts it by itself; root's is started here, as systemd would.
    """
    if output_of([HYPER, "version", "--format", "{{.Server.Version}}"]) is not None:
        return
    log_path = BUILD / "logs" / "hyperd.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    note(f"Starting hyperd; its log is {log_path}")
    with log_path.open("ab") as log:
        child = subprocess.Popen(
            [HYPERD], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + _DAEMON_START_S
    while time.monotonic() < deadline:
        if output_of([HYPER, "version", "--format", "{{.Server.Version}}"]) is not None:
            return
        if child.poll() is not None:
            break
        time.sleep(0.1)
    tail = log_path.read_text(errors="replace").splitlines()[-8:]
    raise SetupError(
        "hyperd",
        "it does not answer: " + ("\n       | ".join(tail) or "it printed nothing"),
        f"run {HYPERD} by hand to see more, and hyper doctor once it answers",
    )


def ensure_busybox() -> None:
    """Have an image named busybox: pulled, or made from the distribution's busybox-static."""
    ensure_daemon()
    if output_of([HYPER, "inspect", "--type", "image", "busybox"]) is not None:
        return
    note("Image busybox: pulling")
    if _succeeds([HYPER, "pull", "busybox"], _PULL_S):
        return
    note("Image busybox: no registry in reach, making it from the distribution's busybox-static")
    archive = BUILD / "busybox.tar"
    make = [str(VENV / "bin" / "python"), "-m", "hyper.images.builtin", str(archive)]
    if not _succeeds(make, _PULL_S) or not _succeeds([HYPER, "load", "-i", str(archive)], _PULL_S):
        raise SetupError(
            "Image busybox",
            "it could neither be pulled nor made from /bin/busybox",
            f"see {os.path.relpath(BUILD)}/logs/hyperd.log and hyper doctor",
        )


def first_run() -> None:
    """Run a container in a virtual machine and show what it prints."""
    script = 'echo "Hello from a virtual machine of its own: $(uname -srm), $(nproc) CPU"'
    argv = [HYPER, "run", "--rm", "busybox", "sh", "-c", script]
    shown = "hyper run --rm busybox sh -c 'echo ...$(uname -srm)...'"
    note(shown)
    started = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SetupError(
            shown, f"it ended with status {done.returncode}, its reason is above", "hyper doctor"
        )
    note(f"done in {time.monotonic() - started:.2f} s; the programs are .venv/bin/hyper and hyperd")


def _succeeds(argv: list[str], limit_s: float) -> bool:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=limit_s).returncode == 0
    except subprocess.TimeoutExpired:
        return False
