"""Bind mounts into the private mount namespace of a running VMM. Runs in a child of the spawner.

Needs nothing from the time the VMM was started: the namespaces are found through /proc/PID/ns, so
it works after a restart of the daemon. Nothing appears in the host's /proc/mounts.

Whose files: as root, owners on disk are mapped one to one into the VMM's user namespace (an
idmapped mount, mount_setattr(2)), so a guest's uid 33 is 33 on the host, as under Docker. As an
ordinary user the VMM's namespace already maps its root to that user.
"""

import contextlib
import os
import stat

from hyper.host import namespaces as ns
from hyper.hypervisor.confine import SHARE, SHARE_WRITABLE


def add(pid: int, name: str, host_path: str, read_only: bool) -> None:
    """Make `host_path` appear as /share/`name` in the namespace of `pid`. Raises OSError."""
    user, mounts = _open_namespaces(pid)
    attributes = ns.MOUNT_ATTR_NOSUID | ns.MOUNT_ATTR_NODEV
    attributes |= ns.MOUNT_ATTR_RDONLY if read_only else 0
    if os.geteuid() == 0:
        tree = ns.open_tree(host_path, recursive=True)
        ns.set_mount_attributes(tree, attributes, userns=user)
        ns.setns(user, ns.CLONE_NEWUSER)
    else:
        ns.setns(user, ns.CLONE_NEWUSER)
        ns.unshare(ns.CLONE_NEWNS)  # a copy of the host's mounts that this user may take parts of
        tree = ns.open_tree(host_path, recursive=True)
        ns.set_mount_attributes(tree, attributes)
    directory = stat.S_ISDIR(os.fstat(tree).st_mode)
    ns.setns(mounts, ns.CLONE_NEWNS)
    _become_root()
    ns.move_mount(tree, _mount_point(name, directory))


def remove(pid: int, name: str) -> None:
    """Take /share/`name` away again. Raises OSError."""
    user, mounts = _open_namespaces(pid)
    ns.setns(user, ns.CLONE_NEWUSER)
    ns.setns(mounts, ns.CLONE_NEWNS)
    _become_root()
    ns.umount_detached(f"{SHARE}/{name}")
    place = f"{SHARE_WRITABLE}/{name}"
    with contextlib.suppress(FileNotFoundError):
        (os.rmdir if os.path.isdir(place) else os.unlink)(place)


def _open_namespaces(pid: int) -> tuple[int, int]:
    flags = os.O_RDONLY | os.O_CLOEXEC
    return os.open(f"/proc/{pid}/ns/user", flags), os.open(f"/proc/{pid}/ns/mnt", flags)


def _become_root() -> None:
    """Take the identity of the user namespace's root: what it owns, and so may make, is mapped."""
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


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
