"""Owns the reading of agent.toml and what its types mean. Knows nothing of Python or C output."""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Type name -> (struct format character, C type); a str, bytes or list starts with a u32.
SCALARS = {
    "u8": ("B", "uint8_t"),
    "u16": ("H", "uint16_t"),
    "u32": ("I", "uint32_t"),
    "u64": ("Q", "uint64_t"),
    "i32": ("i", "int32_t"),
    "i64": ("q", "int64_t"),
    "bool": ("B", "bool"),
}
SCALAR_BYTES = {"u8": 1, "bool": 1, "u16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8}
# Names of variables beside the fields in the generated readers.
RESERVED = {"payload", "at"}
SENDERS = ("host", "guest", "both")


class SchemaError(Exception):
    """agent.toml says something that cannot be translated."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a structure; `element` is the type of a list's items, otherwise empty."""

    name: str
    type: str
    note: str = ""

    @property
    def element(self) -> str:
        """Return T of list:T, or nothing."""
        return self.type.removeprefix("list:") if self.type.startswith("list:") else ""


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure or, when `id` is not 0, a message."""

    name: str
    fields: tuple[Field, ...]
    doc: str = ""
    id: int = 0
    sender: str = ""
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """All of agent.toml."""

    constants: tuple[tuple[str, int], ...]
    structures: tuple[Structure, ...]
    messages: tuple[Structure, ...]

    def minimum_bytes(self, type_name: str) -> int:
        """Return the fewest bytes a value of this type takes on the wire."""
        if type_name in SCALAR_BYTES:
            return SCALAR_BYTES[type_name]
        if type_name == "str":
            return 5
        if type_name == "bytes" or type_name.startswith("list:"):
            return 4
        structure = next(s for s in self.structures if s.name == type_name)
        return sum(self.minimum_bytes(field.type) for field in structure.fields)


def _structure(name: str, table: dict[str, Any], known: set[str]) -> Structure:
    fields = tuple(Field(*entry) for entry in table["fields"])
    for field in fields:
        type_name = field.element or field.type
        if field.name in RESERVED:
            raise SchemaError(f"{name}.{field.name}: the generated code uses this name")
        if type_name not in known or field.element in SCALARS:
            raise SchemaError(f"{name}.{field.name}: unknown type {field.type}")
    if len({field.name for field in fields}) != len(fields):
        raise SchemaError(f"{name}: a field occurs twice")
    extra = {key: table[key] for key in ("doc", "id", "sender", "reply") if key in table}
    return Structure(name, fields, **extra)


def _check_messages(messages: tuple[Structure, ...]) -> None:
    names = {message.name for message in messages}
    if len({message.id for message in messages}) != len(messages):
        raise SchemaError("two messages share an id")
    for message in messages:
        if message.sender not in SENDERS or message.id <= 0:
            raise SchemaError(f"{message.name}: needs a sender and a positive id")
        if message.reply and message.reply not in names:
            raise SchemaError(f"{message.name}: unknown reply {message.reply}")


def load(path: Path) -> Schema:
    """Read agent.toml; raises SchemaError."""
    document = tomllib.loads(path.read_text())
    # What host and guest must have in common, down to the order of fields; comments do not count.
    digest = hashlib.sha256(json.dumps(document).encode()).digest()
    known = {*SCALARS, "str", "bytes"}
    structures = []
    for name, table in document["struct"].items():
        structures.append(_structure(name, table, known))
        known.add(name)
    messages = tuple(_structure(n, table, known) for n, table in document["message"].items())
    _check_messages(messages)
    protocol = document["protocol"]
    constants = [("protocol_version", protocol.pop("version")), *protocol.items()]
    constants += [(f"frame_{name}", value) for name, value in document["frame"].items()]
    constants += [(f"flag_{name}", 1 << bit) for name, bit in document["flags"].items()]
    constants += [(f"feature_{name}", 1 << bit) for name, bit in document["features"].items()]
    constants.append(("protocol_fingerprint", int.from_bytes(digest[:4])))
    return Schema(
        tuple((name.upper(), value) for name, value in constants), tuple(structures), messages
    )
