"""Starts hyperd on first use and waits until it serves. Does not choose its options: defaults are
the daemon's.

The wait is on a pipe, never a poll: hyperd writes one byte to --ready-fd when its socket answers,
and the pipe's end tells that it died instead. A lock makes one of many simultaneous callers do it.
"""

import fcntl
import os
import sys

from hyper.sdk.address import Address, run_dir
from hyper.sdk.errors import DaemonUnavailable, StartFailed
from hyper.sdk.transport import Socket, connect

_TAIL_BYTES = 8192


def connect_or_start(address: Address, start: bool = True) -> Socket:
    """Connect to `address`; when nobody listens on the default socket, start hyperd first.

    Raises DaemonUnavailable, StartFailed.
    """
    try:
        return connect(address)
    except FileNotFoundError as err:
        if not start or os.environ.get("HYPER_AUTOSTART") == "0":
            raise DaemonUnavailable(address.text) from err
    directory = _private_directory(run_dir())
    lock = os.open(f"{directory}/autostart.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return connect(address)  # another caller was faster
        except FileNotFoundError:
            _start(f"{directory}/hyperd.log")
        return connect(address)
    except FileNotFoundError as err:
        raise DaemonUnavailable(address.text, "hyperd started, but serves another address") from err
    finally:
        os.close(lock)


def _private_directory(path: str) -> str:
    """Make `path` for this user alone; somebody else's directory is refused (it may be in /tmp)."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as err:
        raise StartFailed(
            f"cannot start hyperd: {path}: {(err.strerror or str(err)).lower()}"
        ) from err
    if status.st_uid != os.getuid() or (status.st_mode & 0o170000) != 0o040000:
        raise StartFailed(f"cannot start hyperd: {path} belongs to somebody else; remove it")
    return path


def daemon_command() -> list[str]:
    """Return the argv of this installation's hyperd."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0] or ".")), "hyperd")
    if os.path.basename(sys.argv[0]).startswith("hyper") and os.access(beside, os.X_OK):
        return [beside]
    beside = os.path.join(os.path.dirname(sys.executable), "hyperd")
    if os.access(beside, os.X_OK):
        return [beside]
    return [sys.executable, "-m", "hyper.daemon"]


def _environment(argv: list[str]) -> dict[str, str]:
    environment = dict(os.environ)
    if argv[0] == sys.executable:
        source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        environment["PYTHONPATH"] = source
    return environment


def _start(log_path: str) -> None:
    argv = daemon_command()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    log_start = os.fstat(log).st_size
    reader, writer = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.set_inheritable(writer, True)
        os.posix_spawn(
            argv[0],
            [*argv, "--ready-fd", str(writer)],
            _environment(argv),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inherited(writer)),
            ],
            setsid=True,
            setsigdef=(
                2,
                13,
                15,
            ),  # SIGINT, SIGPIPE, SIGTERM: a shell's background job ignores some
        )
    except OSError as err:
        raise StartFailed(
            f"cannot start hyperd: {argv[0]}: {(err.strerror or str(err)).lower()}"
        ) from err
    finally:
        for descriptor in (writer, null, log):
            os.close(descriptor)
    try:
        ready = os.read(reader, 1)
    finally:
        os.close(reader)
    if not ready:
        raise StartFailed(
            f"hyperd did not start: {_last_line(log_path, log_start)} (log: {log_path})"
        )


def _inherited(keep: int) -> list[int]:
    """Return what a shell left open for us: the daemon would hold its pipes open for ever."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if descriptor > 2 and descriptor != keep and os.get_inheritable(descriptor):
                found.append(descriptor)
        except OSError:
            pass  # the listing's own
    return found


def _last_line(path: str, start: int) -> str:
    """Return the last line hyperd wrote after `start`, for the user to see why."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        text = os.pread(descriptor, _TAIL_BYTES, max(start, size - _TAIL_BYTES))
    finally:
        os.close(descriptor)
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
