"""Who a VMM runs as, and what it may do: decides the jail of one VM. Starts nothing (`launcher`).

A VMM always runs in its own session, without environment, with only the descriptors it needs, no
new privileges, no core dumps, and QEMU's seccomp filter. In the jail it also has its own user,
mount, pid and IPC namespaces (`confine.build_root` says what it sees). Users:

    daemon is root         each VM has 65,536 ids of its own, nobody's on this host; shared
                           folders are idmapped mounts, so owners in the guest are owners on the
                           host, as under Docker
    user with subuids      root of the VM is the user, its other ids the user's subuids (newuidmap),
                           as under rootless Docker
    user without           only root exists; the 9p server keeps owners and modes in extended
                           attributes (mapped-xattr): right in the guest, the user's on the host

Cost, measured on 2 cores: 4 ms per start, of which the network namespace is 1.
"""

import contextlib
import hashlib
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hyper.core.errors import Unavailable
from hyper.host.process import find_program
from hyper.hypervisor.confine import SHARE_CAPABILITIES
from hyper.hypervisor.launcher import Jail, Launcher

IDS = 65536
_FIRST_ID = 0x70000000  # beyond the ranges of systemd (UIDS-GIDS.md) and of subuid files
_RANGES = 0x0FFF

PASSTHROUGH = "passthrough"
MAPPED = "mapped-xattr"


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids of a VMM and how its 9p server stores owners (QEMU's security_model)."""

    uid_map: str
    gid_map: str
    helper: tuple[tuple[str, tuple[str, ...]], ...]
    first_id: int
    security_model: str


def jail_for(
    vm_id: str, *, devices: Sequence[str], network: bool, locked_bytes: int = 0
) -> tuple[Jail, str]:
    """Return the jail of a VM and its 9p security model. `network`: keep the host's network.

    A VMM with devices of the host sees /sys, and may lock `locked_bytes` of memory.
    """
    identity = _identity(vm_id)
    jail = Jail(
        uid_map=identity.uid_map,
        gid_map=identity.gid_map,
        first_id=identity.first_id,
        drop_groups=identity.first_id != 0,
        capabilities=SHARE_CAPABILITIES if identity.security_model == PASSTHROUGH else 0,
        devices=tuple(devices),
        network=network,
        locked_bytes=locked_bytes,
        helper=identity.helper,
    )
    return jail, identity.security_model


def _identity(vm_id: str) -> Identity:
    if os.geteuid() == 0:
        digest = hashlib.sha256(vm_id.encode()).digest()
        first = _FIRST_ID + int.from_bytes(digest[:4], "little") % _RANGES * IDS
        line = f"0 {first} {IDS}"
        return Identity(line, line, (), first, PASSTHROUGH)
    uid, gid = os.geteuid(), os.getegid()
    ranges = _subordinate_ranges(uid)
    if ranges is None:
        return Identity(f"0 {uid} 1", f"0 {gid} 1", (), 0, MAPPED)
    (first_uid, first_gid), (uid_program, gid_program) = ranges, _map_programs()
    helper = (
        (uid_program, ("0", str(uid), "1", "1", str(first_uid), str(IDS - 1))),
        (gid_program, ("0", str(gid), "1", "1", str(first_gid), str(IDS - 1))),
    )
    return Identity("", "", helper, 0, PASSTHROUGH)


@cache
def _subordinate_ranges(uid: int) -> tuple[int, int] | None:
    """Return the first subordinate uid and gid of a user who may use 65,535 of both, else None."""
    names = {str(uid)}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    try:
        _map_programs()
    except Unavailable:
        return None
    first_uid = _first_of(Path("/etc/subuid"), names)
    first_gid = _first_of(Path("/etc/subgid"), names)
    return (first_uid, first_gid) if first_uid and first_gid else None


@cache
def _map_programs() -> tuple[str, str]:
    return find_program("newuidmap"), find_program("newgidmap")


def _first_of(path: Path, names: set[str]) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in names and first.isdigit() and count.isdigit() and int(count) >= IDS - 1:
            return int(first)
    return 0


async def jail_works(launcher: Launcher) -> None:
    """Return if a process can be jailed here. Raises HypervisorError, naming the step."""
    jail, _ = jail_for("probe", devices=(), network=False)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        process = await launcher.launch([find_program("true")], [null], jail)
    finally:
        os.close(null)
    try:
        await process.wait_exit()
    finally:
        process.close()
