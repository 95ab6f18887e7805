"""Owns the first image and the first container: `busybox` in the store, and a run that shows it."""

import os
import subprocess
import time

from tools.console import SetupError, note, output_of
from tools.places import BUILD, VENV

HYPER = str(VENV / "bin" / "hyper")
HYPERD = str(VENV / "bin" / "hyperd")
_PULL_S = 120.0


def ensure_daemon() -> None:
    """Have a hyperd that answers; `hyper` itself starts one where none listens."""
    done = subprocess.run(
        [HYPER, "version"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise SetupError(
            "hyperd does not answer",
            "\n       | ".join(said) or "hyper version printed nothing",
            f"run {os.path.relpath(HYPERD)} by hand to see more",
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
            ".venv/bin/hyper doctor",
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
            shown,
            f"it ended with status {done.returncode}, its reason is above",
            ".venv/bin/hyper doctor",
        )
    note(f"done in {time.monotonic() - started:.2f} s; the programs are .venv/bin/hyper and hyperd")


def _succeeds(argv: list[str], limit_s: float) -> bool:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=limit_s).returncode == 0
    except subprocess.TimeoutExpired:
        return False
