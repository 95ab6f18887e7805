"""Owns the bytes of a gRPC health check: one request over HTTP/2, and what its answer means.

The guest sends and receives them. gRPC: github.com/grpc/grpc, doc/health-checking.md and
doc/PROTOCOL-HTTP2.md; frames: RFC 9113, sections 4 and 6; headers, never of the dynamic table: RFC
7541, appendix A.
"""

import struct

PATH = "/grpc.health.v1.Health/Check"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS, _PADDED = 0x1, 0x4, 0x8
_STREAM = 1
_HEADER = struct.Struct("!HBBBL")
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING = 1
# RFC 7541, appendix A: fields of the static table.
_METHOD_POST, _SCHEME_HTTP = 0x83, 0x86
_AUTHORITY, _COLON_PATH, _CONTENT_TYPE = 1, 4, 31


def request(authority: str, service: str) -> bytes:
    """Return what a client sends to ask how `service` is, "" for the server as a whole."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    headers = (
        bytes((_METHOD_POST, _SCHEME_HTTP))
        + _indexed_name(_COLON_PATH, PATH)
        + _indexed_name(_AUTHORITY, authority)
        + _indexed_name(_CONTENT_TYPE, "application/grpc")
        + b"\x00"
        + _text("te")
        + _text("trailers")
        + b"\x00"
        + _text("user-agent")
        + _text("hyper-probe/1")
    )
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, _STREAM, headers)
        + _frame(_DATA, _END_STREAM, _STREAM, struct.pack("!BL", 0, len(message)) + message)
    )


def judge(answer: bytes) -> tuple[bool, str]:
    """Return whether an answer says SERVING, and what it says."""
    message = b""
    at = 0
    while len(answer) - at >= _HEADER.size:
        high, low, kind, flags, stream = _HEADER.unpack_from(answer, at)
        size = high << 8 | low
        body = answer[at + _HEADER.size : at + _HEADER.size + size]
        at += _HEADER.size + size
        if kind == _DATA and stream & 0x7FFFFFFF == _STREAM and body:
            message += body[1 : len(body) - body[0]] if flags & _PADDED else body
        elif kind == _GOAWAY or (kind == _RESET and stream & 0x7FFFFFFF == _STREAM):
            return False, "the server refused the health check"
    if at == 0:
        return False, "not an HTTP/2 answer"
    if not message:
        return False, f"no answer from {PATH}: no such service, or the server has no health service"
    status = _status(message)
    if status is None:
        return False, "the answer is no health check response"
    known = _STATUSES[status] if status < len(_STATUSES) else str(status)
    return status == _SERVING, known


def _status(message: bytes) -> int | None:
    """Return field 1 of a HealthCheckResponse after gRPC's prefix; 0 when it is not there."""
    if len(message) < 5 or message[0] != 0:
        return None
    body = message[5:]
    if len(body) != int.from_bytes(message[1:5], "big"):
        return None
    if not body:
        return 0
    return body[1] if len(body) == 2 and body[0] == 0x08 and body[1] < 0x80 else None


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return _HEADER.pack(len(body) >> 8, len(body) & 0xFF, kind, flags, stream) + body


def _indexed_name(index: int, value: str) -> bytes:
    """Return a literal field without indexing, its name out of the static table."""
    return _integer(index, 4, 0x00) + _text(value)


def _text(value: str) -> bytes:
    data = value.encode()
    return _integer(len(data), 7, 0x00) + data


def _integer(value: int, bits: int, first: int) -> bytes:
    """Return an integer with a prefix of `bits` (RFC 7541, section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    return bytes((first | most,)) + _varint(value - most)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
