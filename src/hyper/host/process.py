"""Helper programs and VMMs as child processes: the only user of `subprocess`.

Does not know what the programs do. Children are awaited through pidfds on the running loop, so no
asyncio child watcher is involved and no thread waits (on Python 3.11 the default watcher starts one
thread per child).
"""

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import IO

from hyper.core.errors import ProcessError, Timeout, Unavailable
from hyper.host.pidfd import PidHandle, start_time_ticks

__all__ = ["PIPE", "PidHandle", "Process", "find_program", "run", "spawn", "start_time_ticks"]

PIPE = subprocess.PIPE
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8"}
STDERR_TAIL_BYTES = 8192
STDOUT_LIMIT_BYTES = 64 * 1024 * 1024
GRACE_S = 2.0

_PACKAGES = {
    "e2fsck": "e2fsprogs",
    "ip": "iproute2",
    "mkfs.erofs": "erofs-utils",
    "mkfs.ext4": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "mksquashfs": "squashfs-tools",
    "newgidmap": "uidmap",
    "newuidmap": "uidmap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "pasta": "passt",
    "qemu-img": "qemu-utils",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "slirp4netns": "slirp4netns",
    "sqfstar": "squashfs-tools",
    "unshare": "util-linux",
    "unsquashfs": "squashfs-tools",
}

_IF_NOT_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"; exit 137'

Argv = Sequence[str | os.PathLike[str]]
Child = subprocess.Popen[bytes]

_log = logging.getLogger("host.process")


def find_program(name: str) -> str:
    """Return the absolute path of a program of the fixed search path, or `name` if it is a path.

    Raises Unavailable, naming the Debian package when it is known.
    """
    if "/" in name and os.access(name, os.X_OK):
        return name
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        package = _PACKAGES.get(os.path.basename(name))
        advice = f": install the package {package}" if package else ""
        raise Unavailable(f"the program {name} is missing{advice}")
    return found


class Process:
    """One child. `stdin`, `stdout`, `stderr` are streams where spawn() was given PIPE."""

    def __init__(self, argv: tuple[str, ...], child: "Child", group: bool) -> None:
        self.argv = argv
        self.pid = child.pid
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._child = child
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int] = self._loop.create_future()
        self._transports: list[asyncio.BaseTransport] = []
        self._pidfd = os.pidfd_open(child.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pidfd(self) -> int:
        """The descriptor of the process, -1 once it was reaped or let go."""
        return self._pidfd

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._status.result() if self._status.done() else None

    async def wait(self) -> int:
        """Return the exit status when the process has ended; negative for a signal."""
        return await asyncio.shield(self._status)

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, and to what it started when it leads its own session."""
        if self._status.done():
            return
        with contextlib.suppress(ProcessLookupError):
            # Not reaped yet, so neither the number nor the group can belong to anybody else.
            (os.killpg if self._group else os.kill)(self.pid, number)

    async def terminate(self, grace_s: float = GRACE_S) -> int:
        """End the process: SIGTERM, after `grace_s` SIGKILL. Returns its status."""
        if grace_s > 0:
            self.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    return await self.wait()
        self.send_signal(signal.SIGKILL)
        return await self.wait()

    def close(self) -> None:
        """Let go: close the streams; the process, if it still runs, lives on without us."""
        for transport in self._transports:
            transport.close()
        if not self._status.done():
            self._forget_pidfd()
            self._status.cancel()
            self._child.returncode = 0  # keeps Popen.__del__ from warning: this is on purpose

    def _reap(self) -> None:
        status = self._child.poll()
        if status is None:
            return
        self._forget_pidfd()
        self._status.set_result(status)

    def _forget_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def _connect_pipes(self) -> None:
        child, loop = self._child, self._loop
        if child.stdin is not None:
            protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
            transport, _ = await loop.connect_write_pipe(lambda: protocol, child.stdin)
            self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
            self._transports.append(transport)
        if child.stdout is not None:
            self.stdout = await self._connect_reader(child.stdout)
        if child.stderr is not None:
            self.stderr = await self._connect_reader(child.stderr)

    async def _connect_reader(self, pipe: IO[bytes]) -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self._loop.connect_read_pipe(lambda: protocol, pipe)
        self._transports.append(transport)
        return reader


async def spawn(
    argv: Argv,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
    parent_death_signal: bool,
    new_session: bool = True,
) -> Process:
    """Start a program. For a stream None is /dev/null, PIPE a pipe of ours, else a descriptor.

    With `parent_death_signal` it dies (SIGKILL) with this daemon; without, it outlives it. The
    caller waits for it or closes it. Raises Unavailable when the program is missing.
    """
    streams = (stdin, stdout, stderr)
    child = _start(argv, env, cwd, streams, pass_fds, parent_death_signal, new_session)
    process = Process(_strings(argv), child, new_session)
    try:
        await process._connect_pipes()
    except BaseException:
        process.send_signal(signal.SIGKILL)
        raise
    return process


async def run(
    argv: Argv,
    *,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout_s: float = 60.0,
    pass_fds: Sequence[int] = (),
) -> bytes:
    """Run a program to its end and return what it wrote to standard output.

    It is killed when the caller is cancelled, and dies with the daemon. Raises ProcessError when it
    ends badly (with the tail of its stderr), Timeout, and Unavailable when it is missing.
    """
    with contextlib.ExitStack() as stack:
        stdin = stack.enter_context(_memory_file(input)) if input is not None else None
        child = _start(argv, env, cwd, (stdin, PIPE, PIPE), pass_fds, True, True)
        process = Process(_strings(argv), child, group=True)
        assert child.stdout is not None and child.stderr is not None
        stdout, stderr = (
            stack.enter_context(contextlib.closing(_Collector(pipe, limit)))
            for pipe, limit in (
                (child.stdout, STDOUT_LIMIT_BYTES),
                (child.stderr, STDERR_TAIL_BYTES),
            )
        )
        try:
            async with asyncio.timeout(timeout_s):
                status = await process.wait()
        except TimeoutError:
            await process.terminate()
            raise Timeout(shlex.join(process.argv[:3]), timeout_s) from None
        except asyncio.CancelledError:
            process.send_signal(signal.SIGKILL)  # reaped by the loop
            raise
        output, said = stdout.finish(), stderr.finish()
    if status != 0 or stdout.cut:
        text = said.decode(errors="replace")
        if status == 0:
            text = f"more than {STDOUT_LIMIT_BYTES} bytes of output"
        _log.debug("status %d: %s: %s", status, shlex.join(process.argv), text)
        raise ProcessError(process.argv, status, text)
    return output


class _Collector:
    """The last `limit` bytes a child writes into a pipe, read as they come."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        self.cut = False
        self._pipe = pipe
        self._limit = limit
        self._data = bytearray()
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self._read)

    def finish(self) -> bytes:
        """Return what was written up to now, whoever may still hold the other end."""
        while self._read():
            pass
        self._trim(self._limit)
        return bytes(self._data)

    def close(self) -> None:
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()

    def _read(self) -> bool:
        if self._pipe.closed:
            return False
        try:
            chunk = os.read(self._pipe.fileno(), 65536)
        except BlockingIOError:
            return False
        if not chunk:
            self.close()
            return False
        self._data += chunk
        self._trim(2 * self._limit)  # seldom, so that a flood is not shifted at every read
        return True

    def _trim(self, bound: int) -> None:
        if len(self._data) > bound:
            self.cut = True
            del self._data[: -self._limit]


def _start(
    argv: Argv,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    streams: tuple[int | None, int | None, int | None],
    pass_fds: Sequence[int],
    parent_death_signal: bool,
    new_session: bool,
) -> "Child":
    name, *arguments = _strings(argv)
    command = [find_program(name), *arguments]
    environment = ENVIRONMENT if env is None else dict(env)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s", _replayable(command, environment, cwd))
    if parent_death_signal:
        command = [*_death_signal_prefix(), str(os.getpid()), *command]
    stdin, stdout, stderr = (subprocess.DEVNULL if s is None else s for s in streams)
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=environment,
            pass_fds=tuple(pass_fds),
            start_new_session=new_session,
            bufsize=0,
        )
    except OSError as err:
        raise Unavailable(f"cannot start {command[0]}: {os.strerror(err.errno or 0)}") from err


def _strings(argv: Argv) -> tuple[str, ...]:
    return tuple(os.fspath(argument) for argument in argv)


@cache
def _death_signal_prefix() -> tuple[str, ...]:
    # A preexec_fn with prctl(2) would do the same, but makes Python fork instead of vfork: 18 ms in
    # a process of 200 MB, 44 ms in one of 600 MB, where this costs two more execs of about 1 ms.
    # No signal comes for a parent that ended before it was asked for: the shell looks who it is.
    setpriv, shell = find_program("setpriv"), find_program("sh")
    return (setpriv, "--pdeathsig", "KILL", "--", shell, "-c", _IF_NOT_ORPHANED)


def _replayable(
    command: Sequence[str], env: Mapping[str, str], cwd: str | os.PathLike[str] | None
) -> str:
    place = f"cd {shlex.quote(os.fspath(cwd))} && " if cwd is not None else ""
    variables = "".join(f"{key}={shlex.quote(value)} " for key, value in env.items())
    return f"{place}env -i {variables}{shlex.join(command)}"


@contextlib.contextmanager
def _memory_file(content: bytes) -> Iterator[int]:
    """Give `content` as a descriptor to read from: no pipe to feed, so no task and no deadlock."""
    descriptor = os.memfd_create("input")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
