"""Checks of what a guest says, beyond its being well-formed: the guest may be hostile.

Raises ProtocolError where a value cannot be true, and cuts texts to what a log or a user can bear.
"""

import errno

from hyper.agent.messages import (
    PROTOCOL_VERSION,
    STREAM_WINDOW,
    Error,
    Log,
    ProcessExited,
    ProtocolError,
    Welcome,
)
from hyper.core.errors import GuestError, Unsupported

PROCESS_ID_MAX = 2**29
TEXT_MAX = 1024
PROCESSES_MAX = 4096
_ERRNO_MAX = 4095  # linux/err.h: MAX_ERRNO
_SIGNAL_MAX = 64  # signal.h: _NSIG


def printable(text: str) -> str:
    """Return a guest's text without what could steer a terminal, and not too long."""
    cut = text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "..."
    return "".join(char if char.isprintable() else "?" for char in cut)


def guest_error(error: Error) -> GuestError:
    """Return the exception of a guest's error reply."""
    number = error.errno if 0 < error.errno <= _ERRNO_MAX else errno.EPROTO
    return GuestError(number, printable(error.step), printable(error.object))


def checked_log(log: Log) -> Log:
    """Return a log line that is safe to show."""
    return Log(min(log.level, 7), printable(log.text))


def check_exit(exited: ProcessExited) -> ProcessExited:
    """Return the event if it can be true."""
    _check_status(exited.process_id, exited.exit_code, exited.signal)
    return exited


def check_welcome(welcome: Welcome, nonce: bytes) -> Welcome:
    """Return the guest's answer to our hello if it can be true.

    Raises Unsupported when the guest speaks another version.
    """
    if welcome.nonce != nonce:
        raise ProtocolError("welcome does not carry our nonce")
    if welcome.version != PROTOCOL_VERSION:
        raise Unsupported(
            f"the guest's init speaks version {welcome.version} of the agent protocol, "
            f"this daemon version {PROTOCOL_VERSION}: use the init that came with this Hyper"
        )
    if len(welcome.processes) > PROCESSES_MAX:
        raise ProtocolError(f"welcome lists {len(welcome.processes)} processes")
    for process in welcome.processes:
        _check_status(process.process_id, process.exit_code, process.signal)
        if max(process.stdout_acked, process.stderr_acked) > 2**64 - 1 - STREAM_WINDOW:
            raise ProtocolError(f"process {process.process_id} acknowledges impossible offsets")
    if len({process.process_id for process in welcome.processes}) != len(welcome.processes):
        raise ProtocolError("welcome lists a process twice")
    return welcome


def _check_status(process_id: int, exit_code: int, signal: int) -> None:
    if not 0 < process_id <= PROCESS_ID_MAX:
        raise ProtocolError(f"process id {process_id}")
    if exit_code > 255 or signal > _SIGNAL_MAX:
        raise ProtocolError(f"process {process_id}: exit code {exit_code}, signal {signal}")
