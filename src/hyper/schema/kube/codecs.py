"""Owns reading the simple values of Kubernetes documents: words, numbers, names, quantities."""

import base64
import binascii
from collections.abc import Callable
from fractions import Fraction

from hyper.schema.kube import names
from hyper.schema.kube.fields import Codec
from hyper.schema.kube.place import Place
from hyper.schema.kube.quantity import FORM, parse_quantity, show_quantity


def _text(value: object, place: Place) -> str:
    if not isinstance(value, str):
        raise place.invalid(value, "a string is needed: put it in quotes")
    if "\0" in value:
        raise place.invalid(value, "a NUL character is not allowed")
    return value


def _boolean(value: object, place: Place) -> bool:
    if not isinstance(value, bool):
        raise place.invalid(value, "a boolean is needed")
    return value


def integer(minimum: int, maximum: int = 2**31 - 1) -> Codec[int]:
    """Return the codec of a whole number within bounds."""

    def read(value: object, place: Place) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise place.invalid(value, "an integer is needed")
        if value < minimum:
            raise place.invalid(value, f"must be greater than or equal to {minimum}")
        if value > maximum:
            raise place.invalid(value, f"must be less than or equal to {maximum}")
        return value

    return Codec(read, lambda value: value)


def choice(*words: str) -> Codec[str]:
    """Return the codec of one of several words."""

    def read(value: object, place: Place) -> str:
        text = _text(value, place)
        if text not in words:
            raise place.not_one_of(text, words)
        return text

    return Codec(read, lambda value: value)


def only(why: str, *words: str) -> Codec[str]:
    """Return the codec of a word of which some, `words`, are honoured; others are refused."""

    def read(value: object, place: Place) -> str:
        text = _text(value, place)
        if text not in words:
            raise place.refused(f"{text}: {why}")
        return text

    return Codec(read, lambda value: value)


def named(check: Callable[[str], str]) -> Codec[str]:
    """Return the codec of a name; `check` gives what is wrong with it, "" for nothing."""

    def read(value: object, place: Place) -> str:
        text = _text(value, place)
        if problem := check(text):
            raise place.invalid(text, problem)
        return text

    return Codec(read, lambda value: value)


def _quantity(value: object, place: Place) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise place.invalid(value, "a quantity is needed, such as 500m or 64Mi")
    text = value if isinstance(value, str) else repr(value)
    parsed = parse_quantity(text)
    if parsed is None:
        raise place.invalid(value, FORM)
    if parsed < 0:
        raise place.invalid(value, "must be greater than or equal to 0")
    return parsed


def _strings(value: object, place: Place) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise place.invalid(value, "a list of strings is needed")
    return tuple(_text(item, place.item(at)) for at, item in enumerate(value))


def _pairs(value: object, place: Place) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise place.invalid(value, "an object is needed")
    return tuple(
        (_text(key, place), _text("" if item is None else item, place.key(str(key))))
        for key, item in value.items()
    )


def _labels(value: object, place: Place) -> tuple[tuple[str, str], ...]:
    pairs = _pairs(value, place)
    for key, item in pairs:
        if problem := names.qualified_name(key):
            raise place.invalid(key, problem)
        if problem := names.label_value(item):
            raise place.key(key).invalid(item, problem)
    return pairs


def _annotations(value: object, place: Place) -> tuple[tuple[str, str], ...]:
    pairs = _pairs(value, place)
    for key, _ in pairs:
        if problem := names.qualified_name(key.lower()):
            raise place.invalid(key, problem)
    return pairs


def _port(value: object, place: Place) -> int | str:
    if isinstance(value, str):
        if value.isdecimal():
            value = int(value)
        elif problem := names.port_name(value):
            raise place.invalid(value, problem)
        else:
            return value
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65535:
        raise place.invalid(value, "must be between 1 and 65535, inclusive")
    return value


def _encoded(value: object, place: Place) -> bytes:
    text = _text(value, place)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as err:
        raise place.invalid(text, f"illegal base64 data: {err}") from None


def _absolute(value: object, place: Place) -> str:
    text = _text(value, place)
    if not text:
        raise place.required()
    return text


def _relative(value: object, place: Place) -> str:
    text = _text(value, place)
    if text.startswith("/"):
        raise place.invalid(text, "must be a relative path")
    if ".." in text.split("/"):
        raise place.invalid(text, "must not contain '..'")
    return text


TEXT: Codec[str] = Codec(_text, lambda value: value)
BOOLEAN: Codec[bool] = Codec(_boolean, lambda value: value)
STRINGS: Codec[tuple[str, ...]] = Codec(_strings, list)
PAIRS: Codec[tuple[tuple[str, str], ...]] = Codec(_pairs, dict)
LABELS: Codec[tuple[tuple[str, str], ...]] = Codec(_labels, dict)
ANNOTATIONS: Codec[tuple[tuple[str, str], ...]] = Codec(_annotations, dict)
QUANTITY: Codec[Fraction] = Codec(_quantity, show_quantity)
PORT: Codec[int | str] = Codec(_port, lambda value: value)
NUMBER = integer(0)
PORT_NUMBER = integer(1, 65535)
MODE = integer(0, 0o777)
FOLDER_MODE = integer(0, 0o7777)
IDENTITY = integer(0, 2**31 - 1)
BASE64: Codec[bytes] = Codec(_encoded, lambda value: base64.b64encode(value).decode())
NONEMPTY: Codec[str] = Codec(_absolute, lambda value: value)
RELATIVE: Codec[str] = Codec(_relative, lambda value: value)
DNS_LABEL = named(names.dns_label)
DNS_SUBDOMAIN = named(names.dns_subdomain)
