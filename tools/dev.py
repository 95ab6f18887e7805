"""Owns `make dev`: a throw-away daemon in the foreground, gone with all its data on Ctrl-C."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.console import note
from tools.places import VENV


def main() -> int:
    """Run hyperd on temporary folders until it is told to end; return its exit status."""
    folder = Path(tempfile.mkdtemp(prefix="hyper-dev-"))
    socket = folder / "run" / "hyper.sock"
    note("a throw-away daemon; use it from another terminal with")
    print(f"    export HYPER_HOST=unix://{socket} PATH={VENV / 'bin'}:$PATH", file=sys.stderr)
    note("Ctrl-C ends it and removes its containers and images")
    places = ["--root", str(folder / "root"), "--run-dir", str(folder / "run")]
    argv = [str(VENV / "bin" / "hyperd"), *places, "--log-level", "debug", *sys.argv[1:]]
    (folder / "run").mkdir(mode=0o700)
    # Also where this runs in a script's background, whose children ignore Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        return daemon.wait()
    except KeyboardInterrupt:
        _remove_pods(socket)
        daemon.terminate()
        return daemon.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_pods(socket: Path) -> None:
    environment = {**os.environ, "HYPER_HOST": f"unix://{socket}"}
    hyper = str(VENV / "bin" / "hyper")
    for listing, removal in (
        (("ps", "--all", "--quiet"), ("rm", "--force")),
        (("pod", "ls", "--quiet"), ("pod", "rm", "--force")),
    ):
        listed = subprocess.run([hyper, *listing], env=environment, capture_output=True, text=True)
        if ids := listed.stdout.split():
            subprocess.run([hyper, *removal, *ids], env=environment, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
