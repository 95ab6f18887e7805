"""Owns the events of which the engine knows nothing: about images, and that something was pruned.

Ids, names and actions are moby's (daemon/images, LogImageEvent; daemon/prune.go).
"""

from collections.abc import Iterable

from hyper.api.call import Call
from hyper.core.errors import NotFound
from hyper.engine.events import Event, image_event


async def record(call: Call, action: str, *image_ids: str, name: str = "") -> None:
    """Store and publish an event about images; their names are their ids where they have no
    other.
    """
    await _publish(call, [_event(call, action, image_id, name) for image_id in image_ids])


async def record_removal(call: Call, image_id: str, removed: Iterable[dict[str, str]]) -> None:
    """Store and publish what a removal did: names first, then images."""
    events = []
    for item in removed:
        deleted = item.get("Deleted", "")
        action = "delete" if deleted else "untag"
        events.append(_event(call, action, deleted or image_id or item.get("Untagged", "")))
    await _publish(call, events)


async def record_prune(call: Call, kind: str, reclaimed_bytes: int = 0) -> None:
    """Store and publish that what is not used of a kind was removed."""
    await _publish(call, [Event(kind, "prune", "", (("reclaimed", str(reclaimed_bytes)),))])


def _event(call: Call, action: str, image_id: str, name: str = "") -> Event:
    try:
        labels = call.engine.images.get(image_id).config.labels
    except NotFound:
        labels = ()
    return image_event(action, image_id, name, labels)


async def _publish(call: Call, events: list[Event]) -> None:
    store = call.engine.store
    await store.call(store.put_events, tuple(events))
    call.engine.events.publish(*events)
