"""The parts of DNS messages a resolver needs: the question, and answers made for it.

Pure: bytes in, bytes out. RFC 1035 sections 4.1 (messages) and 3.5 (in-addr.arpa), RFC 3596 (AAAA,
ip6.arpa); what comes from a guest is hostile: anything unusual raises ValueError.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

A, PTR, AAAA, IN = 1, 12, 28, 1
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
TTL_S = 10
MAX_NAME = 255
_NIBBLES = frozenset("0123456789abcdef")
_HEADER = struct.Struct("!HHHHHH")
_QR, _RD, _RA, _AA = 0x8000, 0x0100, 0x0080, 0x0400
_OPCODE = 0x7800


@dataclass(frozen=True, slots=True)
class Question:
    """The one question of a query. `end` is where it ends in the message; `name` is lower case."""

    number: int
    name: str
    kind: int
    end: int
    recursion: bool


def parse_query(message: bytes) -> Question:
    """Return a query's question. Raises ValueError for what is not a query with one question."""
    if len(message) < _HEADER.size:
        raise ValueError("too short")
    number, flags, questions, *_ = _HEADER.unpack_from(message)
    if flags & (_QR | _OPCODE) or questions != 1:
        raise ValueError("not a query with one question")
    labels, at = [], _HEADER.size
    while True:
        length = message[at] if at < len(message) else 64
        at += 1
        if length == 0:
            break
        if length > 63 or at + length > len(message) or at > _HEADER.size + MAX_NAME:
            raise ValueError("not a name")
        labels.append(message[at : at + length].decode("ascii", "replace").lower())
        at += length
    if at + 4 > len(message):
        raise ValueError("a question without a type")
    kind, scope = struct.unpack_from("!HH", message, at)
    if scope != IN:
        raise ValueError("not of the internet")
    return Question(number, ".".join(labels), kind, at + 4, bool(flags & _RD))


def answer(message: bytes, question: Question, addresses: Sequence[str]) -> bytes:
    """Return the answer that a name has those of these addresses that are of the type asked for."""
    version = {A: 4, AAAA: 6}.get(question.kind, 0)
    records = [each.packed for each in map(ip_address, addresses) if each.version == version]
    return _reply(message, question, NOERROR, question.kind, records)


def pointer(message: bytes, question: Question, name: str) -> bytes:
    """Return the answer that an address belongs to `name`."""
    labels = (label.encode("ascii", "replace")[:63] for label in name.split("."))
    packed = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _reply(message, question, NOERROR, PTR, [packed])


def failure(message: bytes, question: Question, code: int) -> bytes:
    """Return an answer that says only `code`."""
    return _reply(message, question, code, A, [])


def _reply(
    message: bytes, question: Question, code: int, kind: int, records: Sequence[bytes]
) -> bytes:
    flags = _QR | _RA | (_RD if question.recursion else 0) | (_AA if records else 0) | code
    head = _HEADER.pack(question.number, flags, 1, len(records), 0, 0)
    body = message[_HEADER.size : question.end]
    for record in records:
        # 0xC00C: the name is that of the question.
        body += struct.pack("!HHHIH", 0xC00C, kind, IN, TTL_S, len(record)) + record
    return head + body


def reversed_address(name: str) -> str:
    """Return the address whose name in in-addr.arpa or ip6.arpa this is, "" if it is none."""
    if name.endswith(".ip6.arpa"):
        nibbles = name.removesuffix(".ip6.arpa").split(".")
        if len(nibbles) != 32 or not all(each in _NIBBLES for each in nibbles):
            return ""
        return str(IPv6Address(bytes.fromhex("".join(nibbles[::-1]))))
    if not name.endswith(".in-addr.arpa"):
        return ""
    parts = name.removesuffix(".in-addr.arpa").split(".")
    if len(parts) != 4 or not all(part.isdigit() and int(part) < 256 for part in parts):
        return ""
    return ".".join(str(int(part)) for part in parts[::-1])
