"""Owns the events about images: recorded here, as the image store knows no feed.

Ids, names and actions are moby's (daemon/images, LogImageEvent).
"""

from collections.abc import Iterable

from hyper.api.call import Call
from hyper.core.errors import NotFound
from hyper.engine.events import Event


async def record(call: Call, action: str, image_id: str, name: str = "") -> None:
    """Store and publish an event about an image; its name is its id where it has no other."""
    await _publish(call, [_event(call, action, image_id, name)])


async def record_removal(call: Call, image_id: str, removed: Iterable[dict[str, str]]) -> None:
    """Store and publish what a removal did: names first, then images."""
    events = []
    for item in removed:
        deleted = item.get("Deleted", "")
        action = "delete" if deleted else "untag"
        events.append(_event(call, action, deleted or image_id or item.get("Untagged", "")))
    await _publish(call, events)


def _event(call: Call, action: str, image_id: str, name: str = "") -> Event:
    try:
        labels = call.engine.images.get(image_id).config.labels
    except NotFound:
        labels = ()
    return Event("image", action, image_id, (*labels, ("name", name or image_id)))


async def _publish(call: Call, events: list[Event]) -> None:
    store = call.engine.store
    await store.call(store.put_events, tuple(events))
    call.engine.events.publish(*events)
