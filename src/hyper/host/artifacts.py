"""Finds what the daemon needs that is not Python: guest kernel, initrd, and vmfork (`make guest`).

Looks at $HYPER_KERNEL, $HYPER_INITRD and $HYPER_VMFORK, the checkout's build/, then /usr/lib/hyper.
"""

import os
from pathlib import Path

from hyper.core.errors import Unavailable

INSTALLED = Path("/usr/lib/hyper")
BUILT = Path(__file__).resolve().parents[3] / "build"


def find_kernel() -> Path:
    """Return where the guest kernel is, or would be once it was built."""
    return _find("HYPER_KERNEL", "guest/vmlinux")


def find_initrd() -> Path:
    """Return where the guest's initrd is, or would be once it was built."""
    return _find("HYPER_INITRD", "guest/initrd")


def find_vmfork() -> Path:
    """Return where the library that forks VMs is, or would be (x86-64 only)."""
    return _find("HYPER_VMFORK", "vmfork/vmfork.so")


def check_protocol(initrd: Path, fingerprint: int) -> None:
    """Raise Unavailable where an initrd speaks another version of the agent's protocol than ours.

    A missing one is not told here: the driver's checks do.
    """
    try:
        archive = initrd.read_bytes()
    except OSError:
        return
    if b"protocol-%d\0" % fingerprint not in archive:  # guest/hyperstart/initrd.py
        raise Unavailable(
            f"the guest {initrd} is not of this hyperd's version, they would not understand each "
            "other: run make guest, or use the initrd that came with this Hyper"
        )


def _find(variable: str, place: str) -> Path:
    configured = os.environ.get(variable)
    if configured:
        return Path(configured)
    built, installed = BUILT / place, INSTALLED / Path(place).name
    return installed if installed.exists() and not built.exists() else built.resolve()
