"""Owns the filters of `docker ps` and `docker container prune` (moby daemon/list.go)."""

import re
from typing import TYPE_CHECKING

from hyper.api.filters import (
    Filters,
    excludes_labels,
    flag,
    matches_any,
    matches_labels,
)
from hyper.api.render.containers import network_name, published_ports
from hyper.core.errors import InvalidArgument, NotFound
from hyper.core.spec import EndpointSpec
from hyper.engine.states import ContainerState
from hyper.engine.views import ContainerView
from hyper.schema.ports import parse_port

if TYPE_CHECKING:
    from hyper.engine.engine import Engine

ALLOWED = frozenset(
    "ancestor before exited expose health id is-task isolation label name network publish since "
    "status volume".split()
)
PRUNE_ALLOWED = frozenset({"label", "label!", "until"})
_HEALTH = ("none", "starting", "healthy", "unhealthy")


class ContainerFilter:
    """The filters of one list, checked and ready to be asked about each container."""

    def __init__(self, filters: Filters, engine: "Engine") -> None:
        """Raise InvalidArgument or NotFound for filters that cannot be."""
        self._filters = filters
        self._statuses = _statuses(filters)
        self._exited = _exit_codes(filters)
        self._ports = {name: _ports(filters, name) for name in ("publish", "expose")}
        self._before_ns = _created(filters, "before", engine)
        self._since_ns = _created(filters, "since", engine)
        self._ancestors = _ancestors(filters, engine)
        for health in filters.get("health", ()):
            if health not in _HEALTH:
                raise InvalidArgument(f"Unrecognised filter value for health: {health}")
        flag(filters, "is-task")

    @property
    def needs_all(self) -> bool:
        """Whether the filters ask for containers that do not run as well."""
        return bool(self._statuses or self._exited)

    def matches(self, view: ContainerView) -> bool:
        """Return whether a container is to be listed."""
        filters = self._filters
        return (
            (not self._statuses or str(view.state) in self._statuses)
            and (not self._exited or (view.state is ContainerState.EXITED and self._exit(view)))
            and self._named(view)
            and matches_labels(filters, dict(view.spec.labels))
            and self._health(view)
            and (self._before_ns is None or view.created_ns < self._before_ns)
            and (self._since_ns is None or view.created_ns > self._since_ns)
            and (self._ancestors is None or view.spec.image_id in self._ancestors)
            and self._network(view)
            and self._volume(view)
            and self._port(view)
            and not flag(filters, "is-task")
        )

    def _exit(self, view: ContainerView) -> bool:
        return view.status.exit_code in self._exited

    def _named(self, view: ContainerView) -> bool:
        names, ids = self._filters.get("name"), self._filters.get("id")
        if ids and not any(view.id.startswith(prefix) for prefix in ids):
            return False
        return not names or any(_name_matches(name, view.name) for name in names)

    def _health(self, view: ContainerView) -> bool:
        return matches_any(self._filters, "health", view.health.status if view.health else "none")

    def _network(self, view: ContainerView) -> bool:
        wanted = self._filters.get("network")
        have = view.spec.endpoints or (EndpointSpec(network_name(view)),)
        return not wanted or any(
            text == each.network or (len(text) >= 3 and each.network_id.startswith(text))
            for text in wanted
            for each in have
        )

    def _volume(self, view: ContainerView) -> bool:
        wanted = self._filters.get("volume")
        have = {
            text for mount in view.mounts for text in (mount.name, mount.destination, mount.source)
        }
        return not wanted or not have.isdisjoint(wanted)

    def _port(self, view: ContainerView) -> bool:
        ports = published_ports(view)
        published = {(port.host_port, port.protocol) for port in ports}
        exposed = {pair for text in view.spec.exposed_ports for pair in parse_port(text)}
        exposed |= {(port.container_port, port.protocol) for port in ports}
        checks = ((self._ports["publish"], published), (self._ports["expose"], exposed))
        return all(not wanted or wanted & have for wanted, have in checks)


def prunable(filters: Filters, until: int | None, view: ContainerView) -> bool:
    """Return whether prune may remove a container that does not run, made before `until`."""
    labels = dict(view.spec.labels)
    if until is not None and view.created_ns >= until:
        return False
    return matches_labels(filters, labels) and not excludes_labels(filters, labels)


def _name_matches(wanted: str, name: str) -> bool:
    try:
        return bool(re.search(wanted, name) or re.search(wanted, "/" + name))
    except re.error:
        return wanted in name


def _statuses(filters: Filters) -> frozenset[str]:
    for status in filters.get("status", ()):
        if status not in tuple(ContainerState):
            raise InvalidArgument(f"Invalid filter 'status={status}'")
    return frozenset(filters.get("status", ()))


def _exit_codes(filters: Filters) -> frozenset[int]:
    codes = set()
    for text in filters.get("exited", ()):
        try:
            codes.add(int(text))
        except ValueError:
            raise InvalidArgument(f'strconv.Atoi: parsing "{text}": invalid syntax') from None
    return frozenset(codes)


def _ports(filters: Filters, name: str) -> frozenset[tuple[int, str]]:
    return frozenset(pair for text in filters.get(name, ()) for pair in parse_port(text))


def _created(filters: Filters, name: str, engine: "Engine") -> int | None:
    references = filters.get(name, ())
    return engine.containers.get(references[-1]).created_ns if references else None


def _ancestors(filters: Filters, engine: "Engine") -> frozenset[str] | None:
    if "ancestor" not in filters:
        return None
    ids = []
    for reference in filters["ancestor"]:
        try:
            ids.append(engine.images.get(reference).id)
        except NotFound:
            continue  # dockerd warns in its log and finds nothing
    return frozenset(ids)
