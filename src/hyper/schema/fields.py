"""Owns what a row of a body's table is: a field of Docker's, how it is read, shown, and supported.

The tables themselves are in `config`, `hostconfig` and `resources`; `report` prints them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hyper.core.errors import Unsupported
from hyper.core.spec import ContainerSpec
from hyper.core.values import Codec

Updates = Mapping[str, Any]


class Support(StrEnum):
    """How far Hyper honours something of Docker's."""

    WORKS = "works"
    DIFFERS = "differs"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body: `read` gives the attributes of the spec it sets, `show` the JSON back.

    Attributes are dotted paths below ContainerSpec; tuples of several fields are appended.
    """

    name: str
    support: Support
    note: str
    read: Callable[[object, str], Updates]
    show: Callable[[ContainerSpec], object]


def works(name: str, target: str, codec: Codec[Any], note: str = "") -> Field:
    """Return a field that sets one attribute and means what it means to Docker."""
    return _plain(name, Support.WORKS, note, target, codec)


def differs(name: str, target: str, codec: Codec[Any], note: str) -> Field:
    """Return a field that sets one attribute and means something a little different in a VM."""
    return _plain(name, Support.DIFFERS, note, target, codec)


def refused(name: str, why: str, neutral: tuple[object, ...] = (), shown: object = None) -> Field:
    """Return a field that is refused unless it is empty or one of `neutral`."""

    def read(value: object, where: str) -> Updates:
        if value and value not in neutral:
            raise Unsupported(f"{where} is not supported: {why}")
        return {}

    return Field(name, Support.REFUSED, why, read, lambda spec: shown)


def _plain(name: str, support: Support, note: str, target: str, codec: Codec[Any]) -> Field:
    def read(value: object, where: str) -> Updates:
        return {target: codec.read(value, where)}

    def show(spec: ContainerSpec) -> object:
        return codec.write(attribute(spec, target))

    return Field(name, support, note, read, show)


def attribute(spec: object, path: str) -> Any:
    """Return the attribute at a dotted path."""
    for part in path.split("."):
        spec = getattr(spec, part)
    return spec


def read_fields(
    table: tuple[Field, ...], body: Mapping[str, object], prefix: str
) -> dict[str, Any]:
    """Return the attributes that `body` sets; null and absent fields set none.

    Raises InvalidArgument for a value that cannot be, Unsupported for a field a VM cannot honour.
    """
    updates: dict[str, Any] = {}
    for field in table:
        value = body.get(field.name)
        if value is None:
            continue
        for target, read in field.read(value, prefix + field.name).items():
            if isinstance(updates.get(target), tuple):
                read = updates[target] + read
            updates[target] = read
    return updates


def show_fields(table: tuple[Field, ...], spec: ContainerSpec) -> dict[str, object]:
    """Return the JSON object of a table's fields."""
    return {field.name: field.show(spec) for field in table}
