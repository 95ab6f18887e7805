"""How the keeper of the pods' network comes into being: its namespaces, its user, its uplink.

Single-threaded, standard library only; entering a user namespace needs that. What the keeper then
does is in `keeper`.

    hyperd ── run ──> outer ── fork ──> inner: user and pid namespaces of its own
                      writes its maps     └─ fork ──> keeper (pid 1): a network namespace of its own
                      and ends                          └─ fork ──> uplink, in the host's

When the keeper ends, so does all in its pid namespace: the uplink.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
from typing import NoReturn

from hyper.host import limits
from hyper.host import namespaces as ns
from hyper.network import uplink
from hyper.network.keeper import TUN_DEVICE, Keeper

_ROOTS_ID = 0x6FFF0000  # the keeper of a root daemon: beside the ids of its VMMs (hypervisor.jail)
_OPEN_FILES = 16384  # two for a connection to a published port, which is 20 KiB of the keeper
_SUPERVISOR = 'while :; do "$@"; sleep 1; done'


def main() -> None:
    """Become the keeper. Arguments: the descriptors of the control socket and of the log.

    And the uplink's program, "" for none, and what its owner is told apart by in a list of
    processes: the run folder.
    """
    listener_fd, log_fd, program = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    parent, child = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        parent.close()
        _inner(child, listener_fd, log_fd, program)
    child.close()
    try:
        _expect(parent, b"unshared")
        _map_ids(pid)
        parent.send(b"mapped")
        _expect(parent, b"ready")
    except OSError as err:
        sys.exit(f"{err.filename}: {err.strerror}" if err.filename else str(err.strerror))


def _expect(answers: socket.socket, word: bytes) -> None:
    said = answers.recv(4096)
    if said != word:
        raise OSError(0, said.decode() or "it ended early", "the pods' network namespace")


def _map_ids(pid: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    host_uid, host_gid = (_ROOTS_ID, _ROOTS_ID) if uid == 0 else (uid, gid)
    if uid != 0:
        _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/gid_map", f"0 {host_gid} 1")
    _write(f"/proc/{pid}/uid_map", f"0 {host_uid} 1")


def _inner(answers: socket.socket, listener_fd: int, log_fd: int, program: str) -> NoReturn:
    try:
        os.setsid()
        os.chdir("/")
        if os.geteuid() == 0:
            _make_tun_device()
        ns.unshare(ns.CLONE_NEWUSER | ns.CLONE_NEWPID)
        answers.send(b"unshared")
        _expect(answers, b"mapped")
        if os.getuid() == 0:
            with contextlib.suppress(PermissionError):
                os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        if os.fork() == 0:
            _keeper(answers, listener_fd, log_fd, program)
    except OSError as err:
        answers.send(f"{err.filename or 'namespaces'}: {err.strerror}".encode())
        os._exit(1)
    os._exit(0)


def _make_tun_device() -> None:
    """As root, who becomes somebody else: make a node that somebody may open, for us alone."""
    ns.unshare(ns.CLONE_NEWNS)
    ns.mount("none", "/", "", ns.MS_REC | ns.MS_PRIVATE)
    number = os.stat(TUN_DEVICE).st_rdev
    ns.mount("tmpfs", "/dev/net", "tmpfs", ns.MS_NOSUID, "mode=0755,size=16k,nr_inodes=16")
    os.mknod(TUN_DEVICE, 0o020600, number)
    os.chown(TUN_DEVICE, _ROOTS_ID, _ROOTS_ID)


def _keeper(answers: socket.socket, listener_fd: int, log_fd: int, program: str) -> NoReturn:
    status = 1
    try:
        limits.allow_open_files(_OPEN_FILES)
        six = uplink.leads_out6(program)
        theirs, ours = socket.socketpair()
        if program and os.fork() == 0:
            _uplink(program, six, theirs, ours, log_fd)
        theirs.close()
        ns.unshare(ns.CLONE_NEWNET)
        keeper = Keeper(program, six)
        netns = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        socket.send_fds(ours, [b"netns"], [netns])
        os.close(netns)
        ours.close()
        answers.send(b"ready")
        answers.close()
        for number, target in ((0, os.open(os.devnull, os.O_RDWR)), (1, log_fd), (2, log_fd)):
            os.dup2(target, number)
        asyncio.run(keeper.serve(socket.socket(fileno=listener_fd)))
        status = 0
    except OSError as err:
        with contextlib.suppress(OSError):
            answers.send(f"{err.filename or 'namespace'}: {err.strerror}".encode())
    os._exit(status)


def _uplink(
    program: str, six: bool, theirs: socket.socket, ours: socket.socket, log_fd: int
) -> NoReturn:
    """In the host's network namespace, which the keeper itself can never enter again."""
    try:
        ours.close()
        _, fds, _, _ = socket.recv_fds(theirs, 16, 1)
        theirs.close()
        if fds:
            for number, target in ((0, os.open(os.devnull, os.O_RDWR)), (1, log_fd), (2, log_fd)):
                os.dup2(target, number)
            netns = fcntl.fcntl(fds[0], fcntl.F_DUPFD, 10)
            os.closerange(3, netns)
            os.closerange(netns + 1, _OPEN_FILES)
            limits.allow_open_files(uplink.SLIRP_FILES)  # pasta allows itself what it needs
            _supervise(program, six, netns)
    finally:
        os._exit(1)


def _supervise(program: str, six: bool, netns: int) -> NoReturn:
    """Run the uplink in this process's own (the host's) network namespace, again when it ends.

    `netns` is a descriptor of the pods' namespace. Never returns; dies with the keeper. It is a
    shell that waits: this fork of the interpreter would take 8 MiB as long as there are pods.
    """
    # A descriptor and not /proc/PID/ns/net: pasta has given up what is needed to open that.
    argv = uplink.arguments(program, f"/proc/self/fd/{netns}", six=six)
    os.set_inheritable(netns, True)
    # Python ignores SIGPIPE, and pasta refuses to start where it already is ignored.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve("/bin/sh", ["sh", "-c", _SUPERVISOR, "uplink", *argv], uplink.ENVIRONMENT)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
