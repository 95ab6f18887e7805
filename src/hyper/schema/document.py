"""Owns a small language for documents users write: each node reads a value and describes itself.

What a table does not name is refused with its path; the JSON Schema comes from the same tables.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hyper.core.errors import HyperError, InvalidArgument
from hyper.core.units import parse_size
from hyper.core.values import read_bool, read_int, read_list, read_object, read_string

Values = Mapping[str, Any]
Schema = dict[str, Any]


class Node(Protocol):
    """A value of a document."""

    def read(self, value: object, where: str) -> Any:
        """Return the value at the path `where`. Raises InvalidArgument with that path."""
        ...

    def schema(self) -> Schema:
        """Return its JSON Schema (2020-12)."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string, of a `pattern` or one of `choices`."""

    pattern: str = ""
    choices: tuple[str, ...] = ()

    def read(self, value: object, where: str) -> str:
        """Return a string; a number is taken as its text, as YAML users expect."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        text = read_string(value, where)
        if self.choices and text not in self.choices:
            raise InvalidArgument(f"{where}: {text!r} is not one of {', '.join(self.choices)}")
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise InvalidArgument(f"{where}: {text!r} is not of the form {self.pattern}")
        return text

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        shown: Schema = {"type": "string"}
        if self.choices:
            shown["enum"] = list(self.choices)
        if self.pattern:
            shown["pattern"] = f"^(?:{self.pattern})$"
        return shown


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer within bounds."""

    least: int = 0
    most: int = 2**53

    def read(self, value: object, where: str) -> int:
        """Return an integer."""
        number = read_int(value, where)
        if not self.least <= number <= self.most:
            raise InvalidArgument(f"{where}: {number} is not in {self.least}..{self.most}")
        return number

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is not negative."""

    def read(self, value: object, where: str) -> float:
        """Return a number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise InvalidArgument(f"{where}: a number from 0 is needed, not {value!r}")
        return float(value)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "number", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    def read(self, value: object, where: str) -> bool:
        """Return a boolean."""
        return read_bool(value, where)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Size:
    """A size: a number of `unit` bytes, or text such as 512m."""

    unit: int = 1

    def read(self, value: object, where: str) -> int:
        """Return a size in bytes."""
        if isinstance(value, str):
            try:
                return parse_size(value)
            except InvalidArgument as err:
                raise InvalidArgument(f"{where}: {err}") from err
        return Whole().read(value, where) * self.unit

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)? ?([kKmMgGtTpP]i?)?[bB]?\s*$"},
            ]
        }


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; with `lone` a single item need not be in one."""

    item: Node
    lone: bool = False

    def read(self, value: object, where: str) -> tuple[Any, ...]:
        """Return the items."""
        if self.lone and not isinstance(value, list):
            return (self.item.read(value, where),)
        items = read_list(value, where)
        return tuple(self.item.read(item, f"{where}[{at}]") for at, item in enumerate(items))

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        shown: Schema = {"type": "array", "items": self.item.schema()}
        return {"anyOf": [self.item.schema(), shown]} if self.lone else shown


@dataclass(frozen=True, slots=True)
class Pairs:
    """An object of strings."""

    def read(self, value: object, where: str) -> tuple[tuple[str, str], ...]:
        """Return its pairs."""
        text = Text()
        items = read_object(value, where).items()
        return tuple((str(key), text.read(item, f"{where}.{key}")) for key, item in items)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "object", "additionalProperties": {"type": ["string", "number"]}}


@dataclass(frozen=True, slots=True)
class Refused:
    """A field that is known and cannot act: it is refused with its reason."""

    why: str

    def read(self, value: object, where: str) -> Any:
        """Refuse any value."""
        raise InvalidArgument(f"{where}: {self.why}")

    def schema(self) -> Schema:
        """Return its JSON Schema: nothing fits."""
        return {"not": {}, "description": f"refused: {self.why}"}


@dataclass(frozen=True, slots=True)
class Key:
    """A field of a Table; `name` is how the document spells it, `target` the name of its value."""

    name: str
    node: Node
    doc: str
    target: str = ""
    required: bool = False

    @property
    def attribute(self) -> str:
        """The name under which its value is handed on."""
        return self.target or self.name


@dataclass(frozen=True, slots=True)
class Table:
    """An object; `build` makes of its values what the engine knows."""

    doc: str
    keys: tuple[Key, ...]
    build: Callable[[Values, str], Any] = field(default=lambda values, where: dict(values))

    def read(self, value: object, where: str) -> Any:
        """Return what `build` makes of the fields; null and absent ones are not among them."""
        body = read_object(value, where)
        known = {key.name: key for key in self.keys}
        for name in body:
            if name not in known:
                raise InvalidArgument(f"{_join(where, str(name))}: there is no such field")
        values: dict[str, Any] = {}
        for key in self.keys:
            place = _join(where, key.name)
            if body.get(key.name) is not None:
                values[key.attribute] = key.node.read(body[key.name], place)
            elif key.required:
                raise InvalidArgument(f"{place}: this field is required")
        try:
            return self.build(values, where)
        except InvalidArgument as err:
            text = str(err)
            named = not where or text.startswith(where)
            raise err if named else InvalidArgument(f"{where}: {text}") from err

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        shown: Schema = {"type": "object", "description": self.doc, "properties": {}}
        for key in self.keys:
            shown["properties"][key.name] = {"description": key.doc} | key.node.schema()
        if required := [key.name for key in self.keys if key.required]:
            shown["required"] = required
        shown["additionalProperties"] = False
        return shown


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def checked(node: Node, check: Callable[[Any], object]) -> "Node":
    """Return a node whose value also passes `check`, which raises HyperError."""
    return _Checked(node, check)


@dataclass(frozen=True, slots=True)
class _Checked:
    node: Node
    check: Callable[[Any], object]

    def read(self, value: object, where: str) -> Any:
        found = self.node.read(value, where)
        try:
            self.check(found)
        except HyperError as err:
            raise InvalidArgument(f"{where}: {err}") from err
        return found

    def schema(self) -> Schema:
        return self.node.schema()
