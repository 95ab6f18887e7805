"""The generated Python messages against the golden vectors, which the C tests read as well."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.agent import messages as m

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "protocol/vectors"
HEADER_BYTES = m.FRAME_HEADER_BYTES


def lines(name: str) -> list[list[str]]:
    text = (VECTORS / name).read_text()
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


VALUES = json.loads((VECTORS / "messages.json").read_text())
FRAMES = {name: bytes.fromhex(frame) for name, frame in lines("frames.hex")}
REFUSED = [
    (why, int(kind), b"" if data == "-" else bytes.fromhex(data))
    for why, kind, data in lines("refused.hex")
]
CLASSES = {
    "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__)[1:]: cls
    for cls in m.MESSAGES.values()
}


def plain(value: Any) -> Any:
    """Return a message as messages.json writes it."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if hasattr(value, "__slots__"):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    return value


def payload_of(frame: bytes) -> bytes:
    return frame[HEADER_BYTES:-1]


def test_generated_files_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "protocol/generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_every_message_has_a_vector() -> None:
    assert set(FRAMES) == set(CLASSES) == {value["message"] for value in VALUES}


@pytest.mark.parametrize("vector", VALUES, ids=lambda vector: vector["message"])
def test_golden_frame_decodes_to_its_values(vector: dict[str, Any]) -> None:
    message = m.decode(CLASSES[vector["message"]].TYPE, payload_of(FRAMES[vector["message"]]))
    assert plain(message) == vector["fields"]


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_decoded_message_encodes_to_the_same_bytes(name: str) -> None:
    payload = payload_of(FRAMES[name])
    assert m.encode(m.decode(CLASSES[name].TYPE, payload)) == payload


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_every_truncation_and_every_extra_byte_is_refused(name: str) -> None:
    payload = payload_of(FRAMES[name])
    for length in range(len(payload)):
        with pytest.raises(m.ProtocolError):
            m.decode(CLASSES[name].TYPE, payload[:length])
    with pytest.raises(m.ProtocolError):
        m.decode(CLASSES[name].TYPE, payload + b"\0")


@pytest.mark.parametrize(("why", "kind", "payload"), REFUSED, ids=[entry[0] for entry in REFUSED])
def test_refused_payload_is_refused(why: str, kind: int, payload: bytes) -> None:
    with pytest.raises(m.ProtocolError):
        m.decode(kind, payload)


@pytest.mark.parametrize(
    "message",
    [
        m.ProcessResize(1, 70000, 1),
        m.Window(-1),
        m.Hello(b"", 1, 1 << 64),
        m.Log(0, "a\0b"),
        m.Log(0, "\ud800"),
        m.Data(0, bytes(m.MAX_PAYLOAD)),
    ],
)
def test_value_that_does_not_fit_is_refused(message: m.Message) -> None:
    with pytest.raises(m.ProtocolError):
        m.encode(message)


def test_replies_name_messages_that_exist() -> None:
    assert set(m.REPLIES) | set(m.REPLIES.values()) <= set(m.MESSAGES.values())
    assert m.REPLIES[m.ProcessStart] is m.ProcessStarted


@given(kind=st.integers(0, 40), payload=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(kind: int, payload: bytes) -> None:
    try:
        message = m.decode(kind, payload)
    except m.ProtocolError:
        return
    assert m.encode(message) == payload
