"""The daemon's end of the spawner: launching VMMs, shares, exit statuses. Decides nothing.

The spawner (`spawner.py`) is started on first use and again if it should die; no running VM depends
on it.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyper.core.errors import HypervisorError, Unavailable
from hyper.host.pidfd import PidHandle
from hyper.host.process import Process, spawn

_PACKET_BYTES = 1 << 17
_STATUS_WAIT_S = 20.0  # the spawner may be busy with other starts
_IN_FLIGHT = 4
_STARTS = 8
_SOURCE = Path(__file__).parents[2]
_CODE = "import sys; sys.path[:0] = sys.argv[1:]; from hyper.hypervisor.spawner import main; main()"


@dataclass(frozen=True, slots=True)
class Jail:
    """How a VMM is confined; see `jail.py` for who gets what.

    Maps are lines of /proc/PID/uid_map; `helper` is how newuidmap and newgidmap are called instead.
    `first_id` is the host's id of the VM's root, 0 if that is the daemon's user. `drop_groups`: not
    for an ordinary user, whose group kvm it is that opens /dev/kvm. `network`: keep the host's.
    `locked_bytes`: memory it may lock for devices of the host, which it finds in /sys; without, it
    sees no /sys.
    """

    uid_map: str
    gid_map: str
    first_id: int
    drop_groups: bool
    capabilities: int
    devices: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    network: bool = True
    locked_bytes: int = 0
    helper: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the form the spawner reads."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Child:
    """What a fork does not take over from its zygote. All numbers are the zygote's descriptors.

    `replaced` says which of ours takes the place of each; `share` is that of the shared folder,
    `tap` that of the TAP, -1 if it has none. `name` has its beginning in `ps`.
    """

    name: str
    replaced: Mapping[int, int]
    share: int
    tap: int


class Launcher:
    """Owns the spawner process. All VMMs of this daemon are started through one of these."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()
        # The spawner takes one request after the other; more than fit into the socket would fail.
        self._turns = asyncio.Semaphore(_IN_FLIGHT)
        self.starts = asyncio.Semaphore(_STARTS)
        """Held from opening a VM's files to its launch, so that many starts do not exhaust them."""
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._exits: dict[int, asyncio.Future[int | None]] = {}

    async def start(self) -> None:
        """Start the spawner if it does not run; launching does this too, only later."""
        async with self._starting:
            if self._control is None:
                await self._start()

    async def launch(
        self,
        argv: Sequence[str],
        fds: Sequence[int],
        jail: Jail | None,
        memory_fd: int = -1,
        nice: int = 0,
        zygote: Mapping[str, str] | None = None,
    ) -> PidHandle:
        """Start a VMM: `fds[0]` becomes its stdout and stderr, the others 3, 4...

        `memory_fd`: a number for `confine.ignore_holes`. `zygote`: the environment of one that is
        to be forked, which has no namespaces of its own. Raises HypervisorError.
        """
        request: dict[str, object] = {
            "op": "launch",
            "argv": list(argv),
            "jail": jail.to_json() if jail else None,
            "memory_fd": memory_fd,
            "nice": nice,
            "zygote": zygote is not None,
            "environment": dict(zygote or {}),
        }
        answer = await self._ask(request, fds)
        return PidHandle(int(answer["pid"]), int(answer["pidfd"]))

    async def fork(self, control: int, child: Child, jail: Jail, nice: int) -> PidHandle:
        """Start a VMM as a fork of the zygote whose control socket is `control`.

        Raises HypervisorError.
        """
        request: dict[str, object] = {
            "op": "fork",
            "jail": jail.to_json(),
            "nice": nice,
            "name": child.name,
            "targets": list(child.replaced),
            "share": child.share,
            "tap": child.tap,
        }
        answer = await self._ask(request, [control, *child.replaced.values()])
        return PidHandle(int(answer["pid"]), int(answer["pidfd"]))

    async def share_add(self, pid: int, name: str, path: Path, read_only: bool) -> None:
        """Bind a host path into the mount namespace of a VMM. Raises HypervisorError."""
        fields = {"pid": pid, "name": name, "path": str(path), "read_only": read_only}
        await self._ask({"op": "share_add", **fields}, ())

    async def share_seal(self, pid: int, name: str) -> None:
        """Make a share of a VMM read-only. Raises HypervisorError, also when a file is open."""
        await self._ask({"op": "share_seal", "pid": pid, "name": name}, ())

    async def share_remove(self, pid: int, name: str) -> None:
        """Take a host path out of the mount namespace of a VMM. Raises HypervisorError."""
        await self._ask({"op": "share_remove", "pid": pid, "name": name}, ())

    async def exit_status(self, pid: int) -> int | None:
        """Return the status (negative: a signal) of a VMM that has ended; None if unknown.

        That is so when its spawner has ended before it.
        """
        future = self._exits.get(pid)
        if future is None:
            return None
        try:
            async with asyncio.timeout(_STATUS_WAIT_S):
                return await asyncio.shield(future)
        except TimeoutError:
            return None
        finally:
            self._exits.pop(pid, None)

    async def close(self) -> None:
        """End the spawner; VMMs live on."""
        self._disconnect()
        if self._process is not None:
            await self._process.terminate(grace_s=0)
            self._process = None

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-I", "-S", "-c", _CODE, str(_SOURCE)]
        with theirs:
            process = await spawn(argv, stdin=theirs.fileno(), parent_death_signal=True)
        ours.setblocking(False)
        asyncio.get_running_loop().add_reader(ours.fileno(), self._receive)
        self._process, self._control = process, ours

    async def _ask(self, request: dict[str, object], fds: Sequence[int]) -> dict[str, Any]:
        async with self._turns:
            return await self._ask_now(request, fds)

    async def _ask_now(self, request: dict[str, object], fds: Sequence[int]) -> dict[str, Any]:
        await self.start()
        assert self._control is not None
        self._serial += 1
        number = self._serial
        packet = json.dumps({"id": number, **request}).encode()
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            socket.send_fds(self._control, [packet], list(fds))
            reply = await answer
        except OSError as err:
            raise Unavailable(f"cannot reach the process that starts VMMs: {err}") from err
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise HypervisorError(f"cannot {request['op']}: {reply['error']}".replace("_", " ", 1))
        result: dict[str, Any] = reply["result"]
        return result

    def _receive(self) -> None:
        assert self._control is not None
        try:
            packet, fds, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            self._disconnect()
            return
        message: dict[str, Any] = json.loads(packet)
        if "exited" in message:
            future = self._exits.get(message["exited"])
            if future is not None and not future.done():
                future.set_result(os.waitstatus_to_exitcode(message["status"]))
            return
        if "pid" in (message.get("result") or {}):
            # Here, not in launch(): the next packet may already tell that it has ended.
            self._exits[message["result"]["pid"]] = asyncio.get_running_loop().create_future()
            message["result"]["pidfd"] = fds[0]
        answer = self._waiting.pop(message["id"], None)
        if answer is not None and not answer.done():
            answer.set_result(message)
        elif fds:  # whoever asked was cancelled: nobody knows of this VMM
            signal.pidfd_send_signal(fds[0], signal.SIGKILL)
            os.close(fds[0])

    def _disconnect(self) -> None:
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_result({"error": "the process that starts VMMs has ended"})
        for status in self._exits.values():
            if not status.done():
                status.set_result(None)
