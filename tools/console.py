"""Owns what a person sees of the setup: titles, progress, and failures with what to do.

Long commands run here, with all they say in a log below build/logs.
"""

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.places import BUILD, CHECKOUT

_TAIL_LINES = 15
_HEARTBEAT_S = 15.0
_REFRESH_S = 0.2


class SetupError(Exception):
    """A step failed: `what` failed, `why`, and the `advice` what to do."""

    def __init__(self, what: str, why: str, advice: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why
        self.advice = advice


def note(text: str) -> None:
    """Print one line of progress."""
    mark = "\x1b[1m==>\x1b[0m" if sys.stderr.isatty() else "==>"
    print(f"{mark} {text}", file=sys.stderr, flush=True)


def failure(error: SetupError) -> None:
    """Print what failed, why, and what to do."""
    print(f"\nsetup failed: {error.what}", file=sys.stderr)
    print(f"  why: {error.why}", file=sys.stderr)
    print(f"  do:  {error.advice}", file=sys.stderr, flush=True)


def output_of(argv: Sequence[str]) -> str | None:
    """Return what a short command printed, or None when it is missing or failed."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


class _Progress:
    """The display of one running command: one live line on a terminal, else a line now and then."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._live = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()
        self._last_line = ""

    def tick(self, chunk: bytes) -> None:
        """Take note of output and refresh the display when it is due."""
        lines = [line for line in chunk.decode(errors="replace").splitlines() if line.strip()]
        if lines:
            self._last_line = lines[-1].strip()
        now = time.monotonic()
        if now - self._shown < (_REFRESH_S if self._live else _HEARTBEAT_S):
            return
        self._shown = now
        text = f"{self._title}, {now - self._started:.0f} s: {self._last_line}"
        if self._live:
            width = shutil.get_terminal_size().columns - 6
            sys.stderr.write(f"\r\x1b[K    {text[:width]}")
            sys.stderr.flush()
        else:
            print(f"    {text[:150]}", file=sys.stderr, flush=True)

    def end(self) -> float:
        """Clear the live line and return how many seconds it took."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        return time.monotonic() - self._started


def run_logged(
    title: str, argv: Sequence[str], *, advice: str, env: Mapping[str, str] | None = None
) -> None:
    """Run a long command from the checkout with a progress display; its output goes to a log.

    Raises SetupError with the end of the log.
    """
    note(title)
    log_path = BUILD / "logs" / f"{'-'.join(title.lower().split()[:3])}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    progress = _Progress(title)
    with log_path.open("wb") as log:
        log.write(f"$ {' '.join(argv)}\n".encode())
        try:
            child = subprocess.Popen(
                argv,
                cwd=CHECKOUT,
                env=None if env is None else {**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise SetupError(title, f"{argv[0]}: {error.strerror}", advice) from error
        with child:
            assert child.stdout is not None
            fd = child.stdout.fileno()
            while True:
                ready, _, _ = select.select([fd], [], [], _REFRESH_S)
                chunk = os.read(fd, 65536) if ready else b""
                if ready and not chunk:
                    break
                log.write(chunk)
                progress.tick(chunk)
    seconds = progress.end()
    if child.returncode != 0:
        raise SetupError(title, _why(argv, child.returncode, log_path), advice)
    note(f"{title}: done in {seconds:.0f} s")


def _why(argv: Sequence[str], status: int, log_path: Path) -> str:
    tail = log_path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    shown = log_path.relative_to(CHECKOUT)
    lines = [f"{argv[0]} ended with status {status}; the end of {shown}:"]
    return "\n       | ".join([*lines, *tail])
