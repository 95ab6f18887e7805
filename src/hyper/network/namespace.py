"""The daemon's end of the keeper: starts or finds the pods' network namespace, asks for changes.

Decides nothing about pods (`routed`). One request is one round trip, about 1 ms.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyper.core.errors import Failure, HyperError, ProcessError, Unavailable
from hyper.host.process import run
from hyper.network import uplink
from hyper.network.netlink import Change

_SOCKET, _LOG = "network.sock", "network.log"
_PACKET_BYTES = 1 << 17
_DESCRIPTORS = 8
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_START_S = 20.0
_ASK_S = 20.0
_END_S = 5.0
_VERSION_S = 5.0
_SOURCE = Path(__file__).parents[2]
_CODE = (
    "import sys; sys.path[:0] = sys.argv[1:2]; "
    "sys.modules['ssl'] = None; "  # asyncio does without; the keeper speaks no TLS: 2 MiB less
    "from hyper.network.birth import main; main()"
)

_log = logging.getLogger("network")


@dataclass(slots=True)
class Batch:
    """Changes that are asked for in one request; see keeper. `sockets` go with `relays`."""

    sysctl: list[tuple[str, str]] = field(default_factory=list)
    links: list[Change] = field(default_factory=list)
    nft: list[str] = field(default_factory=list)
    close: list[str] = field(default_factory=list)
    retarget: list[tuple[str, str]] = field(default_factory=list)
    relays: list[dict[str, object]] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)


class Namespace:
    """The pods' network namespace, while this daemon is connected to its keeper."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._connection: socket.socket | None = None
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._closed = asyncio.Event()
        self.uplink = ""
        """The program through which pods reach the world, "" if there is none."""
        self.flaw = ""
        """What is wrong with that program, "" if nothing is known."""
        self.ipv6 = self.uplink6 = False
        """Whether there is IPv6, and whether it leads to the world."""
        self.keeper_pid = 0
        """The keeper, as the kernel says in our pid namespace; 0 once it is gone."""

    async def open(self) -> dict[str, Any]:
        """Connect to the keeper that is there, else start one; return what it says of itself.

        Raises Unavailable: this host lets us have no namespace, or lacks nftables.
        """
        path = self._run_dir / _SOCKET
        if not self._connect(path):
            await self._begin(path)
        try:
            state = await self.ask("hello")
        except HyperError:
            if self.alive:
                raise
            await self._begin(path)  # that one was just ending
            state = await self.ask("hello")
        self.uplink = str(state["uplink"])
        self.flaw = await flaw_of(self.uplink)
        self.ipv6, self.uplink6 = bool(state["ipv6"]), bool(state["uplink6"])
        return state

    @property
    def alive(self) -> bool:
        """Whether the keeper still runs."""
        return self._connection is not None

    async def ask(self, operation: str, **fields: object) -> dict[str, Any]:
        """Make one request. Raises Failure with the keeper's words, Unavailable when it is gone."""
        answer, fds = await self._exchange({"op": operation, **fields}, ())
        for fd in fds:
            os.close(fd)
        return answer

    def tell_names(self, change: dict[str, Any]) -> None:
        """Tell the keeper of names, for while no daemon runs; nobody waits for an answer."""
        if self._connection is None:
            return
        try:
            self._connection.send(json.dumps({"id": 0, "op": "names", "change": change}).encode())
        except OSError as err:
            _log.warning("names may be out of date while no daemon runs: %s", err)

    async def tap(self, name: str) -> int:
        """Make a tap and return its descriptor; it lives until that and its copies are closed."""
        _, fds = await self._exchange({"op": "tap", "name": name}, ())
        return fds[0]

    async def resolver_sockets(self) -> tuple[socket.socket, socket.socket]:
        """Return a UDP socket and a TCP listener on port 53 inside the namespace."""
        _, fds = await self._exchange({"op": "sockets"}, ())
        datagrams, streams = (socket.socket(fileno=fd) for fd in fds)
        return datagrams, streams

    async def change(self, batch: Batch) -> None:
        """Apply a batch; its sockets are the keeper's afterwards. Raises Failure."""
        request: dict[str, object] = {
            "op": "change",
            "sysctl": batch.sysctl,
            "netlink": batch.links,
            "nft": "\n".join(batch.nft),
            "close": batch.close,
            "retarget": batch.retarget,
            "open": batch.relays,
        }
        try:
            await self._exchange(request, [each.fileno() for each in batch.sockets])
        finally:
            for each in batch.sockets:
                each.close()

    async def close(self, *, end: bool) -> None:
        """Disconnect; with `end` the keeper and its namespace end first."""
        if self._connection is None:
            return
        if end:
            with contextlib.suppress(Failure, Unavailable, TimeoutError):
                await self.ask("end")
                async with asyncio.timeout(_END_S):
                    await self._closed.wait()
        self._disconnect()

    def _connect(self, path: Path) -> bool:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with _short(path) as short:
                connection.connect(short)
        except OSError:
            connection.close()
            return False
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._connection = connection
        self._closed.clear()
        asyncio.get_running_loop().add_reader(connection.fileno(), self._receive)
        return True

    async def _begin(self, path: Path) -> None:
        await self._start(path)
        if not self._connect(path):
            raise Unavailable("the keeper of the pods' network ended at once")

    async def _start(self, path: Path) -> None:
        listener = _listen(path)
        log = os.open(self._run_dir / _LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            numbers = (listener.fileno(), log)
            command = [sys.executable, "-I", "-S", "-c", _CODE]
            program = await choose_uplink()
            argv = [*command, str(_SOURCE), *map(str, numbers), program, str(self._run_dir)]
            await run(argv, timeout_s=_START_S, pass_fds=numbers)
        except ProcessError as err:
            said = err.stderr.strip().splitlines()[-1:] or [f"status {err.status}"]
            raise Unavailable(f"no network namespace for pods: {said[0]}") from err
        finally:
            listener.close()
            os.close(log)

    async def _exchange(
        self, request: dict[str, object], fds: Sequence[int]
    ) -> tuple[dict[str, Any], list[int]]:
        if self._connection is None:
            raise Unavailable("the keeper of the pods' network has ended: restart hyperd")
        self._serial += 1
        number = self._serial
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            packet = json.dumps({"id": number, **request}).encode()
            socket.send_fds(self._connection, [packet], list(fds))
            async with asyncio.timeout(_ASK_S):
                reply, given = await answer
        except TimeoutError:
            raise Unavailable("the keeper of the pods' network does not answer") from None
        except OSError as err:
            raise Unavailable(f"cannot reach the keeper of the pods' network: {err}") from err
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise Failure(f"cannot change the pods' network: {reply['error']}")
        result: dict[str, Any] = reply["result"]
        return result, given

    def _receive(self) -> None:
        assert self._connection is not None
        try:
            packet, fds = self._read(self._connection)
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            self._disconnect()
            return
        reply: dict[str, Any] = json.loads(packet)
        answer = self._waiting.pop(reply["id"], None)
        if answer is not None and not answer.done():
            answer.set_result((reply, fds))
            return
        for fd in fds:  # whoever asked was cancelled
            os.close(fd)

    def _read(self, connection: socket.socket) -> tuple[bytes, list[int]]:
        """Return a packet and its descriptors; note who sent it (unix(7), SCM_CREDENTIALS)."""
        space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * _DESCRIPTORS)
        packet, ancillary, _, _ = connection.recvmsg(_PACKET_BYTES, space)
        fds: list[int] = []
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS:
                fds += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
            elif kind == socket.SCM_CREDENTIALS and packet:
                self.keeper_pid = _CREDENTIALS.unpack(data)[0]
        return packet, fds

    def _disconnect(self) -> None:
        self._closed.set()
        self.keeper_pid = 0
        if self._connection is None:
            return
        asyncio.get_running_loop().remove_reader(self._connection.fileno())
        self._connection.close()
        self._connection = None
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_result(({"error": "the keeper has ended"}, []))


async def choose_uplink() -> str:
    """Return the program that leads to the world here, "" if none is installed."""
    pasta, slirp = uplink.find("pasta"), uplink.find("slirp4netns")
    if pasta and slirp and await flaw_of(pasta):
        return slirp
    return pasta or slirp


async def flaw_of(program: str) -> str:
    """Return what is wrong with an uplink's program, "" if nothing is known."""
    if not program.endswith("pasta"):
        return ""
    try:
        version = await run([program, "--version"], timeout_s=_VERSION_S)
    except HyperError as err:
        _log.warning("cannot tell which pasta this is: %s", err)
        return ""
    return uplink.FLAW if uplink.is_flawed(version.decode(errors="replace")) else ""


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _short(path) as short:
        listener.bind(short)
    path.chmod(0o600)
    listener.listen(4)
    return listener


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name of a socket that may be longer than sun_path (108 bytes)."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
