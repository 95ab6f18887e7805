"""Keeps the clocks of running VMs at the host's time, as those of containers are.

A VM gets its time when it begins and then counts by itself. The counter is a little fast or slow,
the host's clock is steered by NTP, or set, or slept through. So each VM is asked now and then, and
told the difference, which does not depend on how long the message takes.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic_ns, time_ns

from hyper.agent import messages as guest
from hyper.agent.capabilities import mask, resolve
from hyper.agent.client import AgentClient
from hyper.core.errors import HyperError
from hyper.engine.pod import Pod
from hyper.engine.services import Services
from hyper.engine.states import PodState

PERIOD_S = 60.0
"""How often each clock is looked at: 50 ppm, much for a counter, make 3 ms."""

_TRIES = 3
_GOOD_NS = 5_000_000
_MOST_NS = 2**63 - 1
_ANSWER_S = 5.0
_SYS_TIME = mask(("CAP_SYS_TIME",))
_log = logging.getLogger("engine.clocks")


async def keep(services: Services) -> None:
    """Correct the clocks of all pods, one after the other, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        while True:
            pods = [pod for pod in services.pods() if _is_ours_to_set(pod)]
            for pod in pods:
                await asyncio.sleep(PERIOD_S / len(pods))
                tasks.create_task(_keep_one(pod), name=f"clock of {pod.row.id[:12]}")
            if not pods:
                await asyncio.sleep(PERIOD_S)


def _is_ours_to_set(pod: Pod) -> bool:
    """Return whether nobody in the pod may set its clock: who may has a reason to."""
    return pod.row.state is PodState.RUNNING and not any(
        resolve(security.cap_add, security.cap_drop, security.privileged) & _SYS_TIME
        for security in (container.spec.security for container in pod.containers.values())
    )


async def _keep_one(pod: Pod) -> None:
    machine = pod.machine
    if machine is None or not machine.agent.welcome.features & guest.FEATURE_CLOCK:
        return  # it has ended, or began under an older daemon
    try:
        moved_ns = await correct(machine.agent)
    except HyperError as err:
        _log.debug("the clock of pod %s: %s", pod.row.id[:12], err)
        return
    if moved_ns:
        pod.log.info("clock moved by %+.3f s", moved_ns / 1e9)


async def correct(
    agent: AgentClient, wall: Callable[[], int] = time_ns, counter: Callable[[], int] = monotonic_ns
) -> int:
    """Put a guest's clock right, and return by how many ns it is moved; 0: it was right.

    Right is what lies within 5 ms of the host's (`wall`), as far as one can see through the time
    that a question takes (by `counter`): of three the quickest counts, as in NTP (RFC 5905). Raises
    HyperError.
    """
    ahead_ns, unsure_ns = await _compare(agent, wall, counter)
    for _ in range(_TRIES - 1):
        if unsure_ns > _GOOD_NS:
            again = await _compare(agent, wall, counter)
            ahead_ns, unsure_ns = min((ahead_ns, unsure_ns), again, key=lambda seen: seen[1])
    if abs(ahead_ns) <= unsure_ns + _GOOD_NS:
        return 0
    moved_ns = max(-_MOST_NS, min(-ahead_ns, _MOST_NS))
    await agent.request(guest.ClockAdjust(moved_ns), timeout_s=_ANSWER_S)
    return moved_ns


async def _compare(
    agent: AgentClient, wall: Callable[[], int], counter: Callable[[], int]
) -> tuple[int, int]:
    """Return by how much the guest's clock is ahead, and by how much that may be wrong, in ns."""
    asked_ns, began = wall(), counter()
    answer = await agent.request(guest.ClockAdjust(0), timeout_s=_ANSWER_S)
    unsure_ns = (counter() - began) // 2
    return answer.wall_ns - (asked_ns + unsure_ns), unsure_ns
