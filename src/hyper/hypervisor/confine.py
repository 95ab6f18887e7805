"""What a VMM process does to itself before it becomes the VMM: root, /proc, limits, capabilities.

Runs in a child of the spawner, in fresh namespaces, as root of its user namespace. It does not
decide who is jailed (`jail`). Every step raises OSError; the spawner reports it and the VMM does
not start.

The VMM sees: /usr read-only, /dev/{null,zero,urandom} and what it was allowed (kvm, vhost-net), its
own /proc, and /share. All else (sockets, disks, kernel, guest memory) it gets as open descriptors.
"""

import contextlib
import os
import resource
import stat
from collections.abc import Sequence

from hyper.host import namespaces as ns

CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID = 0, 1, 2, 3, 4
SHARE_CAPABILITIES = 1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER | 1 << CAP_FSETID
"""What the VMM keeps inside its user namespace: the 9p server acts for the guest's root."""

SHARE = "/share"
SHARE_WRITABLE = "/.share"
"""The same tmpfs as /share: only the spawner makes mount points, /share itself is read-only."""

_DEVICES = ("null", "zero", "urandom")
_SYSTEM = ("usr", "lib", "lib64", "lib32", "bin", "sbin", "opt")
_PUNCH_HOLE = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, linux/falloc.h
_FALLOCATE = {"x86_64": (0xC000003E, 285), "aarch64": (0xC00000B7, 47)}
"""AUDIT_ARCH_* of linux/audit.h and the number of fallocate(2)."""

_TMPFS = "mode=0755,size=256k,nr_inodes=512"


def make_devices(devices: Sequence[str], owner: int) -> None:
    """As the host's root, before entering a user namespace: make nodes that `owner` may open.

    In /tmp of a mount namespace of our own, because the host's may be root's alone.
    """
    if not devices:
        return
    ns.unshare(ns.CLONE_NEWNS)
    ns.mount("none", "/", "", ns.MS_REC | ns.MS_PRIVATE)
    numbers = [os.stat(f"/dev/{name}").st_rdev for name in devices]
    ns.mount("tmpfs", "/tmp", "tmpfs", ns.MS_NOSUID, _TMPFS)
    for name, number in zip(devices, numbers, strict=True):
        os.makedirs(os.path.dirname(f"/tmp/{name}"), mode=0o755, exist_ok=True)
        os.mknod(f"/tmp/{name}", stat.S_IFCHR | 0o600, number)
        os.chown(f"/tmp/{name}", owner, owner)


def build_root(devices: Sequence[str], made: str, *, system: bool) -> None:
    """Replace the root by a small one that holds only what a VMM needs.

    `devices` are found in the directory `made` of the old root. `system`: /sys, read-only, too.
    """
    ns.mount("none", "/", "", ns.MS_REC | ns.MS_PRIVATE)
    ns.mount("tmpfs", "/tmp", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, _TMPFS)
    os.chdir("/tmp")
    for name in ("old", "proc", "dev", SHARE[1:], SHARE_WRITABLE[1:]):
        os.mkdir(name, 0o755)
    ns.pivot_root(".", "old")
    os.chdir("/")
    for name in (*_SYSTEM, *(("sys",) if system else ())):
        _take_over(name)
    for directory, names in (("dev", _DEVICES), (made, devices)):
        for name in names:
            os.makedirs(os.path.dirname(f"/dev/{name}"), mode=0o755, exist_ok=True)
            with open(f"/dev/{name}", "w"):
                pass
            ns.mount(f"/old/{directory}/{name}", f"/dev/{name}", "", ns.MS_BIND)
    # Before the old root goes: a new proc is only allowed where one was visible in full.
    ns.mount("proc", "/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    ns.umount_detached("/old")
    os.rmdir("/old")
    ns.mount(SHARE_WRITABLE, SHARE, "", ns.MS_BIND)
    flags = ns.MS_REMOUNT | ns.MS_BIND | ns.MS_RDONLY | ns.MS_NOSUID | ns.MS_NODEV
    ns.mount("none", SHARE, "", flags)


def _take_over(name: str) -> None:
    old = f"/old/{name}"
    if os.path.islink(old):
        os.symlink(os.readlink(old), f"/{name}")
    elif os.path.isdir(old):
        os.mkdir(f"/{name}")
        tree = ns.open_tree(old, recursive=True)
        ns.set_mount_attributes(tree, ns.MOUNT_ATTR_RDONLY | ns.MOUNT_ATTR_NOSUID)
        target = os.open(f"/{name}", os.O_PATH | os.O_CLOEXEC)
        ns.move_mount(tree, target)
        os.close(tree)
        os.close(target)


def limit(descriptors: int) -> None:
    """Forbid core dumps (they would hold guest memory), bound open files, no huge pages.

    QEMU asks for huge pages for its translation cache: 2 MiB each where a VM needs a few KiB here
    and there. Without, an idle VM is 8 MiB smaller.
    """
    ns.prctl(ns.PR_SET_THP_DISABLE, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    bound = descriptors if hard == resource.RLIM_INFINITY else min(descriptors, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (bound, bound))


def allow_locking(size_bytes: int) -> None:
    """Raise the limit of locked memory, before the user namespace, where root still can."""
    if size_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        most = size_bytes if hard != resource.RLIM_INFINITY and hard < size_bytes else hard
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (size_bytes, most))


def ignore_holes(descriptor: int) -> None:
    """Make fallocate(PUNCH_HOLE) on one descriptor succeed without doing anything.

    For the memory of a clone: QEMU, told by the guest that pages are free, first punches a hole
    into the file and only then gives its private copies back (madvise). The file is the template,
    and sealed: without this, the first step fails and the second never comes.
    """
    arch, number = _FALLOCATE[os.uname().machine]
    load, jump_if, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    allow, succeed = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with errno 0
    checks = ((4, arch), (0, number), (16, descriptor), (24, _PUNCH_HOLE))
    instructions = []
    for place, (offset, value) in enumerate(checks):
        left = 2 * (len(checks) - place - 1)
        instructions += [(load, 0, 0, offset), (jump_if, 0, left + 1, value)]
    ns.install_filter([*instructions, (give, 0, 0, succeed), (give, 0, 0, allow)])


def join_cgroups(paths: Sequence[str]) -> None:
    """Move this process into cgroups, given as their cgroup.procs files."""
    for path in paths:
        with contextlib.suppress(OSError), open(path, "w") as file:
            file.write("0")


def give_up_privileges(kept: int) -> None:
    """Keep only the capabilities in the bit set `kept`, and never gain any again."""
    ns.keep_capabilities(kept)
    ns.prctl(ns.PR_SET_NO_NEW_PRIVS, 1)
