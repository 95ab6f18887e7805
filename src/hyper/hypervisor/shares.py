"""Bind mounts into the private mount namespace of a running VMM. Runs in a child of the spawner.

Needs nothing from the time the VMM was started: the namespaces are found through /proc/PID/ns, so
it works after a restart of the daemon. Nothing appears in the host's /proc/mounts.

Whose files: as root, owners on disk are mapped one to one into the VMM's user namespace (an
idmapped mount, mount_setattr(2)), so a guest's uid 33 is 33 on the host, as under Docker. File
systems that cannot be mapped (proc, sysfs; which others is the kernel's) belong to nobody in the
guest. As an ordinary user the VMM's namespace already maps its root to that user.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator

from hyper.host import namespaces as ns
from hyper.hypervisor.confine import SHARE, SHARE_WRITABLE


def add(pid: int, name: str, host_path: str, read_only: bool) -> None:
    """Make `host_path` appear as /share/`name` in the namespace of `pid`. Raises OSError."""
    user, mounts = ns.open_of(pid, "user"), ns.open_of(pid, "mnt")
    attributes = ns.MOUNT_ATTR_NOSUID | ns.MOUNT_ATTR_NODEV
    attributes |= ns.MOUNT_ATTR_RDONLY if read_only else 0
    beneath: list[tuple[str, int]] = []
    if os.geteuid() == 0:
        tree = ns.open_tree(host_path, recursive=True)
        if not _set_mapped(tree, attributes, user):
            tree, beneath = _map_one_by_one(os.path.realpath(host_path), attributes, user)
        ns.setns(user, ns.CLONE_NEWUSER)
    else:
        ns.setns(user, ns.CLONE_NEWUSER)
        ns.unshare(ns.CLONE_NEWNS)  # a copy of the host's mounts that this user may take parts of
        tree = ns.open_tree(host_path, recursive=True)
        ns.set_mount_attributes(tree, attributes)
    directory = stat.S_ISDIR(os.fstat(tree).st_mode)
    ns.setns(mounts, ns.CLONE_NEWNS)
    ns.become_root()
    ns.move_mount(tree, _mount_point(name, directory))
    for place, each in beneath:
        with contextlib.suppress(PermissionError, FileNotFoundError):  # no guest gets there
            ns.move_mount(each, ns.open_beneath(tree, place))


def _set_mapped(tree: int, attributes: int, user: int) -> bool:
    """Set attributes and owners of a tree; False if a file system in it cannot be mapped."""
    try:
        ns.set_mount_attributes(tree, attributes, userns=user)
    except OSError as err:
        if err.errno != errno.EINVAL:
            raise
        return False
    return True


def _map_one_by_one(path: str, attributes: int, user: int) -> tuple[int, list[tuple[str, int]]]:
    """Return the mount at `path`, and those beneath it with their places, mapped where possible.

    Raises OSError: nothing but this mount itself could be written to, and nobody would own it.
    """
    top = ns.open_tree(path, recursive=False)
    if not _set_mapped(top, attributes, user):
        if not attributes & ns.MOUNT_ATTR_RDONLY:
            why = "its file system cannot show a VM who owns what: share it read-only (:ro)"
            raise OSError(errno.EOPNOTSUPP, why, path)
        ns.set_mount_attributes(top, attributes)
    beneath = []
    for place, tree in _mounts_beneath(path):
        if not _set_mapped(tree, attributes, user):
            ns.set_mount_attributes(tree, attributes)
        beneath.append((place, tree))
    return top, beneath


def _mounts_beneath(path: str) -> Iterator[tuple[str, int]]:
    """Give the mounts that are seen beneath `path`, outer before inner: place and detached copy."""
    prefix = path.rstrip("/") + "/"
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        lines = [line.split(" ", 5) for line in file]
    for number, _, _, _, escaped, _ in sorted(lines, key=lambda fields: fields[4].count("/")):
        place = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)
        if not place.startswith(prefix) or place == prefix:
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, hidden by another, or not to be copied
            there = os.open(place, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            if _mount_of(there) == number:
                yield place.removeprefix(prefix), ns.open_tree("", recursive=False, at=there)


def _mount_of(descriptor: int) -> str:
    with open(f"/proc/self/fdinfo/{descriptor}") as file:
        return next(line.split()[1] for line in file if line.startswith("mnt_id:"))


def seal(pid: int, name: str) -> None:
    """Make /share/`name` read-only. Raises OSError: EBUSY while a file is open for writing."""
    user, mounts = ns.open_of(pid, "user"), ns.open_of(pid, "mnt")
    ns.setns(user, ns.CLONE_NEWUSER)
    ns.setns(mounts, ns.CLONE_NEWNS)
    ns.become_root()
    share = os.open(f"{SHARE}/{name}", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    ns.set_mount_attributes(share, ns.MOUNT_ATTR_RDONLY)


def remove(pid: int, name: str) -> None:
    """Take /share/`name` away again. Raises OSError."""
    user, mounts = ns.open_of(pid, "user"), ns.open_of(pid, "mnt")
    ns.setns(user, ns.CLONE_NEWUSER)
    ns.setns(mounts, ns.CLONE_NEWNS)
    ns.become_root()
    ns.umount_detached(f"{SHARE}/{name}")
    place = f"{SHARE_WRITABLE}/{name}"
    with contextlib.suppress(FileNotFoundError):
        (os.rmdir if os.path.isdir(place) else os.unlink)(place)


def _mount_point(name: str, directory: bool) -> int:
    """Make the mount point and return it open; a symlink put there by a hostile VMM is refused."""
    place = f"{SHARE_WRITABLE}/{name}"
    with contextlib.suppress(FileExistsError):
        if directory:
            os.mkdir(place, 0o755)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_DIRECTORY if directory else 0)
    return os.open(f"{SHARE}/{name}", flags)
