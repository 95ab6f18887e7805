"""The system calls Python lacks: namespaces, mounts, capabilities (through libc).

Decides nothing; `confine` and `shares` do. Standard library only: it runs inside the spawner.
"""

import ctypes
import os
from collections.abc import Sequence
from typing import NoReturn

CLONE_NEWNS = 0x00020000  # linux/sched.h
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8  # linux/mount.h
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 0x4, 0x40
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 0x1, 0x2, 0x4
MOUNT_ATTR_IDMAP = 0x100000
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x8000, 0x100
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08  # linux/openat2.h

PR_SET_CHILD_SUBREAPER, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 36, 24, 38  # linux/prctl.h
PR_SET_SECCOMP, PR_SET_THP_DISABLE = 22, 41
SECCOMP_MODE_FILTER = 2  # linux/seccomp.h
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

# asm-generic/unistd.h: these numbers are the same on every architecture but alpha.
_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns_fd")]


class _OpenHow(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


class _SockFilter(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    ]


class _SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones (unshare(2))."""
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Enter a namespace (setns(2))."""
    _check(_libc.setns(descriptor, kind), "setns")


def become_root() -> None:
    """Take the identity of the user namespace's root: what it owns, and so may make, is mapped."""
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def open_of(pid: int, name: str) -> int:
    """Open a namespace of a process (namespaces(7), /proc/PID/ns)."""
    return os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount (mount(2)); `kind` "" for binds and changes."""
    arguments = (source.encode(), target.encode(), kind.encode() or None, flags, data.encode())
    _check(_libc.mount(*arguments[:3], ctypes.c_ulong(flags), arguments[4]), f"mount {target}")


def umount_detached(target: str) -> None:
    """Unmount lazily, not through a symlink (umount2(2))."""
    UMOUNT_NOFOLLOW = 8
    _check(_libc.umount2(target.encode(), MNT_DETACH | UMOUNT_NOFOLLOW), f"umount {target}")


def pivot_root(new_root: str, old_root: str) -> None:
    """Make `new_root` the root and put the old one at `old_root` (pivot_root(2))."""
    _call("pivot_root", _PIVOT_ROOT, new_root.encode(), old_root.encode())


def open_tree(path: str, *, recursive: bool, at: int = AT_FDCWD) -> int:
    """Return a detached copy of the mounts at `path`, "" for `at` itself (open_tree(2))."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    flags |= 0 if path else AT_EMPTY_PATH
    return _call(f"open {path}", _OPEN_TREE, at, os.fsencode(path), flags)


def open_beneath(directory: int, path: str) -> int:
    """Return a place open with O_PATH, reached from a folder through no symlink (openat2(2))."""
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    how = _OpenHow(flags=os.O_PATH | os.O_CLOEXEC, resolve=resolve)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    return _call(f"open {path}", _OPENAT2, directory, os.fsencode(path), ctypes.byref(how), size)


def set_mount_attributes(tree: int, attributes: int, *, userns: int = -1) -> None:
    """Set MOUNT_ATTR_* of a detached tree; with `userns` its owners are seen through that map."""
    attr = _MountAttr(set=attributes, userns_fd=max(userns, 0))
    if userns >= 0:
        attr.set |= MOUNT_ATTR_IDMAP
    flags = AT_EMPTY_PATH | AT_RECURSIVE
    size = ctypes.c_size_t(ctypes.sizeof(attr))
    _call("mount_setattr", _MOUNT_SETATTR, tree, b"", flags, ctypes.byref(attr), size)


def move_mount(tree: int, target: int) -> None:
    """Attach a detached tree over the directory or file open as `target` (move_mount(2))."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _call("move_mount", _MOVE_MOUNT, tree, b"", target, b"", flags)


def prctl(option: int, argument: int = 0, argument2: int = 0) -> None:
    """Change this process (prctl(2))."""
    values = [ctypes.c_ulong(value) for value in (argument, argument2, 0, 0)]
    _check(_libc.prctl(option, *values), f"prctl {option}")


def install_filter(instructions: Sequence[tuple[int, int, int, int]]) -> None:
    """Install a seccomp filter of (code, jt, jf, k) instructions (seccomp(2)); no way back."""
    program = (_SockFilter * len(instructions))(*(_SockFilter(*each) for each in instructions))
    header = _SockFprog(len(instructions), ctypes.cast(program, ctypes.c_void_p))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(header))


def keep_capabilities(kept: int) -> None:
    """Give up, for ever, every capability that is not in the bit set `kept` (capabilities(7))."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for number in range(last + 1):
        if not kept >> number & 1:
            prctl(PR_CAPBSET_DROP, number)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CapHeader(version=0x20080522, pid=0)  # _LINUX_CAPABILITY_VERSION_3
    halves = [kept & 0xFFFFFFFF, kept >> 32]
    data = (_CapData * 2)(*(_CapData(half, half, 0) for half in halves))
    _check(_libc.capset(ctypes.byref(header), data), "capset")


def _call(what: str, number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), what)


def _check(result: int, what: str) -> int:
    if result < 0:
        _fail(what)
    return int(result)


def _fail(what: str) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)
