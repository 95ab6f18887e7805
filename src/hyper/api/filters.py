"""Owns Docker's `filters` parameter: read in both its forms, and the tests of lists. No engine."""

import json
import posixpath
from collections.abc import Iterable, Mapping

from hyper.api.times import parse_time
from hyper.core import gojson
from hyper.core.errors import InvalidArgument
from hyper.core.values import read_object

Filters = Mapping[str, tuple[str, ...]]


def parse_filters(text: str, allowed: Iterable[str]) -> Filters:
    """Return name to values of `{"name": ["value"]}` or the older `{"name": {"value": true}}`.

    Raises InvalidArgument with Docker's text.
    """
    if not text:
        return {}
    try:
        parsed = read_object(json.loads(gojson.text(text)), "filters")
    except (ValueError, RecursionError) as err:
        raise InvalidArgument(f"Invalid filter: {err}") from err
    filters: dict[str, tuple[str, ...]] = {}
    for name, values in parsed.items():
        if name not in allowed:
            raise InvalidArgument(f"Invalid filter '{name}'")
        if isinstance(values, dict):
            filters[name] = tuple(value for value, on in values.items() if on)
        elif isinstance(values, list) and all(isinstance(value, str) for value in values):
            filters[name] = tuple(values)
        else:
            raise InvalidArgument(f"Invalid filter '{name}={values}'")
    return {name: values for name, values in filters.items() if values}


def matches_labels(filters: Filters, labels: Mapping[str, str], name: str = "label") -> bool:
    """Return whether `labels` has every `key` or `key=value` asked for."""
    for wanted in filters.get(name, ()):
        key, equals, value = wanted.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def excludes_labels(filters: Filters, labels: Mapping[str, str]) -> bool:
    """Return whether `label!` names a label that is there."""
    return any(
        matches_labels({"label": (unwanted,)}, labels) for unwanted in filters.get("label!", ())
    )


def matches_any(filters: Filters, name: str, value: str) -> bool:
    """Return whether `value` is one of those asked for; also when none is."""
    return name not in filters or value in filters[name]


def flag(filters: Filters, name: str, default: bool = False) -> bool:
    """Return a filter that is a boolean. Raises InvalidArgument."""
    values = filters.get(name)
    if not values:
        return default
    words = {value.lower() for value in values}
    if words <= {"1", "true"}:
        return True
    if words <= {"0", "false"}:
        return False
    raise invalid(name, values)


def invalid(name: str, values: Iterable[str]) -> InvalidArgument:
    """Return the refusal of a filter's values, as Go writes them."""
    return InvalidArgument(f"Invalid filter '{name}=[{' '.join(values)}]'")


def until_ns(filters: Filters) -> int | None:
    """Return the time before which `prune` takes what was made. Raises InvalidArgument."""
    values = filters.get("until", ())
    if len(values) > 1:
        raise InvalidArgument("more than one until filter specified")
    return parse_time(values[0]) if values else None


def clean_path(path: str) -> str:
    """Return a path as mounts have it, for comparing."""
    return posixpath.normpath(path)
