"""Owns the builds of hyperstart for tests, made when first asked for, beside that of the guest."""

import subprocess
from functools import cache
from pathlib import Path

from tests.support.turns import alone
from tools.places import BUILD, CHECKOUT

SOURCES = CHECKOUT / "guest" / "hyperstart"
_OUT = BUILD / "hyperstart"


@cache
def build(target: str) -> Path:
    """Return the folder with a built target of guest/hyperstart/Makefile."""
    with alone(BUILD / "tests" / "hyperstart.lock"):
        command = ["make", "-s", "-C", str(SOURCES), f"OUT={_OUT}", target]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return _OUT
