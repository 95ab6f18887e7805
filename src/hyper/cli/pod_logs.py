"""The output of many containers on one screen: a thread for each, whole lines, names before them.

Fetches; what is fetched and how is its caller's.
"""

import _thread

from hyper.cli import streams
from hyper.core.errors import HyperError
from hyper.sdk import answers
from hyper.sdk.address import Address
from hyper.sdk.daemon import Daemon
from hyper.sdk.frames import STDERR, FrameDecoder
from hyper.sdk.http1 import path_of
from hyper.sdk.transport import Response

_COLORS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class PodLogs:
    """The containers of a pod whose output is printed."""

    __slots__ = (
        "_address",
        "_color",
        "_containers",
        "_done",
        "_failure",
        "_left",
        "_lock",
        "prefixed",
    )  # fmt: skip

    def __init__(
        self, daemon: Daemon, containers: "list[dict[str, object]]", *, color: bool
    ) -> None:
        self._address: Address = daemon.address
        self._containers = containers
        self._color = color
        self._lock = _thread.allocate_lock()
        self._done = _thread.allocate_lock()
        self._left = len(containers)
        self._failure: HyperError | None = None
        self.prefixed = True

    def run(self, query: "dict[str, object]") -> None:
        """Print until every container's output has ended. Raises what the first failure raised."""
        if not query["follow"]:
            for at in range(len(self._containers)):
                self._copy(at, self._open(at, query))
            return
        if not self._containers:
            return
        self._done.acquire()
        for at in range(len(self._containers)):
            _thread.start_new_thread(self._follow, (at, self._open(at, query)))
        self._done.acquire()
        if self._failure is not None:
            raise self._failure

    def _open(self, at: int, query: "dict[str, object]") -> Response:
        identifier = answers.text(self._containers[at], "Id")
        daemon = Daemon(self._address, start=False)
        return daemon.open("GET", path_of("containers", identifier, "/logs"), query)

    def _follow(self, at: int, response: Response) -> None:
        try:
            self._copy(at, response)
        except HyperError as err:
            self._failure = self._failure or err
        except OSError:
            self._left = 0  # nobody reads us any more
        with self._lock:
            self._left -= 1
            last = self._left <= 0
        if last and self._done.locked():
            self._done.release()

    def _copy(self, at: int, response: Response) -> None:
        prefix = self._prefix(at)
        raw = "raw-stream" in response.headers.get("content-type", "")
        decoder = FrameDecoder()
        pending = {1: b"", 2: b""}
        for piece in response.pieces():
            pairs = [(1, piece)] if raw else decoder.feed(piece)
            for stream, data in pairs:
                target = 2 if stream == STDERR else 1
                *lines, pending[target] = (pending[target] + data).split(b"\n")
                self._put(target, prefix, lines)
        for target, rest in pending.items():
            if rest:
                self._put(target, prefix, [rest])

    def _prefix(self, at: int) -> bytes:
        if not self.prefixed:
            return b""
        width = max(len(answers.text(item, "NameInPod")) for item in self._containers)
        text = f"{answers.text(self._containers[at], 'NameInPod'):<{width}} | "
        if self._color:
            text = f"\x1b[{_COLORS[at % len(_COLORS)]}m{text}\x1b[0m"
        return text.encode()

    def _put(self, target: int, prefix: bytes, lines: "list[bytes]") -> None:
        if lines:
            with self._lock:
                streams.write_all(target, b"".join(prefix + line + b"\n" for line in lines))
