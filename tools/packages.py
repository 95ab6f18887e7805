"""Owns the distribution packages Hyper needs: what each is for, and installing the missing ones.

What is there is never installed again: a program counts wherever it came from.
"""

import glob
import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec

from tools.console import SetupError, note, output_of, run_logged


@dataclass(frozen=True, slots=True)
class Need:
    """A Debian package, known to be there by its program, file (a glob) or Python module."""

    package: str
    reason: str
    program: str = ""
    file: str = ""
    module: str = ""

    def is_met(self) -> bool:
        """Tell whether this machine has it."""
        if self.module:
            return find_spec(self.module) is not None
        if self.file:
            return bool(glob.glob(self.file))
        return _find_program(self.program) is not None


def _find_program(name: str) -> str | None:
    # An ordinary user's PATH lacks the sbin folders that mke2fs and nft live in.
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(name, path=path)


NEEDS: dict[str, tuple[Need, ...]] = {
    "python": (Need("python3-venv", "makes the virtual environment", module="ensurepip"),),
    "run": (
        Need("qemu-system-x86", "runs the virtual machines", program="qemu-system-x86_64"),
        Need("squashfs-tools", "turns image layers into disks", program="sqfstar"),
        Need("e2fsprogs", "makes the writable disks", program="mke2fs"),
        Need("nftables", "separates the networks", program="nft"),
        # Not passt: Debian 12's resets connections (src/hyper/network/uplink.py).
        Need("slirp4netns", "connects pods with the world", program="slirp4netns"),
        Need("uidmap", "gives an ordinary user's pods their owners", program="newuidmap"),
        Need("busybox-static", "is the first image where no registry is", file="/bin/busybox"),
        Need("ca-certificates", "lets registries prove who they are", file="/etc/ssl/certs/*.pem"),
    ),
    "kernel": (
        Need("linux-source-6.1", "is the guest kernel", file="/usr/src/linux-source-6.1.tar.xz"),
        Need("gcc", "compiles the kernel", program="gcc"),
        Need("libc6-dev", "compiles the kernel's tools", file="/usr/include/stdio.h"),
        Need("make", "drives the build", program="make"),
        Need("flex", "reads the kernel configuration", program="flex"),
        Need("bison", "reads the kernel configuration", program="bison"),
        Need("bc", "computes a kernel header", program="bc"),
        Need("xz-utils", "unpacks the kernel source", program="xz"),
        Need("patch", "changes the kernel source", program="patch"),
        Need("libelf-dev", "checks the kernel's objects", file="/usr/include/libelf.h"),
    ),
    "guest": (
        Need("gcc", "compiles hyperstart", program="gcc"),
        Need("make", "drives the build", program="make"),
        Need("musl-tools", "makes hyperstart small and static", program="musl-gcc"),
        Need(
            "linux-libc-dev",
            "declares the guest kernel's interfaces",
            file="/usr/include/linux/virtio_console.h",
        ),
        Need("libc6-dev", "builds hyperstart for its own tests", file="/usr/include/stdio.h"),
    ),
    "test": (
        Need("docker-registry", "serves images on loopback", program="docker-registry"),
        Need("docker.io", "is the docker command", program="docker"),
        Need("skopeo", "copies images", program="skopeo"),
        Need("mmdebstrap", "makes a Debian image", program="mmdebstrap"),
        Need("iproute2", "makes network namespaces", program="ip"),
        Need("util-linux", "makes namespaces", program="unshare"),
        Need("zsh", "completes commands", program="zsh"),
        Need("fish", "completes commands", program="fish"),
    ),
    "check": (Need("shellcheck", "reads the shell scripts", program="shellcheck"),),
}


def ensure(*groups: str) -> None:
    """Install what is missing of `groups`.

    Raises SetupError, with the command to run, where that needs rights this user does not have.
    """
    missing: dict[str, Need] = {}
    for group in groups:
        for need in NEEDS[group]:
            if need.package not in missing and not need.is_met():
                missing[need.package] = need
    if not missing:
        return
    for need in missing.values():
        note(f"missing: {need.package}, which {need.reason}")
    _install(sorted(missing))
    left = [need.package for need in missing.values() if not need.is_met()]
    if left:
        raise SetupError(
            "Debian packages",
            f"installed, but still not found: {', '.join(left)}",
            "look at build/logs; /usr/sbin and /usr/bin must be on PATH",
        )


def _install(names: list[str]) -> None:
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    by_hand = f"run: sudo {' '.join(command)}\n       and then the same make target again"
    if _find_program("apt-get") is None:
        raise SetupError(
            "Debian packages",
            f"not installed: {', '.join(names)}; and this system has no apt-get",
            "install what Debian has in those packages with your own package manager",
        )
    prefix = _as_root()
    if prefix is None:
        raise SetupError("Debian packages", "installing them needs root", by_hand)
    # Values for apt itself, so that they survive sudo's clean environment.
    prefix = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive"]
    options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    update = [*prefix, "apt-get", *options, "update"]
    run_logged("Package lists", update, advice=f"check the network and apt's sources, or {by_hand}")
    install = [*prefix, "apt-get", *options, *command[1:]]
    run_logged(f"Debian packages ({len(names)})", install, advice=by_hand)


def _as_root() -> list[str] | None:
    """Return what to put before a command to run it as root, or None when that is not possible."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and output_of(["sudo", "-n", "true"]) is not None:
        return ["sudo", "-n"]
    return None
