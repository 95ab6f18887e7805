"""One running QEMU. Does not start it (`driver`) and builds no command line (`arguments`).

The VMM's death is noticed through its pidfd, whoever started it.
"""

import contextlib
import logging
import re
from dataclasses import replace
from pathlib import Path

from hyper.core.errors import Conflict, HypervisorError, InvalidArgument, NotFound, Unsupported
from hyper.core.spec import Nic, VmSpec
from hyper.host.pidfd import PidHandle
from hyper.hypervisor import priority
from hyper.hypervisor.console import Console
from hyper.hypervisor.driver import RECORD_NAME, VmExit, VmRecord
from hyper.hypervisor.drivers.qemu.arguments import forward_rule
from hyper.hypervisor.drivers.qemu.record import KeptRecord
from hyper.hypervisor.drivers.qemu.vm_disks import QemuDisks
from hyper.hypervisor.launcher import Launcher
from hyper.hypervisor.qmp import Qmp

AGENT_SOCKET, QMP_SOCKET, CONSOLE_PIPE = "agent.sock", "qmp.sock", "console"

_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")


class QemuVm:
    """A VM of the QEMU driver; implements driver.Vm. Created and used on the running loop."""

    def __init__(
        self, record: VmRecord, process: PidHandle, launcher: Launcher, nic: Nic | None
    ) -> None:
        self._kept = KeptRecord(record)
        self._process = process
        self._launcher = launcher
        self._nic = nic
        self._exit: VmExit | None = None
        run_dir = Path(record.run_dir)
        self._console = Console(run_dir / CONSOLE_PIPE)
        self._qmp = Qmp(run_dir / QMP_SOCKET, f"VM {record.vm_id[:12]}")
        self._disks = QemuDisks(self._qmp, self._kept)
        self._log = logging.getLogger("hypervisor.qemu").getChild(record.vm_id[:12])

    @property
    def record(self) -> VmRecord:
        """What a later daemon needs to `reattach`."""
        return self._kept.current

    @property
    def disks(self) -> QemuDisks:
        """Its disks."""
        return self._disks

    @property
    def agent_socket(self) -> Path:
        """The listening unix socket of the guest's agent."""
        return Path(self.record.run_dir) / AGENT_SOCKET

    @property
    def nic(self) -> Nic | None:
        """The network device it was started with."""
        return self._nic

    @property
    def monitor(self) -> Qmp:
        """The VMM's monitor, for the rest of this driver."""
        return self._qmp

    @property
    def is_running(self) -> bool:
        """Whether its VMM has not ended."""
        return self._exit is None and self._process.is_running

    async def bind(self, spec: VmSpec) -> None:
        """Turn a waiting clone into the VM of `spec`.

        Its run_dir takes the place of `spec.run_dir`; disks go to the empty slots, where the guest
        needs no scan, then to SCSI.
        """
        if not spec.background:
            priority.raise_to_normal(self.record.pid)
        _replace_directory(Path(self.record.run_dir), spec.run_dir)
        self._qmp.move(spec.run_dir / QMP_SOCKET, f"VM {spec.vm_id[:12]}")
        self._log = self._log.parent.getChild(spec.vm_id[:12]) if self._log.parent else self._log
        self._kept.put(replace(self.record, vm_id=spec.vm_id, run_dir=str(spec.run_dir)))
        await self._disks.bind(spec.disks)
        for forward in spec.nic.forwards if spec.nic is not None else ():
            await self._monitor(f"hostfwd_add net0 {forward_rule(forward)}")

    async def pause(self) -> None:
        """Stop the vCPUs."""
        await self._qmp.execute("stop")

    async def resume(self) -> None:
        """Let the vCPUs run again."""
        await self._qmp.execute("cont")

    async def is_stalled(self) -> bool:
        """Whether it stands still because the host had no space for what it wrote."""
        status = await self._qmp.execute("query-status")  # a drive's default: werror=enospc
        return isinstance(status, dict) and status.get("status") == "io-error"

    async def balloon(self, target_bytes: int) -> None:
        """Ask the guest to keep no more than `target_bytes` of its memory."""
        if not 0 < target_bytes <= self.record.memory_bytes:
            raise InvalidArgument(f"a balloon cannot leave {target_bytes} bytes to this VM")
        await self._qmp.execute("balloon", {"value": target_bytes})

    async def share_add(self, name: str, host_path: Path, read_only: bool) -> None:
        """Make a host path appear as `name` in the 9p share."""
        self._check_share(name)
        if name in self.record.shares:
            raise Conflict(f"{name} is already shared with VM {self._kept.short_id}")
        await self._launcher.share_add(self.record.pid, name, host_path, read_only)
        self._kept.put_shares((*self.record.shares, name))

    async def share_seal(self, name: str) -> None:
        """Make the share `name` read-only. Raises NotFound."""
        self._check_share(name)
        if name not in self.record.shares:
            raise NotFound("share", name)
        await self._launcher.share_seal(self.record.pid, name)

    async def share_remove(self, name: str) -> None:
        """Take `name` out of the 9p share. Raises NotFound."""
        self._check_share(name)
        if name not in self.record.shares:
            raise NotFound("share", name)
        await self._launcher.share_remove(self.record.pid, name)
        self._kept.put_shares(tuple(share for share in self.record.shares if share != name))

    async def kill(self) -> None:
        """End the VMM at once, wait for it, remove its run files."""
        if self._exit is None:
            await self._process.terminate(grace_s=0)
            await self.wait()
        await self._qmp.close()
        run_dir = Path(self.record.run_dir)
        for name in (AGENT_SOCKET, QMP_SOCKET, CONSOLE_PIPE, RECORD_NAME):
            (run_dir / name).unlink(missing_ok=True)

    async def wait(self) -> VmExit:
        """Return how the VMM ended, when it has."""
        if self._exit is None:
            await self._process.wait_exit()
        if self._exit is None:
            status = await self._launcher.exit_status(self.record.pid)
        if self._exit is None:
            died = status is not None and status < 0
            tail = self._console.tail()
            self._exit = VmExit(
                status=None if status is None or died else status,
                signal=-status if status is not None and died else None,
                console_tail=tail,
            )
            self._console.close()
            self._process.close()
            self._log.info("VMM ended: status %s", status)
        return self._exit

    async def close(self) -> None:
        """Drop our connections; the VM lives on."""
        await self._qmp.close()
        self._console.close()
        self._process.close()

    def _check_share(self, name: str) -> None:
        if not self.record.jailed:
            raise Unsupported(
                "sharing a host folder needs a jailed VMM, and this host does not let us make"
                " user namespaces: see hyper doctor"
            )
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f"not a name of a share: {name!r}")

    async def _monitor(self, line: str) -> None:
        answer = await self._qmp.execute("human-monitor-command", {"command-line": line})
        if answer:
            raise HypervisorError(f"{line.split()[0]} failed: {str(answer).strip()}")


def _replace_directory(source: Path, target: Path) -> None:
    """Give a directory the name of another, which may exist and be empty."""
    if source != target:
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        source.rename(target)
