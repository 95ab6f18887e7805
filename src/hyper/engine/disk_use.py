"""Owns which pod uses which disk of a volume: two VMs must not write to one file system.

In memory only: a daemon that takes pods over claims again what they have. Whether an image is
locked by somebody else is the VMM's to notice.
"""

import os
import stat
from collections.abc import Container
from dataclasses import dataclass

from hyper.core.errors import Conflict, NotFound

Identity = tuple[int | str, ...]
_MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Use:
    """A pod's use of a disk, under the volume's `name` in its VM; or work of ours, without a pod.

    `user` is how it is called: "pod web".
    """

    pod_id: str
    user: str
    name: str
    read_only: bool


class DiskUses:
    """All uses, by what is used."""

    def __init__(self) -> None:
        self._uses: dict[Identity, list[Use]] = {}

    def claim(self, identity: Identity, what: str, use: Use) -> None:
        """Take note of a use. Raises Conflict when another pod's, or an earlier one, forbids it."""
        uses = self._uses.setdefault(identity, [])
        for other in uses:
            if other.pod_id == use.pod_id:
                if other.read_only and not use.read_only:
                    raise Conflict(
                        f"{what}: {use.user} has it read-only already: stop the pod first"
                    )
                return
            if not (other.read_only and use.read_only):
                raise Conflict(f"{what}: {_refusal(identity, other)}")
        uses.append(use)

    def users(self, identity: Identity) -> tuple[Use, ...]:
        """Return who uses a disk."""
        return tuple(self._uses.get(identity, ()))

    def release(self, pod_id: str, kept: Container[str] = ()) -> None:
        """Forget the uses of a pod but those under these names."""
        for identity, uses in tuple(self._uses.items()):
            left = [use for use in uses if use.pod_id != pod_id or use.name in kept]
            if left:
                self._uses[identity] = left
            else:
                del self._uses[identity]


def memory_identity(volume: str) -> Identity:
    """Return what stands for a named volume in memory: each pod would have its own."""
    return (_MEMORY, volume)


def _refusal(identity: Identity, other: Use) -> str:
    if identity[0] == _MEMORY:
        return f"it is in the memory of {other.user}, which no other pod can reach"
    how = "reads" if other.read_only else "writes to"
    return (
        f"{other.user} {how} it: one pod at a time can write to it, many can only read it (mount "
        "it read-only in each)"
    )


def disk_identity(path: str) -> Identity:
    """Return what is the same for every name of one image or block device. Raises NotFound."""
    try:
        info = os.stat(path)
    except OSError as err:
        raise NotFound("disk image", f"{path} ({(err.strerror or '').lower()})") from err
    if stat.S_ISBLK(info.st_mode):
        return ("block", info.st_rdev)
    return ("file", info.st_dev, info.st_ino)
