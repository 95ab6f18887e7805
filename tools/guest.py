"""Owns building what is not Python: the guest's kernel (in the cache, linked from build/guest),
hyperstart, and vmfork, the library that lets QEMU be forked.
"""

import platform
import subprocess
import sys
from pathlib import Path

from tools.console import SetupError, note, output_of, run_logged
from tools.places import BUILD, CHECKOUT, INITRD, KERNEL, VMFORK, cache
from tools.stamps import fingerprint, is_done, mark_done

_SOURCES = CHECKOUT / "guest" / "hyperstart"
_STAMP = BUILD / "guest" / ".initrd.done"


def ensure_kernel() -> None:
    """Build the guest kernel unless the cache has it (guest/kernel/build.py decides)."""
    argv = [sys.executable, str(CHECKOUT / "guest" / "kernel" / "build.py")]
    known = output_of([*argv, "--cache", str(cache()), "--print-path"])
    if known is None:
        note("Guest kernel: about 5 minutes on 2 cores, once; it is kept in the cache")
        # Its own progress bar goes to stderr, the path of the kernel to stdout.
        done = subprocess.run(
            [*argv, "--cache", str(cache())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise SetupError(
                "Guest kernel",
                f"guest/kernel/build.py ended with status {done.returncode}, its reason is above",
                "do what it says, then make kernel",
            )
        known = done.stdout
    _link(KERNEL, Path(known.strip()))


def initrd_is_current() -> bool:
    """Tell whether the initrd was built from the sources as they are now."""
    return is_done(_STAMP, _inputs(), INITRD)


def _inputs() -> str:
    return fingerprint([_SOURCES], output_of(["musl-gcc", "-dumpfullversion"]) or "")


def ensure_initrd() -> None:
    """Build hyperstart and the initial file system that carries it."""
    if initrd_is_current():
        return
    out = BUILD / "hyperstart"
    run_logged(
        "Guest init hyperstart",
        ["make", "-C", str(_SOURCES), f"OUT={out}", "all", "initrd"],
        advice="correct what the compiler says, then make guest",
    )
    _link(INITRD, out / "initrd")
    mark_done(_STAMP, _inputs())


def ensure_vmfork() -> None:
    """Build vmfork, on processors it is written for; elsewhere each clone is a QEMU of its own."""
    if platform.machine() != "x86_64":
        return
    folder = CHECKOUT / "host" / "vmfork"
    inputs = fingerprint([folder], output_of(["gcc", "-dumpfullversion"]) or "")
    stamp = VMFORK.parent / ".done"
    if is_done(stamp, inputs, VMFORK):
        return
    run_logged(
        "Forking of VMs, vmfork",
        ["make", "-C", str(folder), f"OUT={VMFORK.parent}", "all"],
        advice="correct what the compiler says, then make guest",
    )
    mark_done(stamp, inputs)


def _link(link: Path, target: Path) -> None:
    """Point `link` at `target`."""
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
