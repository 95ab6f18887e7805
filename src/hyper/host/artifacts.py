"""Finds what the daemon boots: the guest kernel and the initrd that `make guest` builds.

Looks at $HYPER_KERNEL and $HYPER_INITRD, the checkout's build/, then /usr/lib/hyper.
"""

import os
from pathlib import Path

INSTALLED = Path("/usr/lib/hyper")
BUILT = Path(__file__).resolve().parents[3] / "build" / "guest"


def find_kernel() -> Path:
    """Return where the guest kernel is, or would be once it was built."""
    return _find("HYPER_KERNEL", "vmlinux")


def find_initrd() -> Path:
    """Return where the guest's initrd is, or would be once it was built."""
    return _find("HYPER_INITRD", "initrd")


def _find(variable: str, name: str) -> Path:
    configured = os.environ.get(variable)
    if configured:
        return Path(configured)
    built, installed = BUILT / name, INSTALLED / name
    return installed if installed.exists() and not built.exists() else built.resolve()
