"""Under which number a clone's QEMU has its memory file open; the jail needs it (`ignore_holes`).

QEMU opens the file itself, so the number is not ours to choose, only to know: the same invocation
gives the same number. So the first clone of a kind tells it, the next ones are started with it, and
each is checked before its guest can have done anything. A wrong number is never harmless in the
long run (it might be a disk's, whose holes have to be real), so such a VMM is killed.
"""

import contextlib
import logging
import os
import signal
from dataclasses import dataclass, field

from hyper.core.spec import VmSpec

_TARGET = "/memfd:template"

_log = logging.getLogger("hypervisor.qemu")


@dataclass(slots=True)
class MemoryNumbers:
    """The numbers learned, by kind of invocation."""

    known: dict[tuple[object, ...], int] = field(default_factory=dict)


class Watch:
    """Checks or learns the number of one clone. Set `given` and `pid` as they become known."""

    def __init__(
        self, numbers: MemoryNumbers | None, spec: VmSpec, *, zygote: bool = False
    ) -> None:
        # Everything that makes QEMU open one descriptor more: a forwarded port is a socket.
        nic = (spec.nic.kind, len(spec.nic.forwards)) if spec.nic is not None else None
        self._kind = (nic, zygote, tuple(len(disk.extents) for disk in spec.disks))
        self._numbers = numbers
        self.given = -1
        self.pid = 0
        self.expected = numbers.known.get(self._kind, -1) if numbers is not None else -1

    def check(self) -> None:
        """Learn the number of a clone that runs now, or kill it if it is not what was expected."""
        if self._numbers is None or not self.pid:
            return
        actual = self._find()
        if self.expected < 0 and actual >= 0:
            self._numbers.known[self._kind] = actual
        elif self.expected >= 0 and actual != self.expected:
            _log.error("memory is descriptor %d, not %d: VMM ended", actual, self.expected)
            self._numbers.known.pop(self._kind, None)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _find(self) -> int:
        directory = f"/proc/{self.pid}/fd"
        try:
            for name in os.listdir(directory):
                with contextlib.suppress(FileNotFoundError):
                    target = os.readlink(f"{directory}/{name}")
                    if target.startswith(_TARGET) and int(name) != self.given:
                        return int(name)
        except OSError as err:
            _log.debug("cannot read %s: %s", directory, err)
        return -1
