"""Performs one action on a running container: a command in it, a request or a connection to it.

Health checks, probes and hooks are made of these. Decides nothing about their outcome.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyper.agent import messages as guest
from hyper.core.errors import HyperError
from hyper.core.ids import new_id
from hyper.core.pod_spec import Action, ActionKind
from hyper.core.signals import SIGKILL
from hyper.core.spec import ExecSpec
from hyper.core.units import go_duration
from hyper.engine import grpc_health, linking, plan, pod_plan
from hyper.engine.container import Container
from hyper.engine.execs import Exec
from hyper.engine.machine import Machine

if TYPE_CHECKING:
    from hyper.engine.pod import Pod

OUTPUT_BYTES = 4096
TIMED_OUT = -1
HOOK_TIMEOUT_S = 600.0
_CONNECT_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class ActionResult:
    """How an action went; `text` is its output, or why it failed."""

    ok: bool
    exit_code: int
    text: str
    timed_out: bool = False


async def perform(
    pod: "Pod", machine: Machine, container: Container, action: Action, timeout_s: float
) -> ActionResult:
    """Perform an action within `timeout_s` (0: HOOK_TIMEOUT_S) and say how it went."""
    limit_s = timeout_s or HOOK_TIMEOUT_S
    match action.kind:
        case ActionKind.EXEC:
            return await run(pod, machine, container, action.command, limit_s)
        case ActionKind.HTTP | ActionKind.TCP | ActionKind.GRPC:
            return await _ask(machine, action, limit_s)
        case ActionKind.SLEEP:
            await asyncio.sleep(min(action.seconds, limit_s))
            return ActionResult(True, 0, "")


async def run(
    pod: "Pod", machine: Machine, container: Container, command: tuple[str, ...], timeout_s: float
) -> ActionResult:
    """Run a command in a container; one that takes longer than `timeout_s` is killed."""
    started = Exec(new_id(), container, ExecSpec(command=command))
    feed = started.hub.open(stdout=True, stderr=True)
    output = bytearray()
    timed_out = False
    try:
        async with asyncio.timeout(timeout_s):
            await _start(pod, machine, started)
            async for _, data in feed:
                output += data[: OUTPUT_BYTES - len(output)]
            code = await started.wait()
    except TimeoutError:
        code, timed_out = TIMED_OUT, True
        output = bytearray(f"exceeded timeout ({go_duration(timeout_s)})".encode())
        await _kill(machine, started)
    except HyperError as err:
        code, output = TIMED_OUT, bytearray(str(plan.start_error(err)).encode())
    finally:
        feed.close()
    return ActionResult(code == 0, code, output.decode(errors="replace"), timed_out)


async def _start(pod: "Pod", machine: Machine, started: Exec) -> None:
    container = started.container
    process_id = machine.new_process_id()
    request = plan.exec_process(
        container.spec,
        container.row.command,
        started.spec,
        process_id,
        container.id,
        container.hostname,
        container.network.address,
        (0, 0),
        linking.environment(container.row.name, linking.linked(pod, container)),
    )
    started.process_id = process_id
    pod.processes.open_exec(pod.supervisor, machine, started, request)
    try:
        started.pid = await machine.start(request)
    except BaseException:  # should it start when nobody waits any more, it is killed
        pod.processes.discard(machine, process_id)
        raise


async def _kill(machine: Machine, started: Exec) -> None:
    try:
        await machine.agent.request(guest.ProcessSignal(started.process_id, signal=SIGKILL))
    except HyperError:
        return  # it has just ended, or the VM has


async def _ask(machine: Machine, action: Action, timeout_s: float) -> ActionResult:
    """Have the guest connect, and ask if there is something to ask; it looks no name up."""
    asked = guest.Connect(
        address=pod_plan.pack_address(action.host or "127.0.0.1"),
        port=action.port,
        timeout_ms=max(1, round(timeout_s * 1000)),
        content=_content(action),
    )
    try:
        answer = await machine.agent.request(asked, timeout_s=timeout_s + _CONNECT_ANSWER_S)
    except HyperError as err:
        return ActionResult(False, 1, str(err))
    match action.kind:
        case ActionKind.HTTP:
            return _judge(answer.content)
        case ActionKind.GRPC:
            ok, text = grpc_health.judge(answer.content)
            return ActionResult(ok, 0 if ok else 1, f"gRPC health check: {text}")
        case _:
            return ActionResult(True, 0, "")


def _content(action: Action) -> bytes:
    match action.kind:
        case ActionKind.HTTP:
            return _http_request(action)
        case ActionKind.GRPC:
            host = action.host or "127.0.0.1"
            authority = f"[{host}]" if ":" in host else host
            return grpc_health.request(f"{authority}:{action.port}", action.service)
        case _:
            return b""


def _http_request(action: Action) -> bytes:
    host = action.host or "127.0.0.1"
    headers = {"Host": f"{host}:{action.port}", "User-Agent": "hyper-probe/1", "Accept": "*/*"}
    headers |= dict(action.headers)
    lines = [f"GET {action.path or '/'} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def _judge(answer: bytes) -> ActionResult:
    """Return how an HTTP request went (Kubernetes: 200 to 399 is success)."""
    line = answer.split(b"\n", 1)[0].strip().decode(errors="replace")
    words = line.split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        return ActionResult(False, 1, f"not an HTTP answer: {line[:80]!r}")
    if 200 <= int(words[1]) < 400:
        return ActionResult(True, 0, line)
    return ActionResult(False, 1, f"HTTP probe failed with statuscode: {words[1]}")
