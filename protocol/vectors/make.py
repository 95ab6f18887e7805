#!/usr/bin/env python3
"""Owns the making of golden frames: adds one for each message that has none, changes no other.

It encodes by reading agent.toml itself, so that it shares no code with what the frames test.
"""

import json
import struct
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCUMENT = tomllib.loads((HERE.parent / "agent.toml").read_text())
FORMATS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i", "i64": "q", "bool": "B"}
LARGE = {"u8": 200, "u16": 60000, "u32": 4_000_000_000, "u64": 2**63 + 5}
LARGE |= {"i32": -500, "i64": -(2**40)}
TEXTS = ("", "plain", "gr\u00fc\u00dfe \u20ac \U0001d11e", "a/b c")
HEADING = "# One golden frame a line: message and bytes; their values are in messages.json.\n"


class Sampler:
    """Values that differ from field to field."""

    def __init__(self) -> None:
        self.count = 0

    def value(self, kind: str, depth: int = 0) -> Any:
        """Return a value of a type, as messages.json writes it."""
        self.count += 1
        number = self.count % 50
        if kind == "bool":
            return number % 2 == 0
        if kind in FORMATS:
            return LARGE[kind] + number
        if kind == "str":
            return TEXTS[number % len(TEXTS)]
        if kind == "bytes":
            return {"hex": bytes(number * 5 + i for i in range(number % 5)).hex()}
        if kind.startswith("list:"):
            return [self.value(kind[5:], depth + 1) for _ in range(1 if depth else 2)]
        return self.fields(DOCUMENT["struct"][kind]["fields"], depth + 1)

    def fields(self, fields: list[list[str]], depth: int = 0) -> dict[str, Any]:
        """Return a value for each field."""
        return {name: self.value(kind, depth) for name, kind, *_ in fields}


def encode(kind: str, value: Any) -> bytes:
    """Return the bytes of a value."""
    if kind in FORMATS:
        return struct.pack("<" + FORMATS[kind], int(value))
    if kind in ("str", "bytes"):
        raw = value.encode() + b"\0" if kind == "str" else bytes.fromhex(value["hex"])
        return struct.pack("<I", len(raw)) + bytes(raw)
    if kind.startswith("list:"):
        return struct.pack("<I", len(value)) + b"".join(encode(kind[5:], v) for v in value)
    return encode_fields(DOCUMENT["struct"][kind]["fields"], value)


def encode_fields(fields: list[list[str]], values: dict[str, Any]) -> bytes:
    """Return the bytes of all fields."""
    return b"".join(encode(kind, values[name]) for name, kind, *_ in fields)


def vector(name: str) -> tuple[dict[str, Any], str]:
    """Return the values of a new golden frame, and its line."""
    message = DOCUMENT["message"][name]
    bits = DOCUMENT["flags"]
    is_reply = name in ("ok", "error") or name in {
        other.get("reply") for other in DOCUMENT["message"].values()
    }
    flags = (is_reply << bits["reply"]) | ((name == "error") << bits["error"])
    flags |= (name == "data") << bits["eof"]
    on_stream = name in ("data", "window", "stream_resume")
    request_id = 100 + message["id"] if is_reply or "reply" in message else 0
    values = Sampler().fields(message["fields"])
    payload = encode_fields(message["fields"], values)
    frame = DOCUMENT["frame"]
    head = (frame["magic"], flags, message["id"], len(payload), request_id, 29 * on_stream)
    data = struct.pack("<BBHIII", *head) + payload + bytes([frame["end"]])
    entry = {"message": name, "flags": flags, "request_id": request_id, "stream_id": head[5]}
    return entry | {"fields": values}, f"{name} {data.hex()}"


def main() -> None:
    """Write both files again with what is missing added."""
    values_path, frames_path = HERE / "messages.json", HERE / "frames.hex"
    values = json.loads(values_path.read_text()) if values_path.exists() else []
    text = frames_path.read_text() if frames_path.exists() else HEADING
    for name in DOCUMENT["message"]:
        if name not in {entry["message"] for entry in values}:
            entry, line = vector(name)
            values.append(entry)
            text += line + "\n"
    rows = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in values)
    values_path.write_text(f"[\n{rows}\n]\n")
    frames_path.write_text(text)


if __name__ == "__main__":
    main()
