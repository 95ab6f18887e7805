"""The process that holds the pods' network namespace, and does what can only be done inside it.

It outlives the daemon, so that pods keep their network and their published ports; it ends when told
to, or when nobody is connected and no pod is left. Standard library only. It knows taps, routes,
nftables and sockets, no pods; how it comes into being is `birth`.

Protocol, over one SOCK_SEQPACKET connection: a JSON object per packet, descriptors beside it; a
reply repeats "id" and has "error" or "result":

    {"op": "hello"}                 -> {"taps": [...], "relays": [...], "uplink": program,
                                        "ipv6": bool, "uplink6": bool, "shared": bool}
    {"op": "tap", "name"}           -> {} and its descriptor
    {"op": "sockets"}               -> {} and a UDP socket and a TCP listener on port 53
    {"op": "change", "netlink": [...], "nft": text, "sysctl": [[path, value]...],
     "close": [key...], "retarget": [[key, host]...],
     "open": [{"key", "protocol", "host", "port", "sources"}...]} -> {}
        all that was given is done in the order close, sysctl, netlink, nft, retarget, open; each
        "open" takes one descriptor, a bound socket of the host
    {"op": "names", "change": {...}}-> a directory.Change; with "id" 0 there is no answer
    {"op": "end"}                   -> {} and the keeper ends
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any, ClassVar

from hyper.network import nft, uplink
from hyper.network.fallback import FallbackResolver
from hyper.network.netlink import Netlink, link_events
from hyper.network.relay import Relay, make_relay, sources

PACKET_BYTES = 1 << 17
MAX_DESCRIPTORS = 253  # SCM_MAX_FD, linux/net/scm.h
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000
_FIRST_S = 30.0
TUN_DEVICE = "/dev/net/tun"
_SYSCTLS = (
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/rp_filter", "1"),
    ("net/ipv4/conf/default/proxy_arp", "1"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    ("net/ipv4/conf/default/accept_redirects", "0"),
    ("net/ipv4/ip_local_port_range", "1024 65535"),
)
_SYSCTLS6 = (
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/accept_redirects", "0"),
    ("net/ipv6/conf/all/forwarding", "1"),
)

Request = dict[str, Any]


class Keeper:
    """The namespace this process is in: what is configured there, and who asks for changes."""

    def __init__(self, program: str, uplink6: bool) -> None:
        self._ipv6 = os.path.exists("/proc/sys/net/ipv6")
        self._uplink6 = uplink6 and self._ipv6
        for path, value in (*_SYSCTLS, *(_SYSCTLS6 if self._ipv6 else ())):
            _sysctl(path, value)
        self._program = program
        self._uplink_index = 0
        """The uplink that has IPv6 already; each has another when it comes back."""
        self._netlink = Netlink()
        self._netlink.apply([["up", "lo"], ["address", "lo", uplink.RESOLVER, 32]])
        self._ruleset = nft.Ruleset()
        self._ruleset.run(nft.base(uplink.subnets(program)))
        self._shared = self._share_uplink()
        self._check_tap()
        self._fallback = FallbackResolver(uplink.RESOLVER)
        self._relays: dict[str, Relay] = {}
        self._control: socket.socket | None = None
        self._served = False
        self._end = asyncio.Event()
        self._tasks: asyncio.TaskGroup

    async def serve(self, listener: socket.socket) -> None:
        """Serve one daemon after the other, until told to end or of no use to anybody."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end.set)
        listener.setblocking(False)
        loop.add_reader(listener.fileno(), self._accept, listener)
        events = link_events()
        loop.add_reader(events.fileno(), self._links_changed, events)
        self._complete_uplink()  # it may have been faster than we
        loop.call_later(_FIRST_S, self._give_up)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._end.wait()
            self._fallback.close()
            for relay in self._relays.values():
                relay.close()

    def _share_uplink(self) -> bool:
        """See to it that no pod can take all connections the uplink has; tell whether it is so."""
        most = uplink.connections(self._program)
        try:
            self._ruleset.run(nft.share_uplink(most // 2) if most else "")
        except OSError:
            return False
        return True

    def _check_tap(self) -> None:
        os.close(_open_tap("hyprobe"))

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)
        self._served = True
        self._hang_up()  # the daemon before is dead: there is one at a time
        self._fallback.forget()
        self._control = connection
        asyncio.get_running_loop().add_reader(connection.fileno(), self._receive)

    def _hang_up(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
            self._fallback.take_over(self._tasks)

    def _links_changed(self, events: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while events.recv(1 << 16):
                pass
        self._complete_uplink()
        self._end_if_useless()

    def _complete_uplink(self) -> None:
        if not self._uplink6:
            return
        index = self._netlink.links().get(nft.UPLINK, 0)
        if index in (0, self._uplink_index):
            return
        with contextlib.suppress(OSError):  # it is not up yet: there will be another event
            self._netlink.apply(uplink.changes6(self._program))
            self._uplink_index = index

    def _give_up(self) -> None:
        if not self._served:  # the daemon died while it started us
            self._end.set()

    def _end_if_useless(self) -> None:
        if self._served and self._control is None and not self._taps():
            self._end.set()

    def _taps(self) -> list[str]:
        return [name for name in self._netlink.links() if name.startswith("hy")]

    def _receive(self) -> None:
        assert self._control is not None
        try:
            packet, fds, _, _ = socket.recv_fds(self._control, PACKET_BYTES, MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            self._hang_up()
            self._end_if_useless()
            return
        request: Request = json.loads(packet)
        reply: Request = {"id": request["id"]}
        given: list[int] = []
        try:
            reply["result"], given = self._operations[request["op"]](self, request, fds)
        except OSError as err:
            reply["error"] = f"{err.filename or request['op']}: {err.strerror}"
        except Exception as err:  # the boundary of a request: one must not end the keeper
            reply["error"] = repr(err)
        finally:
            for fd in fds:
                with contextlib.suppress(OSError):
                    os.close(fd)
        with contextlib.suppress(OSError):
            if not reply["id"]:
                return
            socket.send_fds(self._control, [json.dumps(reply).encode()], given)
        for fd in given:
            os.close(fd)

    def _hello(self, request: Request, fds: list[int]) -> tuple[Request, list[int]]:
        reply: Request = {"taps": self._taps(), "relays": list(self._relays)}
        reply |= {"uplink": self._program, "ipv6": self._ipv6, "uplink6": self._uplink6}
        reply["shared"] = self._shared
        return reply, []

    def _tap(self, request: Request, fds: list[int]) -> tuple[Request, list[int]]:
        name = request["name"]
        tap = _open_tap(name)
        # A guest asks for its neighbours by ARP and gets its answer from us at once.
        _sysctl(f"net/ipv4/neigh/{name}/proxy_delay", "0")
        if self._ipv6:
            _sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")  # until it is on a network with it
        return {}, [tap]

    def _sockets(self, request: Request, fds: list[int]) -> tuple[Request, list[int]]:
        return {}, self._fallback.step_back()

    def _names(self, request: Request, fds: list[int]) -> tuple[Request, list[int]]:
        self._fallback.note(request["change"])
        return {}, []

    def _change(self, request: Request, fds: list[int]) -> tuple[Request, list[int]]:
        for key in request.get("close", ()):
            if relay := self._relays.pop(key, None):
                relay.close()
        for path, value in request.get("sysctl", ()):
            _sysctl(path, value)
        self._netlink.apply(request.get("netlink", ()))
        self._ruleset.run(request.get("nft", ""))
        for key, host in request.get("retarget", ()):
            if relay := self._relays.get(key):
                relay.target = host, relay.target[1]
        for wanted in request.get("open", ()):
            listener = socket.socket(fileno=fds.pop(0))
            target = wanted["host"], wanted["port"]
            self._relays[wanted["key"]] = make_relay(
                wanted["protocol"], listener, target, self._tasks, sources(wanted["sources"])
            )
        return {}, []

    def _finish(self, request: Request, fds: list[int]) -> tuple[Request, list[int]]:
        self._end.set()
        return {}, []

    _operations: ClassVar[dict[str, Callable[..., tuple[Request, list[int]]]]] = {
        "hello": _hello,
        "tap": _tap,
        "sockets": _sockets,
        "names": _names,
        "change": _change,
        "end": _finish,
    }


def _open_tap(name: str) -> int:
    tap = os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError as err:
        os.close(tap)
        raise OSError(err.errno, err.strerror, f"tap {name}") from err
    return tap


def _sysctl(path: str, value: str) -> None:
    with open(f"/proc/sys/{path}", "w") as file:
        file.write(value)
