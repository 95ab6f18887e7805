"""Owns what a row of a kind's table is: a field of Kubernetes', how it is read and written, and
what becomes of it here. The tables themselves are in the modules of their kinds.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from hyper.schema.kube.place import Place

T = TypeVar("T")


class Decision(StrEnum):
    """What becomes of a field on one machine without a cluster."""

    ACTS = "acts"
    DIFFERS = "differs"
    IDLE = "no effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """A reader of a value and the writer that gives it back; `table` when it reads objects."""

    read: Callable[[object, Place], T]
    write: Callable[[T], object]
    table: "Table[Any] | None" = None


@dataclass(frozen=True, slots=True)
class Field:
    """A field: without a `codec` it is refused, or noted, unless it is empty or `neutral`."""

    name: str
    decision: Decision
    note: str = ""
    codec: Codec[Any] | None = None
    neutral: tuple[object, ...] = ()
    required: bool = False

    @property
    def attribute(self) -> str:
        """The attribute of the data class that carries it: snake case of the name."""
        return re.sub(r"(?<=[a-z0-9])(IPs?|FQDN|[A-Z])", r"_\1", self.name).lower()


def acts(name: str, codec: Codec[Any], note: str = "", *, required: bool = False) -> Field:
    """Return a field that means what it means to Kubernetes."""
    return Field(name, Decision.ACTS, note, codec, required=required)


def differs(name: str, codec: Codec[Any], note: str, *, required: bool = False) -> Field:
    """Return a field that means something a little different here; `note` says what."""
    return Field(name, Decision.DIFFERS, note, codec, required=required)


def idle(name: str, why: str, *neutral: object) -> Field:
    """Return a field that is accepted, with a warning that says why it has no effect."""
    return Field(name, Decision.IDLE, why, neutral=neutral)


def refused(name: str, why: str, *neutral: object) -> Field:
    """Return a field that is refused unless it has one of the `neutral` values."""
    return Field(name, Decision.REFUSED, why, neutral=neutral)


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """The fields of one kind of object; `build` makes its data class, `check` judges it whole."""

    title: str
    build: Callable[..., T]
    fields: tuple[Field, ...]
    check: Callable[[T, Place], None] | None = None

    def read(self, value: object, place: Place) -> T:
        """Return the object. Raises InvalidArgument, Unsupported, both with the path."""
        body = read_mapping(value, place)
        known = {field.name for field in self.fields}
        for name in body:
            if name not in known:
                raise place.at(name).unknown()
        values: dict[str, Any] = {}
        for field in self.fields:
            given = body.get(field.name)
            where = place.at(field.name)
            if given is None:
                if field.required:
                    raise where.required()
            elif field.codec:
                values[field.attribute] = field.codec.read(given, where)
            elif _says_something(given, field.neutral):
                if field.decision is Decision.REFUSED:
                    raise where.refused(field.note)
                where.note(field.note)
        built = self.build(**values)
        if self.check:
            self.check(built, place)
        return built

    def write(self, value: T) -> dict[str, object]:
        """Return the object as Kubernetes writes it, without what has its default value."""
        defaults = {
            item.name: item.default
            for item in dataclasses.fields(value)  # type: ignore[arg-type]
        }
        body: dict[str, object] = {}
        for field in self.fields:
            if field.codec is None:
                continue
            held = getattr(value, field.attribute)
            if field.required or held != defaults[field.attribute]:
                body[field.name] = field.codec.write(held)
        return body


def _says_something(value: object, neutral: tuple[object, ...]) -> bool:
    return value not in ("", [], {}) and value not in neutral


def read_mapping(value: object, place: Place) -> Mapping[str, object]:
    """Return an object with names as keys. Raises InvalidArgument."""
    if not isinstance(value, dict):
        raise place.invalid(value, "an object is needed")
    for key in value:
        if not isinstance(key, str):
            raise place.invalid(key, "the name of a field must be a string")
    return value


def nested(table: Table[T]) -> Codec[T]:
    """Return the codec of an object of `table`."""
    return Codec(table.read, table.write, table)


def many(codec: Codec[T]) -> Codec[tuple[T, ...]]:
    """Return the codec of a list."""

    def read(value: object, place: Place) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise place.invalid(value, "a list is needed")
        return tuple(codec.read(item, place.item(at)) for at, item in enumerate(value))

    def write(value: tuple[T, ...]) -> object:
        return [codec.write(item) for item in value]

    return Codec(read, write, codec.table)


def mapped(codec: Codec[T]) -> Codec[tuple[tuple[str, T], ...]]:
    """Return the codec of a map from names; null entries are an error as in Kubernetes."""

    def read(value: object, place: Place) -> tuple[tuple[str, T], ...]:
        body = read_mapping(value, place)
        return tuple((key, codec.read(item, place.key(key))) for key, item in body.items())

    def write(value: tuple[tuple[str, T], ...]) -> object:
        return {key: codec.write(item) for key, item in value}

    return Codec(read, write, codec.table)
