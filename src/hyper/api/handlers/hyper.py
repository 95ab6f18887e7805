"""Owns /hyper/v1: what Docker has no words for, and `run` in one request."""

import asyncio
import contextlib
import json
from pathlib import Path

from aiohttp import web

from hyper.api.call import Call, json_response, no_content
from hyper.api.creation import create_container, remove_unstarted
from hyper.api.errors import text_of
from hyper.api.frames import CONTROL, frame
from hyper.api.hijack import MULTIPLEXED, Hijack, Outcome, RawChannel, detach_parser, run_session
from hyper.api.render import hyper as render
from hyper.api.render import memory as render_memory
from hyper.core.errors import HyperError, InvalidArgument, NotFound
from hyper.core.values import read_string
from hyper.engine.sessions import Session
from hyper.engine.views import ContainerView
from hyper.images.credentials import from_header
from hyper.images.reference import parse
from hyper.schema.container import parse_create

_PULL = ("missing", "always", "never")
_START_FAILED = 125
_COMMAND_FAILED = (126, 127)  # not executable, not found; docker run tells only these apart


async def run(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/run: create, attach, start and wait on one connection.

    The body is Docker's create body with `Name` and `Pull` (default: never). Errors before the
    container exists are ordinary answers; then control frames carry Id, Error, StatusCode.
    """
    body = await call.body()
    pull = read_string(body.get("Pull") or "never", "Pull")
    if pull not in _PULL:
        raise InvalidArgument(f'Pull: "{pull}" is not one of {", ".join(_PULL)}')
    platform = call.text("platform") or read_string(body.get("Platform") or "", "Platform")
    request = parse_create(body, platform)
    detach_parser(call.text("detachKeys"), request.spec.tty)
    if pull == "always" or (pull == "missing" and not _has_image(call, request.spec.image)):
        with call.connection.cancelling():
            await _pull(call, request.spec.image, platform)
    name = read_string(body.get("Name") or call.text("name"), "Name")
    view = await create_container(call, request.spec, name, attached=True)
    try:
        session = await call.engine.sessions.attach(
            view.id,
            stdin=view.spec.open_stdin,
            stdout=view.spec.attach_stdout,
            stderr=view.spec.attach_stderr,
            told=True,
        )
    except BaseException:
        await call.engine.containers.remove(view.id, force=True, volumes=True)
        raise
    try:
        return await _Run(call, view, session).serve(request.warnings)
    finally:
        session.detach()


def _has_image(call: Call, reference: str) -> bool:
    try:
        call.engine.images.get(reference)
    except NotFound:
        return False
    return True


async def _pull(call: Call, reference: str, platform: str) -> None:
    auth = from_header(call.request.headers.get("X-Registry-Auth", ""))
    name = str(parse(reference).tagged())
    await call.engine.images.pull(name, auth=auth, platform=platform, progress=lambda step: None)


class _Run:
    """One run from its created container to its end, or to the client's leaving."""

    def __init__(self, call: Call, view: ContainerView, session: Session) -> None:
        self._call = call
        self._view = view
        self._session = session
        self._hijack = Hijack(call, MULTIPLEXED)

    async def serve(self, warnings: tuple[str, ...]) -> web.StreamResponse:
        """Start the container and stay until it ended or the client left."""
        containers = self._call.engine.containers
        await self._hijack.prepare(self._call.request)
        await self._control({"Id": self._view.id, "Warnings": warnings})
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(
                containers.wait(self._view.id, "next-exit"), name=f"run {self._view.id[:12]}"
            )
            await asyncio.sleep(0)  # so that it waits before the container can end
            try:
                await containers.start(self._view.id)
            except HyperError as err:
                ended.cancel()
                status = self._failed_status()
                await remove_unstarted(self._call, self._view)
                await self._control({"Error": text_of(err), "StatusCode": status})
                return self._hijack
            if await self._attached() is not Outcome.ENDED:
                ended.cancel()
                return self._hijack
        await self._control({"StatusCode": ended.result().exit_code})
        return self._hijack

    async def _attached(self) -> Outcome:
        spec = self._view.spec
        detach = detach_parser(self._call.text("detachKeys"), spec.tty)
        return await run_session(
            self._session,
            RawChannel(self._hijack, framed=True),
            stdin=spec.open_stdin,
            detach=detach,
        )

    def _failed_status(self) -> int:
        try:
            code = self._call.engine.containers.get(self._view.id).status.exit_code
        except NotFound:
            return _START_FAILED
        return code if code in _COMMAND_FAILED else _START_FAILED

    async def _control(self, message: dict[str, object]) -> None:
        with contextlib.suppress(ConnectionError):
            await self._hijack.write(frame(CONTROL, json.dumps(message).encode()))


async def doctor(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/doctor"""
    checks = await call.engine.system.doctor()
    return json_response([render.check(item) for item in checks])


async def memory(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/memory: what each pod's VMM, waiting VMs and the daemon take of the host."""
    use = await call.engine.memory.use()
    return json_response(render_memory.memory(use, call.engine.pods.list()))


async def kernels(call: Call) -> web.StreamResponse:
    """GET /hyper/v1/kernels"""
    return json_response([render.kernel(item) for item in call.engine.kernels.list()])


async def kernel_add(call: Call) -> web.StreamResponse:
    """POST /hyper/v1/kernels: {"Name", "Path"}; the path is one of the daemon's host."""
    body = await call.body()
    path = read_string(body.get("Path") or "", "Path")
    if not path.startswith("/"):
        raise InvalidArgument("Path: an absolute path of a kernel (vmlinux) is needed")
    name = read_string(body.get("Name") or "", "Name") or Path(path).name
    return json_response(render.kernel(await call.engine.kernels.add(name, Path(path))), 201)


async def kernel_remove(call: Call) -> web.StreamResponse:
    """DELETE /hyper/v1/kernels/{name}"""
    name = call.parameters["name"]
    users = [pod.spec.name for pod in call.engine.pods.list() if pod.spec.kernel == name]
    call.engine.kernels.remove(name, users)
    return no_content()
