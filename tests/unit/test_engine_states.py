"""The life cycle tables: what they allow, what they refuse, that nothing is unreachable."""

from pathlib import Path

import pytest

from hyper.core.errors import Conflict
from hyper.engine.states import (
    CONTAINER,
    POD,
    ContainerEvent,
    ContainerState,
    PodEvent,
    PodState,
    diagram,
    next_state,
)


def _reachable(table, start):
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for (before, _), after in table.items():
            if before is state and after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def test_every_container_state_is_reachable():
    assert _reachable(CONTAINER, ContainerState.CREATED) == set(ContainerState)


def test_every_pod_state_is_reachable_and_can_end():
    assert _reachable(POD, PodState.STOPPED) == set(PodState)
    for state in PodState:
        assert PodState.STOPPED in _reachable(POD, state)


def test_every_event_is_used():
    assert {event for _, event in CONTAINER} == set(ContainerEvent)
    assert {event for _, event in POD} == set(PodEvent)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (ContainerState.RUNNING, ContainerEvent.START),
        (ContainerState.RUNNING, ContainerEvent.REMOVE),
        (ContainerState.CREATED, ContainerEvent.PAUSE),
        (ContainerState.EXITED, ContainerEvent.EXIT),
    ],
)
def test_what_is_not_in_the_table_is_a_conflict(state, event):
    with pytest.raises(Conflict, match=f"cannot {event} container x: it is {state}"):
        next_state(CONTAINER, state, event, "container x")


def test_the_diagram_has_a_row_per_transition():
    assert diagram("Container", CONTAINER).count("\n| ") == len(CONTAINER) + 1


def test_the_architecture_page_shows_these_tables():
    page = Path(__file__).parents[2].joinpath("ARCHITECTURE.md").read_text()
    assert diagram("Container", CONTAINER) in page
    assert diagram("Pod", POD) in page
