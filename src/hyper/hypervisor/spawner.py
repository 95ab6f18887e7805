"""The process that starts VMMs: one per daemon, single-threaded, standard library only.

Why a process of its own: entering user namespaces needs a single-threaded process, forking the
daemon itself costs time that grows with its memory, and a C launcher would need a compiler at
install time. It dies with the daemon; VMMs do not: each leads its own session.

Protocol, over one SOCK_SEQPACKET socket (descriptor 0): a JSON object per packet, descriptors
beside it (SCM_RIGHTS); each request has an "id" the reply repeats, and a reply has "error" or
"result":

    {"op": "launch", "argv", "environment", "zygote", "jail", "memory_fd", "nice"}
        -> {"pid"} and its pidfd
        The first descriptor becomes the VMM's 1 and 2, the others 3, 4...
    {"op": "fork", "name", "jail", "nice", "targets", "share", "tap"} -> {"pid"} and its pidfd
        A VMM from a zygote (host/vmfork), whose control socket is the first descriptor; the others
        take the places of its descriptors `targets`.
    {"op": "share_add", "pid", "name", "path", "read_only"} -> {}
    {"op": "share_seal", "pid", "name"} -> {}
    {"op": "share_remove", "pid", "name"} -> {}
    {"exited": pid, "status": waitpid's}           told when a VMM it started has ended

"jail" is null or the fields of launcher.Jail.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any, NoReturn

from hyper.host import namespaces as ns
from hyper.hypervisor import confine, shares

CONTROL_FD = 0
ANSWERS_FD = 900  # above all that a VMM is given, below the usual limit of 1024
PACKET_BYTES = 1 << 17
MAX_DESCRIPTORS = 253  # SCM_MAX_FD, linux/net/scm.h
MAX_OPEN_FILES = 4096
MAX_TARGETS = 16
FORK_REQUEST = struct.Struct(f"=IIQ{MAX_TARGETS}iii40s")  # struct request of host/vmfork/vmfork.h
FORK_S = 10.0

Request = dict[str, Any]


def main() -> None:
    """Serve the daemon until it closes its end."""
    control = socket.socket(fileno=CONTROL_FD)
    ns.prctl(ns.PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    while True:
        readable, _, _ = select.select([control.fileno(), wake_read], [], [])
        if wake_read in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            _report_exits(control)
        if control.fileno() in readable and not _serve(control):
            return


def _serve(control: socket.socket) -> bool:
    data, fds, _, _ = socket.recv_fds(control, PACKET_BYTES, MAX_DESCRIPTORS)
    if not data:
        return False
    request: Request = json.loads(data)
    reply: Request = {"id": request["id"]}
    given: list[int] = []
    try:
        result = reply["result"] = _OPERATIONS[request["op"]](request, fds)
        if "pid" in result:
            # Opened before the process can be reaped, so the daemon gets it even if it has ended.
            given = [os.pidfd_open(result["pid"])]
    except OSError as err:
        reply["error"] = f"{err.filename or request['op']}: {err.strerror}"
        reply["errno"] = err.errno
    except Exception as err:  # the boundary of a request: one must not end the spawner
        reply["error"] = repr(err)
    finally:
        for fd in fds:
            os.close(fd)
    socket.send_fds(control, [json.dumps(reply).encode()], given)
    for fd in given:
        os.close(fd)
    return True


def _report_exits(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        control.send(json.dumps({"exited": pid, "status": status}).encode())


def _launch(request: Request, fds: list[int]) -> Request:
    jail = request["jail"]
    answers, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        _guarded(child_end, lambda answers: _become(request, fds, answers))
    child_end.close()
    with answers:
        pid = child
        if jail is not None and not request["zygote"]:
            _expect(answers, "unshared")
            _map_ids(child, jail)
            answers.send(b"{}")
            pid = _expect(answers, "pid")["pid"]
        # The sockets of the child close on exec: no more packets means the VMM is running.
        _expect(answers, None)
    return {"pid": pid}


def _become(request: Request, fds: list[int], answers: socket.socket) -> None:
    jail = request["jail"]
    os.setsid()
    os.nice(request["nice"])
    if request["zygote"]:
        _become_zygote(jail)
    elif jail is not None:
        confine.join_cgroups(jail["cgroups"])
        confine.allow_locking(jail["locked_bytes"])
        if os.geteuid() == 0:
            confine.make_devices(jail["devices"], jail["first_id"])
        ns.unshare(_namespaces(jail))
        answers.send(b'{"unshared": true}')
        answers.recv(64)
        pid = os.fork()  # the first process of the new pid namespace
        if pid != 0:
            answers.send(json.dumps({"pid": pid}).encode())
            os._exit(0)
        if jail["drop_groups"]:
            os.setgroups([])
        ns.become_root()
        made = "tmp" if jail["first_id"] else "dev"
        confine.build_root(jail["devices"], made, system=jail["locked_bytes"] > 0)
        confine.limit(MAX_OPEN_FILES)
        confine.give_up_privileges(jail["capabilities"])
    else:
        ns.prctl(ns.PR_SET_NO_NEW_PRIVS, 1)
        confine.limit(MAX_OPEN_FILES)
    if request["memory_fd"] >= 0:
        confine.ignore_holes(request["memory_fd"])
    _arrange(fds)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.execve(request["argv"][0], request["argv"], request["environment"])


def _namespaces(jail: Request) -> int:
    flags = ns.CLONE_NEWUSER | ns.CLONE_NEWNS | ns.CLONE_NEWPID | ns.CLONE_NEWIPC
    return flags | (0 if jail["network"] else ns.CLONE_NEWNET)


def _become_zygote(jail: Request) -> None:
    """Become nobody, in the host's namespaces, for a user namespace is made from outside only.

    Nobody else's code ever runs in a zygote: what it guards against is a mistake.
    """
    if os.geteuid() == 0:
        ns.unshare(ns.CLONE_NEWIPC | (0 if jail["network"] else ns.CLONE_NEWNET))
        os.setgroups([])
        os.setresgid(*[jail["first_id"]] * 3)
        os.setresuid(*[jail["first_id"]] * 3)
    ns.prctl(ns.PR_SET_NO_NEW_PRIVS, 1)
    confine.limit(MAX_OPEN_FILES)


def _fork(request: Request, fds: list[int]) -> Request:
    """Have a zygote fork; give the child, which waits meanwhile, its jail."""
    jail, targets = request["jail"], request["targets"]
    filled = [*targets, *[-1] * (MAX_TARGETS - len(targets))]
    packet = FORK_REQUEST.pack(
        *(_namespaces(jail), len(targets), jail["capabilities"], *filled),
        *(request["share"], request["tap"], request["name"].encode()),
    )
    channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(FORK_S)
    with channel:
        with theirs, socket.socket(fileno=os.dup(fds[0])) as control:
            socket.send_fds(control, [packet], [theirs.fileno(), *fds[1:]])
        pid = _expect(channel, "pid")["pid"]
        try:
            os.setpriority(os.PRIO_PROCESS, pid, request["nice"])
            for path in jail["cgroups"]:
                with contextlib.suppress(OSError):
                    _write(path, str(pid))
            _map_ids(pid, jail)
            channel.send(b"mapped")
            _expect(channel, "ready")
            _in_child(lambda: _build_root_of(pid))
            channel.send(b"built")
            _expect(channel, None)  # all copies of its end are closed: it is a VMM now
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
    return {"pid": pid}


def _build_root_of(pid: int) -> None:
    """From outside, do for a process what `confine.build_root` does for the calling one."""
    kinds = (("user", ns.CLONE_NEWUSER), ("pid", ns.CLONE_NEWPID), ("mnt", ns.CLONE_NEWNS))
    spaces = [ns.open_of(pid, name) for name, _ in kinds]
    for space, (_, kind) in zip(spaces, kinds, strict=True):
        ns.setns(space, kind)
    # In one process more: /proc shows the pid namespace in which whoever mounts it was made.
    _in_child(_build_root)
    os.wait()  # else it stays the VMM's to reap


def _build_root() -> None:
    ns.become_root()
    confine.build_root((), "dev", system=False)


def _arrange(fds: list[int]) -> None:
    """Make descriptor 0 /dev/null, the first given 1 and 2, the others 3, 4...; close the rest."""
    base = 3 + MAX_DESCRIPTORS
    moved = [os.dup2(fd, base + number, inheritable=False) for number, fd in enumerate(fds)]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(moved[0], 1)
    os.dup2(moved[0], 2)
    for number, fd in enumerate(moved[1:], 3):
        os.dup2(fd, number)
    os.closerange(2 + len(fds), ANSWERS_FD)
    os.closerange(ANSWERS_FD + 1, MAX_OPEN_FILES)


def _map_ids(pid: int, jail: Request) -> None:
    if jail["helper"]:
        for program, arguments in jail["helper"]:
            argv = [program, str(pid), *arguments]
            helper = os.posix_spawn(program, argv, {})
            _, status = os.waitpid(helper, 0)
            if status:
                raise OSError(1, f"exited with status {os.waitstatus_to_exitcode(status)}", program)
        return
    if not jail["drop_groups"]:
        _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/gid_map", jail["gid_map"])
    _write(f"/proc/{pid}/uid_map", jail["uid_map"])


def _share_add(request: Request, fds: list[int]) -> Request:
    arguments = (request["pid"], request["name"], request["path"], request["read_only"])
    return _in_child(lambda: shares.add(*arguments))


def _share_seal(request: Request, fds: list[int]) -> Request:
    return _in_child(lambda: shares.seal(request["pid"], request["name"]))


def _share_remove(request: Request, fds: list[int]) -> Request:
    return _in_child(lambda: shares.remove(request["pid"], request["name"]))


def _in_child(action: Callable[[], None]) -> Request:
    """Run `action` in a process of its own, because it changes namespaces; raise what it raised."""
    answers, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        _guarded(child_end, lambda answers: action())
    child_end.close()
    with answers:
        _expect(answers, None)
    return {}


def _guarded(answers: socket.socket, action: Callable[[socket.socket], None]) -> NoReturn:
    """Run `action` in this child and exit; an error goes to the parent through `answers`."""
    os.dup2(answers.fileno(), ANSWERS_FD, inheritable=False)
    try:
        action(answers)
        os._exit(0)
    except OSError as err:
        what = {"error": err.strerror, "errno": err.errno, "what": err.filename}
    except Exception as err:
        what = {"error": repr(err), "errno": 0, "what": ""}
    with contextlib.suppress(OSError):
        os.write(ANSWERS_FD, json.dumps(what).encode())
    os._exit(127)


def _expect(answers: socket.socket, key: str | None) -> Request:
    data = answers.recv(PACKET_BYTES)
    if not data:
        if key is None:
            return {}
        raise OSError(0, "ended early", "the process that becomes the VMM")
    answer: Request = json.loads(data)
    if "error" in answer:
        raise OSError(answer["errno"], answer["error"], answer["what"])
    return answer


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


_OPERATIONS: dict[str, Callable[[Request, list[int]], Request]] = {
    "launch": _launch,
    "fork": _fork,
    "share_add": _share_add,
    "share_seal": _share_seal,
    "share_remove": _share_remove,
}

if __name__ == "__main__":
    main()
