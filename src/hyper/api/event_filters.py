"""Owns the filters of `docker events` (moby daemon/events/filter.go)."""

from hyper.api.filters import Filters, invalid, matches_labels
from hyper.engine.events import Event

_KINDS = "container image volume network plugin daemon service node secret config pod".split()
ALLOWED = frozenset({"event", "type", "label", "scope", *_KINDS})


def matches(filters: Filters, event: Event) -> bool:
    """Return whether an event is to be shown. Raises InvalidArgument."""
    attributes = dict(event.attributes)
    if "event" in filters and not any(
        event.action == wanted or event.action.partition(":")[0] == wanted
        for wanted in filters["event"]
    ):
        return False
    if "type" in filters and event.kind not in filters["type"]:
        return False
    if any(scope not in ("local", "swarm") for scope in filters.get("scope", ())):
        raise invalid("scope", filters["scope"])
    if "scope" in filters and "local" not in filters["scope"]:
        return False
    if not matches_labels(filters, attributes):
        return False
    return all(_about(event, attributes, kind, filters[kind]) for kind in _KINDS if kind in filters)


def _about(event: Event, attributes: dict[str, str], kind: str, wanted: tuple[str, ...]) -> bool:
    name = attributes.get("name", "")
    if kind == "image":
        names = {event.actor_id, name} if event.kind == "image" else {attributes.get("image", "")}
        names |= {text.partition(":")[0] for text in names if not text.startswith("sha256:")}
        return not names.isdisjoint(wanted)
    if kind == "pod" and event.kind == "container":
        return any(attributes.get("pod", "").startswith(text) for text in wanted if text)
    if event.kind != kind:
        return False
    return any(name.startswith(text) or event.actor_id.startswith(text) for text in wanted if text)
