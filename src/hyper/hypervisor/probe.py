"""Which acceleration works on this host: tried with the real guest kernel, remembered in a file.

Does not start VMs itself: a driver gives it `boots`. /dev/kvm may exist, open and create a VM and
yet be unable to run an ordinary guest (nested and paravirtual hosts): the VMM then spins for ever
and prints nothing, so only a boot under a deadline tells. A verdict holds for one boot of the host,
one QEMU and one kernel.
"""

import hashlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hyper.core.errors import HyperError, HypervisorError, InvalidArgument
from hyper.host.files import atomic_write

KVM_DEVICE = Path("/dev/kvm")
DEADLINE_S = 4.0
"""A guest under KVM is up in a fraction of a second; a first start may wait 5 in all."""

_FILE_NAME = "acceleration.json"
_KEPT = 16

_log = logging.getLogger("hypervisor.probe")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether KVM runs our guest here, and why not."""

    kvm: bool
    reason: str


Boots = Callable[[], Awaitable[None]]
"""Boot the guest under KVM; return when it has powered off. Raises HyperError when it does not."""


def boot_id() -> str:
    """Return what names this boot of the host (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def probe_key(program: Path, kernel: Path, version: str) -> str:
    """Return what a verdict holds for: this boot of the host, this QEMU, this kernel."""
    parts = [boot_id(), version, *(_identity(path) for path in (program, kernel))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


async def choose_accelerator(wanted: str, root: Path, key: str, boots: Boots) -> str:
    """Return kvm or tcg for `wanted` (auto, kvm, tcg).

    auto falls back with one line in the log. Raises HypervisorError when kvm is asked for and does
    not work, InvalidArgument for an unknown name.
    """
    if wanted == "tcg":
        return "tcg"
    if wanted not in ("auto", "kvm"):
        raise InvalidArgument(f"unknown accelerator {wanted!r}: choose auto, kvm or tcg")
    verdict = recall(root, key)
    if verdict is None or (wanted == "kvm" and not verdict.kvm):
        verdict = await _try(boots)
        remember(root, key, verdict)
        if wanted == "auto" and not verdict.kvm:
            _log.warning("no KVM: %s; guests run under emulation (TCG), slower", verdict.reason)
    if verdict.kvm:
        return "kvm"
    if wanted == "kvm":
        raise HypervisorError(
            f"KVM was asked for and does not work here: {verdict.reason};"
            " use --accelerator auto or tcg, or see hyper doctor"
        )
    return "tcg"


def recall(root: Path, key: str) -> Verdict | None:
    """Return the verdict remembered for `key`, None if there is none."""
    known = _load(root).get(key)
    return Verdict(bool(known["kvm"]), str(known["reason"])) if known else None


def remember(root: Path, key: str, verdict: Verdict) -> None:
    """Keep a verdict; old ones go."""
    known = _load(root)
    known.pop(key, None)
    known[key] = asdict(verdict)
    newest = dict(list(known.items())[-_KEPT:])
    atomic_write(root / _FILE_NAME, json.dumps(newest).encode(), fsync=False)


def device_problem() -> str:
    """Return why /dev/kvm cannot be opened, "" if it can. Does not try to run anything."""
    if not KVM_DEVICE.exists():
        return f"{KVM_DEVICE} does not exist"
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return f"{KVM_DEVICE} may not be opened by this user: join the group kvm"
    return ""


async def _try(boots: Boots) -> Verdict:
    if problem := device_problem():
        return Verdict(False, problem)
    try:
        await boots()
    except HyperError as err:
        return Verdict(False, f"{KVM_DEVICE} exists, but the guest kernel does not boot: {err}")
    return Verdict(True, "the guest kernel boots")


def _load(root: Path) -> dict[str, dict[str, object]]:
    try:
        known = json.loads((root / _FILE_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _identity(path: Path) -> str:
    """Return what changes when a file is replaced, without reading it: kernels are 20 MB."""
    info = path.stat()
    return f"{path.resolve()} {info.st_size} {info.st_mtime_ns} {info.st_ino}"
