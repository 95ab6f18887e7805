"""The life cycles of pods and containers: two tables and nothing else. No I/O.

Anything that is not in a table raises Conflict; nobody else compares states to decide what may
happen next. The diagrams in ARCHITECTURE.md are generated from here (`python -m
hyper.engine.states`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from hyper.core.errors import Conflict


class ContainerState(StrEnum):
    """States of a container; the values are Docker's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"


class ContainerEvent(StrEnum):
    """What moves a container from one state to the next."""

    START = "start"
    EXIT = "exit"
    FAIL = "fail"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    RETRY = "retry"
    GIVE_UP = "give up"
    REMOVE = "remove"


class PodState(StrEnum):
    """States of a pod, that is of its VM."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"


class PodEvent(StrEnum):
    """What moves a pod from one state to the next."""

    START = "start"
    READY = "ready"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    GONE = "gone"


CONTAINER: Mapping[tuple[ContainerState, ContainerEvent], ContainerState] = {
    (ContainerState.CREATED, ContainerEvent.START): ContainerState.RUNNING,
    (ContainerState.CREATED, ContainerEvent.FAIL): ContainerState.CREATED,
    (ContainerState.CREATED, ContainerEvent.REMOVE): ContainerState.REMOVING,
    (ContainerState.RUNNING, ContainerEvent.EXIT): ContainerState.EXITED,
    (ContainerState.RUNNING, ContainerEvent.PAUSE): ContainerState.PAUSED,
    (ContainerState.RUNNING, ContainerEvent.RETRY): ContainerState.RESTARTING,
    (ContainerState.PAUSED, ContainerEvent.UNPAUSE): ContainerState.RUNNING,
    (ContainerState.PAUSED, ContainerEvent.EXIT): ContainerState.EXITED,
    (ContainerState.PAUSED, ContainerEvent.RETRY): ContainerState.RESTARTING,
    (ContainerState.RESTARTING, ContainerEvent.START): ContainerState.RUNNING,
    (ContainerState.RESTARTING, ContainerEvent.FAIL): ContainerState.RESTARTING,
    (ContainerState.RESTARTING, ContainerEvent.GIVE_UP): ContainerState.EXITED,
    (ContainerState.EXITED, ContainerEvent.START): ContainerState.RUNNING,
    (ContainerState.EXITED, ContainerEvent.FAIL): ContainerState.EXITED,
    (ContainerState.EXITED, ContainerEvent.RETRY): ContainerState.RESTARTING,
    (ContainerState.EXITED, ContainerEvent.REMOVE): ContainerState.REMOVING,
    (ContainerState.REMOVING, ContainerEvent.FAIL): ContainerState.DEAD,
    (ContainerState.REMOVING, ContainerEvent.REMOVE): ContainerState.REMOVING,
    (ContainerState.DEAD, ContainerEvent.REMOVE): ContainerState.REMOVING,
}

POD: Mapping[tuple[PodState, PodEvent], PodState] = {
    (PodState.STOPPED, PodEvent.START): PodState.STARTING,
    (PodState.STARTING, PodEvent.READY): PodState.RUNNING,
    (PodState.STARTING, PodEvent.GONE): PodState.STOPPED,
    (PodState.RUNNING, PodEvent.PAUSE): PodState.PAUSED,
    (PodState.RUNNING, PodEvent.STOP): PodState.STOPPING,
    (PodState.RUNNING, PodEvent.GONE): PodState.STOPPED,
    (PodState.PAUSED, PodEvent.RESUME): PodState.RUNNING,
    (PodState.PAUSED, PodEvent.STOP): PodState.STOPPING,
    (PodState.PAUSED, PodEvent.GONE): PodState.STOPPED,
    (PodState.STOPPING, PodEvent.GONE): PodState.STOPPED,
}

ACTIVE = frozenset({ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING})

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def next_state(table: Mapping[tuple[S, E], S], state: S, event: E, subject: str) -> S:
    """Return the state after `event`.

    Raises Conflict when `event` is not possible in `state`.
    """
    try:
        return table[state, event]
    except KeyError:
        raise Conflict(f"cannot {event} {subject}: it is {state}") from None


def diagram(title: str, table: Mapping[tuple[S, E], S]) -> str:
    """Return a table as Markdown, one row per transition."""
    rows = [f"| {state} | {event} | {after} |" for (state, event), after in table.items()]
    return "\n".join([f"**{title}**", "", "| state | event | next |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(diagram("Container", CONTAINER), diagram("Pod", POD), sep="\n\n")
