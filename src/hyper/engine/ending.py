"""How a container is made to end: its hook, its stop signal, SIGKILL, and at last its VM's end.

Functions over a Pod, run beside its supervisor: they wait for what it records.
"""

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from hyper.agent import messages as guest
from hyper.core import signals
from hyper.core.errors import Conflict, Failure, HyperError, Timeout, Unavailable
from hyper.core.signals import signal_number
from hyper.engine import actions
from hyper.engine.container import Container
from hyper.engine.states import ACTIVE, ContainerState

if TYPE_CHECKING:
    from hyper.engine.pod import Pod

# The guest gives up waiting for a silent NFS server after 5 s (guest/hyperstart/container.c).
KILL_WAIT_S = 20.0
_ALIVE_S = 5.0
_STUCK = (
    "container {} does not die: SIGKILL was sent, but a process of it waits in the guest's kernel. "
    "It is left running for the sake of its pod's other containers: try again, or end all of "
    "them with: hyper pod kill {}"
)


def grace_s(pod: "Pod", container: Container) -> float:
    """Return how long a container gets between its stop signal and SIGKILL."""
    asked = container.spec.stop_timeout_s
    if asked is not None:
        return float(asked)
    of_pod = pod.row.spec.grace_s
    return pod.services.settings.stop_timeout_s if of_pod is None else of_pod


async def end(
    pod: "Pod",
    container: Container,
    number: int,
    limit_s: float,
    *,
    by_user: bool = True,
    with_pod: bool = False,
) -> None:
    """Signal a container and wait for its end; SIGKILL after `limit_s` (negative: never).

    A pre-stop hook runs first, within that time. Raises Conflict when it does not run, and what
    `kill_and_wait` raises.
    """
    run, ended = container.turn, container.next_exit()
    signal = partial(_signal, pod, container, number, by_user=by_user, run=run)
    try:
        async with asyncio.timeout(None if limit_s < 0 else limit_s):
            await _before_stop(pod, container)
            await pod.supervisor.call(signal)
            await ended
            return
    except (TimeoutError, Unavailable, Timeout):
        pass  # that it does not listen, or its VM is just lost
    finally:
        ended.close()  # nothing happens when it was awaited
    if container.turn is run:
        await kill_and_wait(pod, container, by_user=by_user, with_pod=with_pod)
    else:
        await container.last_exit()  # it ended at the last moment


async def _signal(
    pod: "Pod", container: Container, number: int, *, by_user: bool, run: object
) -> None:
    """Signal a container, for its pod's supervisor; what no user wants is for this `run` alone.

    Raises Conflict when that has ended: what follows from the end is its policy's.
    """
    restarting = container.status.state is ContainerState.RESTARTING
    if not by_user and (restarting or container.turn is not run):
        raise Conflict(f"Container {container.id} is not running")
    await pod.signal(container, number, by_user=by_user)


async def _before_stop(pod: "Pod", container: Container) -> None:
    hook = container.spec.hooks.pre_stop
    if hook is None or pod.machine is None:
        return
    if container.status.state is not ContainerState.RUNNING:
        return
    try:
        outcome = await actions.perform(pod, pod.machine, container, hook, timeout_s=0)
    except HyperError as err:
        pod.log.warning("container %s: its pre-stop hook failed: %s", container.id[:12], err)
        return
    if not outcome.ok:
        pod.log.warning("container %s: its pre-stop hook: %s", container.id[:12], outcome.text)


async def kill_and_wait(
    pod: "Pod", container: Container, *, by_user: bool = True, with_pod: bool = False
) -> None:
    """End a container by SIGKILL; if that does not end it, by the end of its VM.

    Raises Failure instead when others run in that VM, unless they are to end too (`with_pod`), and
    Unavailable when that VM stands still for want of space.
    """
    if pod.machine is not None and pod.machine.agent.stall:
        await _kill_stalled(pod, container, by_user=by_user, with_pod=with_pod)
        return
    run, ended = container.turn, container.next_exit()
    signal = partial(_signal, pod, container, signals.SIGKILL, by_user=by_user, run=run)
    try:
        await pod.supervisor.call(signal)
        async with asyncio.timeout(KILL_WAIT_S):
            await ended
        return
    except Conflict:
        return  # it ended by itself meanwhile
    except TimeoutError:
        neighbours = not with_pod and await _has_neighbours(pod, container)
        if neighbours and container.turn is run:
            raise Failure(_STUCK.format(container.id[:12], pod.row.spec.name)) from None
    except (Unavailable, Timeout):
        if container.turn is run and not with_pod:
            _spare_neighbours(pod, container)
    finally:
        ended.close()
    if container.turn is not run:
        await container.last_exit()  # it ended at the last moment
        return
    ended = container.next_exit()
    await pod.kill_machine(f"container {container.id[:12]} does not die")
    await ended


async def _kill_stalled(pod: "Pod", container: Container, *, by_user: bool, with_pod: bool) -> None:
    """End a container whose VM takes no signal, with that VM; its end frees the space it has."""
    if not with_pod:
        _spare_neighbours(pod, container)
    run, ended = container.turn, container.next_exit()

    async def signal() -> bool:
        try:
            await _signal(pod, container, signals.SIGKILL, by_user=by_user, run=run)
        except Conflict:
            return False  # it ended by itself meanwhile
        except HyperError:
            pass  # nobody takes it, but that it was wanted is noted
        return True

    async with asyncio.TaskGroup() as tasks:
        # First, for what its end leads to depends on it; what the supervisor does now may wait for
        # the VM.
        noted = tasks.create_task(pod.supervisor.call(signal), name="note of a kill")
        tasks.create_task(pod.kill_machine("it stands still, and is to end"), name="kill")
    if noted.result():
        await ended
    else:
        ended.close()


def _spare_neighbours(pod: "Pod", container: Container) -> None:
    """Raise Unavailable when others are in its VM, and will go on when that does."""
    if pod.machine is not None and _neighbours(pod, container):
        pod.machine.agent.check_going()


def _neighbours(pod: "Pod", container: Container) -> bool:
    others = (item for item in pod.containers.values() if item is not container)
    return any(item.status.state in ACTIVE for item in others)


async def _has_neighbours(pod: "Pod", container: Container) -> bool:
    """Whether others run in its VM, and its guest answers: else they are lost anyway."""
    if pod.machine is None or not _neighbours(pod, container):
        return False
    try:
        await pod.machine.agent.request(guest.Ping(), timeout_s=_ALIVE_S)
    except HyperError:
        return False
    return True


async def end_sidecar(pod: "Pod", container: Container) -> None:
    """End a sidecar whose pod has nothing left to do."""
    number = signal_number(container.row.command.stop_signal)
    try:
        with contextlib.suppress(Conflict):  # it ended by itself meanwhile
            await end(pod, container, number, grace_s(pod, container))
    finally:
        pod.sidecars_ending.discard(container.id)
