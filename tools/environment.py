"""Owns .venv: the pinned Python packages, and the `hyper` and `hyperd` programs in it.

The programs start the checkout's own sources. `hyper` needs nothing but the standard library, and
it skips `site` (-IS), which would cost more than all its imports.
"""

import shutil
import sys
from pathlib import Path

from tools.console import note, output_of, run_logged
from tools.places import CHECKOUT, PYTHON, VENV
from tools.stamps import fingerprint, is_done, mark_done

_SHEBANG_MAX_BYTES = 120  # BINPRM_BUF_SIZE is 128 before Linux 5.1

_HYPER = """\
import sys

sys.path.insert(0, {source!r})

from hyper.cli.__main__ import main

sys.exit(main())
"""

_HYPERD = """\
import sys

from hyper.daemon import main

sys.exit(main())
"""


def ensure_run() -> None:
    """Make .venv with what Hyper needs to run."""
    _ensure("requirements.txt")


def ensure_development() -> None:
    """Make .venv with what Hyper, its tests and its checks need."""
    _ensure("requirements-dev.txt")


def _ensure(requirements: str) -> None:
    _ensure_interpreter()
    lists = [CHECKOUT / "requirements.txt", CHECKOUT / "requirements-dev.txt"]
    wanted = lists[: 1 if requirements == "requirements.txt" else 2]
    inputs = fingerprint(wanted, sys.version, str(CHECKOUT))
    stamp = VENV / f".{requirements}.done"
    if not is_done(stamp, inputs):
        argv = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        run_logged(
            f"Python packages of {requirements}",
            [*argv, "--progress-bar", "off", "-r", requirements],
            advice="check that a package index is reachable (pip config list), then make again",
        )
        mark_done(stamp, inputs)
    _write_programs()


def _ensure_interpreter() -> None:
    """Make .venv; make it anew when the checkout moved or its Python changed or is broken."""
    stamp = VENV / ".interpreter.done"
    inputs = fingerprint([], sys.version, sys.base_prefix, str(CHECKOUT))
    if is_done(stamp, inputs) and output_of([str(PYTHON), "-ISc", ""]) is not None:
        return
    if VENV.exists():
        note(".venv was made by another Python or for another folder: making it anew")
        shutil.rmtree(VENV)
    run_logged(
        "Virtual environment .venv",
        [sys.executable, "-m", "venv", str(VENV)],
        advice="install python3-venv (Debian splits it from python3), then make again",
    )
    mark_done(stamp, inputs)


def _write_programs() -> None:
    source = str(CHECKOUT / "src")
    _write(VENV / "bin" / "hyper", _shebang("-IS") + _HYPER.format(source=source))
    _write(VENV / "bin" / "hyperd", _shebang("-I") + _HYPERD)
    # A plain path line, the cheapest form: `import hyper` works in .venv's Python.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    _write(VENV / "lib" / version / "site-packages" / "hyper.pth", source + "\n")


def _shebang(flags: str) -> str:
    line = f"#!{PYTHON} {flags}\n"
    if len(line) <= _SHEBANG_MAX_BYTES and " " not in str(PYTHON):
        return line
    # The same file read twice: sh runs the second line, Python sees a string there.
    return f"#!/bin/sh\n'''exec' \"{PYTHON}\" {flags} \"$0\" \"$@\"\n' '''\n"


def _write(path: Path, text: str) -> None:
    """Write a program unless it is as it should be."""
    if path.exists() and path.read_text() == text:
        return
    path.write_text(text)
    path.chmod(0o755 if path.parent.name == "bin" else 0o644)
