"""Owns running a pod's INIT containers again before restart policies bring its others back.

A VM that was lost took with it what they had prepared. A start by a user is pod_life's.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from hyper.core.errors import Failure
from hyper.core.pod_spec import Role
from hyper.engine.container import Container
from hyper.engine.pod import Pod
from hyper.engine.states import ACTIVE, ContainerState

Start = Callable[[Pod, Container], Awaitable[None]]


async def run_inits(pod: Pod, container: Container, start: Start) -> None:
    """Run the INIT containers that are due before `container` is restarted, unless others did.

    Runs beside the supervisor. Raises HyperError when one does not start or does not succeed.
    """
    if container.spec.role is Role.INIT or pod.beginning:
        return
    async with pod.renewal:
        if not pod.inits_due:
            return
        for init in tuple(pod.containers.values()):
            if init.spec.role is not Role.INIT:
                continue
            if container.status.state is not ContainerState.RESTARTING:
                return  # a user stopped it meanwhile
            await _run(pod, container, init, start)
        pod.inits_due = False


async def _run(pod: Pod, container: Container, init: Container, start: Start) -> None:
    await pod.supervisor.call(partial(_begin, pod, container, init, start))
    while init.status.state in ACTIVE:
        await init.next_exit()
        await pod.supervisor.call(_nothing)  # what follows from the end has then been decided
    status = init.status
    if status.exit_code != 0:
        name = init.spec.name_in_pod or init.row.name
        why = status.error or f"it ended with status {status.exit_code}"
        raise Failure(f"init container {name}: {why}")


async def _begin(pod: Pod, container: Container, init: Container, start: Start) -> None:
    wanted = container.status.state is ContainerState.RESTARTING
    if wanted and init.status.state not in ACTIVE:
        await start(pod, init)


async def _nothing() -> None:
    return None
