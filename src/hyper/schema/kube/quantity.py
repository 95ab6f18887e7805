"""Owns quantities such as 100m, 64Mi, 1e3 and 1.5Gi.

Grammar: kubernetes staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

import math
import re
from fractions import Fraction

_QUANTITY = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3}|[KMGTPE]i|[numkMGTPE]|)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_LIMIT = 2**63 - 1
FORM = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def parse_quantity(text: str) -> Fraction | None:
    """Return a quantity's value, None when `text` is none. Values are capped as in Kubernetes."""
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > 64:
        return None
    sign, number, suffix = match.groups()
    value = Fraction(number)
    if suffix in _DECIMAL:
        value *= Fraction(10) ** _DECIMAL[suffix]
    elif suffix in _BINARY:
        value *= 1024 ** _BINARY.index(suffix)
    else:
        value *= Fraction(10) ** max(-30, min(30, int(suffix[1:])))
    return min(value, Fraction(_LIMIT)) * (-1 if sign == "-" else 1)


def show_quantity(value: Fraction) -> str:
    """Return a quantity as text: binary suffixes for whole numbers, m, u or n for fractions."""
    if value.denominator == 1:
        whole, power = int(value), 0
        while whole and whole % 1024 == 0 and power < 6:
            whole //= 1024
            power += 1
        return f"{whole}{_BINARY[power]}"
    for suffix in ("m", "u", "n"):
        scaled = value / Fraction(10) ** _DECIMAL[suffix]
        if scaled.denominator == 1:
            return f"{int(scaled)}{suffix}"
    return f"{math.ceil(value * 10**9)}n"


def whole(value: Fraction) -> int:
    """Return a quantity rounded up to a whole number, as Kubernetes does for bytes."""
    return math.ceil(value)
