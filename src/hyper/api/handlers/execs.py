"""Owns /exec and /containers/{id}/exec: additional processes in running containers."""

from collections.abc import Mapping

from aiohttp import web

from hyper.api.call import Call, json_response
from hyper.api.handlers.containers_io import terminal_size
from hyper.api.hijack import MULTIPLEXED, RAW, Hijack, RawChannel, detach_parser, run_session
from hyper.core.errors import Conflict, HyperError, InvalidArgument
from hyper.core.spec import ExecSpec
from hyper.core.values import (
    read_bool,
    read_int,
    read_list,
    read_string,
    read_strings,
    read_words,
)
from hyper.engine.states import ContainerState
from hyper.engine.views import ExecView


async def create(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/exec"""
    body = await call.body()

    def flag(name: str) -> bool:
        return read_bool(body.get(name) or False, name)

    command = read_words(body.get("Cmd"), "Cmd")
    if not command:
        raise InvalidArgument("No exec command specified")
    spec = ExecSpec(
        command=command,
        env=read_strings(body.get("Env"), "Env"),
        working_dir=read_string(body.get("WorkingDir") or "", "WorkingDir"),
        user=read_string(body.get("User") or "", "User"),
        tty=flag("Tty"),
        attach_stdin=flag("AttachStdin"),
        attach_stdout=flag("AttachStdout"),
        attach_stderr=flag("AttachStderr"),
        privileged=flag("Privileged"),
        detach_keys=read_string(body.get("DetachKeys") or "", "DetachKeys"),
        console_size=_console_size(call, body),
    )
    detach_parser(spec.detach_keys, spec.tty)
    exec_id = await call.engine.sessions.exec_create(call.parameters["id"], spec)
    return json_response({"Id": exec_id}, 201)


async def start(call: Call) -> web.StreamResponse:
    """POST /exec/{id}/start

    The head goes out before the process starts, as with dockerd: docker-py loses output that comes
    in one piece with the head. So what fails then is shown as output, and inspect has the status.
    """
    body = await call.body(required=False)
    view = call.engine.sessions.exec_inspect(call.parameters["id"])
    _check_startable(call, view)
    given = _console_size(call, body)
    rows, columns = given if any(given) else view.spec.console_size
    if read_bool(body.get("Detach") or False, "Detach"):
        await call.engine.sessions.exec_start(view.id, detach=True, rows=rows, columns=columns)
        return web.Response()
    spec = view.spec
    # As dockerd, by what the start says: a client that asks for frames gets a terminal's output so.
    framed = not read_bool(body.get("Tty") or False, "Tty")
    hijack = Hijack(call, MULTIPLEXED if framed and call.version >= (1, 42) else RAW)
    channel = RawChannel(hijack, framed=framed, patient=True)
    await hijack.prepare(call.request)
    try:
        session = await call.engine.sessions.exec_start(
            view.id, detach=False, rows=rows, columns=columns
        )
    except HyperError as err:
        await channel.send(1, f"{err}\r\n".encode())
        return hijack
    assert session is not None
    detach = detach_parser(spec.detach_keys, spec.tty)
    await run_session(session, channel, stdin=spec.attach_stdin, detach=detach)
    return hijack


def _console_size(call: Call, body: Mapping[str, object]) -> tuple[int, int]:
    """Return rows and columns of a terminal, zeros for none. Raises InvalidArgument."""
    size = read_list(body.get("ConsoleSize"), "ConsoleSize") or [0, 0]
    if len(size) != 2:
        raise InvalidArgument("ConsoleSize: two integers are needed: rows and columns")
    rows, columns = (read_int(item, "ConsoleSize") for item in size)
    if not (0 <= rows < 1 << 16 and 0 <= columns < 1 << 16):
        raise InvalidArgument("ConsoleSize: a size between 0 and 65535 is needed")
    return (rows, columns) if call.version >= (1, 42) else (0, 0)


def _check_startable(call: Call, view: ExecView) -> None:
    if view.exit_code is not None:
        raise Conflict(f"Error: Exec command {view.id} has already run")
    if view.running:
        raise Conflict(f"Error: Exec command {view.id} is already running")
    container = call.engine.containers.get(view.container_id)
    if container.state is not ContainerState.RUNNING:
        raise Conflict(f"Container {container.id} is not running")


async def resize(call: Call) -> web.StreamResponse:
    """POST /exec/{id}/resize"""
    rows, columns = terminal_size(call)
    await call.engine.sessions.exec_resize(call.parameters["id"], rows, columns)
    return web.Response()


async def inspect(call: Call) -> web.StreamResponse:
    """GET /exec/{id}/json"""
    view = call.engine.sessions.exec_inspect(call.parameters["id"])
    spec = view.spec
    return json_response(
        {
            "ID": view.id,
            "Running": view.running,
            "ExitCode": view.exit_code,
            "ProcessConfig": {
                "tty": spec.tty,
                "entrypoint": spec.command[0],
                "arguments": list(spec.command[1:]),
                "privileged": spec.privileged,
                "user": spec.user,
            },
            "OpenStdin": spec.attach_stdin,
            "OpenStderr": spec.attach_stderr,
            "OpenStdout": spec.attach_stdout,
            "CanRemove": False,
            "ContainerID": view.container_id,
            "DetachKeys": "",
            "Pid": view.pid,
        }
    )
