"""Owns reading JSON values whose shape a client chose: each reader names the field that is wrong.

A Codec is such a reader with its way back. Nothing here knows what a field means.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from hyper.core.errors import InvalidArgument

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """A reader of a JSON value and the writer that gives the same JSON back."""

    read: Callable[[object, str], T]
    write: Callable[[T], object]


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _wrong(where: str, wanted: str, value: object) -> InvalidArgument:
    return InvalidArgument(f"invalid JSON: {where}: {wanted} is needed, not {_kind(value)}")


def read_string(value: object, where: str) -> str:
    """Return a string without NUL. Raises InvalidArgument."""
    if not isinstance(value, str):
        raise _wrong(where, "a string", value)
    if "\0" in value:
        raise InvalidArgument(f"{where}: a NUL character is not allowed")
    return value


def read_int(value: object, where: str) -> int:
    """Return an integer of 64 bits. Raises InvalidArgument."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(where, "an integer", value)
    if not -(2**63) <= value < 2**63:
        raise InvalidArgument(f"invalid JSON: {where}: {value} does not fit in 64 bits")
    return value


def read_bool(value: object, where: str) -> bool:
    """Return a boolean. Raises InvalidArgument."""
    if not isinstance(value, bool):
        raise _wrong(where, "a boolean", value)
    return value


def read_list(value: object, where: str) -> list[object]:
    """Return an array, empty for null. Raises InvalidArgument."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(where, "an array", value)
    return value


def read_object(value: object, where: str) -> Mapping[str, object]:
    """Return an object, empty for null. Raises InvalidArgument."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    return value


def read_strings(value: object, where: str) -> tuple[str, ...]:
    """Return an array of strings, empty for null. Raises InvalidArgument."""
    return tuple(
        read_string(item, f"{where}[{at}]") for at, item in enumerate(read_list(value, where))
    )


def read_words(value: object, where: str) -> tuple[str, ...]:
    """Return an array of strings; a lone string is one of them (moby strslice.StrSlice)."""
    return (value,) if isinstance(value, str) else read_strings(value, where)


def read_pairs(value: object, where: str) -> Pairs:
    """Return an object whose values are strings, sorted by key. Raises InvalidArgument."""
    items = sorted(read_object(value, where).items())
    return tuple(
        (key, read_string("" if item is None else item, f"{where}.{key}")) for key, item in items
    )


def _list(value: tuple[str, ...]) -> list[str]:
    return list(value)


def _list_or_null(value: tuple[str, ...] | None) -> list[str] | None:
    return list(value) if value else None


def _optional_list(value: tuple[str, ...] | None) -> list[str] | None:
    return None if value is None else list(value)


def by_key(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Return pairs as a map in the order in which Go writes one."""
    return dict(sorted(pairs))


STRING: Codec[str] = Codec(read_string, lambda value: value)
INT: Codec[int] = Codec(read_int, lambda value: value)
BOOL: Codec[bool] = Codec(read_bool, lambda value: value)
STRINGS: Codec[tuple[str, ...]] = Codec(read_strings, _list)
STRINGS_OR_NULL: Codec[tuple[str, ...]] = Codec(read_strings, _list_or_null)
WORDS: Codec[tuple[str, ...] | None] = Codec(read_words, _optional_list)
WORDS_OR_NULL: Codec[tuple[str, ...]] = Codec(read_words, _list_or_null)
OPTIONAL_STRINGS: Codec[tuple[str, ...] | None] = Codec(read_strings, _optional_list)
PAIRS: Codec[Pairs] = Codec(read_pairs, by_key)
PAIRS_OR_NULL: Codec[Pairs] = Codec(read_pairs, lambda value: by_key(value) or None)
