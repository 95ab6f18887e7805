"""Owns where the setup puts things: everything in the checkout that git ignores, and the cache."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
BUILD = CHECKOUT / "build"
VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"
# The guest this checkout runs; the kernel is a link into the cache.
KERNEL = BUILD / "guest" / "vmlinux"
INITRD = BUILD / "guest" / "initrd"
# What QEMU is given so that it can be forked.
VMFORK = BUILD / "vmfork" / "vmfork.so"


def cache() -> Path:
    """Return the folder, outside the checkout, of what can be rebuilt at any time."""
    if chosen := os.environ.get("HYPER_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hyper"
