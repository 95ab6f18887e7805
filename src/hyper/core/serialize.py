"""Frozen dataclasses to JSON text and back, by their type hints. No I/O.

There are no versions: a field that is
missing takes its default, an unknown one is ignored, so rows written by a neighbouring release
load.
"""

import dataclasses
import functools
import json
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def dump(value: object) -> str:
    """Return a dataclass as compact JSON, without the fields that have their default."""
    return json.dumps(_plain(value), separators=(",", ":"))


def load(kind: type[T], text: str) -> T:
    """Return the `kind` that `dump` wrote as `text`.

    Raises ValueError when the text is not such an object.
    """
    try:
        result: T = _build(kind, json.loads(text))
    except (AttributeError, KeyError, TypeError) as err:
        raise ValueError(f"not a {kind.__name__}: {err}") from err
    return result


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.default is dataclasses.MISSING or getattr(value, field.name) != field.default
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (arm for arm in typing.get_args(kind) if arm is not types.NoneType)
        return _build(kind, value)
    if origin is tuple:
        arms = typing.get_args(kind)
        if len(arms) == 2 and arms[1] is Ellipsis:
            return tuple(_build(arms[0], item) for item in value)
        return tuple(_build(arm, item) for arm, item in zip(arms, value, strict=True))
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(
            **{key: _build(hints[key], item) for key, item in value.items() if key in hints}
        )
    if isinstance(kind, type) and issubclass(kind, (Enum, Path)):
        return kind(value)
    return value
