"""Owns the bytes of an attached stream: Docker's 8-byte frames and the keys that detach. No I/O.

Docker Engine API, "Attach to a container", section "Stream format".
"""

import struct

from hyper.core.errors import InvalidArgument

STDIN, STDOUT, STDERR, CONTROL = 0, 1, 2, 4
_HEADER = struct.Struct(">BxxxI")
DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
_CONTROL_KEYS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def frame(stream: int, data: bytes) -> bytes:
    """Return `data` behind the header that names its stream and length."""
    return _HEADER.pack(stream, len(data)) + data


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes of keys such as `ctrl-p,ctrl-q` or `a,b` (moby/term ToBytes).

    Raises InvalidArgument.
    """
    codes = []
    for key in text.split(","):
        control = key.lower().removeprefix("ctrl-")
        if len(key) == 1 and ord(key) < 128:
            codes.append(ord(key))
        elif len(control) == 1 and control != key.lower() and "a" <= control <= "z":
            codes.append(ord(control) - ord("a") + 1)
        elif control != key.lower() and control in _CONTROL_KEYS:
            codes.append(_CONTROL_KEYS[control])
        elif key.upper() == "DEL":
            codes.append(127)
        else:
            raise InvalidArgument(f"Invalid detach keys ({text}) provided")
    return bytes(codes)


class DetachParser:
    """Finds the detach keys in what a terminal sends, even when they come in several pieces.

    Like moby/term's escape proxy it holds back a started sequence until it is known not to be one.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether the keys were pressed (the rest is dropped then)."""
        if not self._matched and self._keys[0] not in data:
            return data, False
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(passed), True
                continue
            passed += self._keys[: self._matched]
            self._matched = 0
            if byte == self._keys[0]:
                self._matched = 1
            else:
                passed.append(byte)
        return bytes(passed), False
