"""The functions of Go templates and of docker's (text/template funcs.go, docker/cli templates).

Also how Go prints a value. Knows no syntax.
"""

from collections.abc import Callable, Mapping

from hyper.cli.template_lex import TemplateError


class NoValue:
    """What a missing entry of a map is; Go prints it as <no value>."""

    def __bool__(self) -> bool:
        return False


NO_VALUE = NoValue()


def go_text(value: object) -> str:
    """Return `value` as Go's %v prints it."""
    if value is None or value is NO_VALUE:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else f"{value:g}"
    if isinstance(value, Mapping):
        inner = " ".join(f"{key}:{_inner(item)}" for key, item in sorted(value.items()))
        return f"map[{inner}]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(_inner(item) for item in value) + "]"
    return str(value)


def _inner(value: object) -> str:
    return "<nil>" if value is None else go_text(value)


def to_json(value: object) -> str:
    """Return `value` as Go's encoding/json writes it (docker leaves <, > and & as they are)."""
    import json

    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if not callable(item)}
    return None if value is NO_VALUE else value


def index(value: object, *keys: object) -> object:
    """Return value[key]...; a missing entry of a map of strings is ""."""
    for key in keys:
        if isinstance(value, Mapping):
            strings = all(isinstance(item, str) for item in value.values())
            value = value.get(key, "" if strings else NO_VALUE)
        elif isinstance(value, list | tuple | str) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise TemplateError(f"error calling index: index out of range: {key}")
            value = value[key]
        elif value is None or value is NO_VALUE:
            return "" if isinstance(key, str) else NO_VALUE
        else:
            raise TemplateError(f"error calling index: can't index item of type {_type(value)}")
    return value


def _type(value: object) -> str:
    names = {bool: "bool", int: "int", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "interface {}")


def _length(value: object) -> int:
    if isinstance(value, Mapping | list | tuple):
        return len(value)
    if isinstance(value, str):
        return len(value.encode())
    if value is None:
        return 0
    raise TemplateError(f"error calling len: len of type {_type(value)}")


def _slice(value: object, *bounds: object) -> object:
    numbers = [bound for bound in bounds if isinstance(bound, int)]
    if isinstance(value, str | list):
        return value[slice(*(numbers[:2] if len(numbers) > 1 else [numbers[0], None]))]
    raise TemplateError(f"error calling slice: can't slice item of type {_type(value)}")


def _equal(first: object, *others: object) -> bool:
    return any(first == other and type(first) is type(other) for other in others)


def _compare(name: str, test: Callable[[object, object], bool]) -> Callable[..., bool]:
    def compare(one: object, other: object) -> bool:
        try:
            return test(one, other)
        except TypeError as err:
            raise TemplateError(f"error calling {name}: incompatible types for comparison") from err

    return compare


def format_text(layout: object, *values: object) -> str:
    """Return what Go's fmt.Sprintf makes of the verbs v s q d t f x and c."""
    import re

    rest = list(values)

    def put(found: "re.Match[str]") -> str:
        flags, verb = found[1], found[2]
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        value = rest.pop(0)
        if verb in "vst":
            return f"%{flags}s" % go_text(value)
        if verb == "q":
            return f"%{flags}s" % to_json(str(value))
        return f"%{flags}{verb}" % value

    try:
        return re.sub(r"%([-+ #0]*\d*(?:\.\d+)?)([vsqdtfxXc%])", put, str(layout))
    except (TypeError, ValueError) as err:
        raise TemplateError(f"error calling printf: {err}") from err


def _join(values: object, separator: str = "") -> str:
    return separator.join(go_text(v) for v in values) if isinstance(values, list | tuple) else ""


def _print(*values: object) -> str:
    result = ""
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            result += " "
        result += go_text(value)
    return result


def _truncate(text: object, limit: object) -> str:
    return str(text)[:limit] if isinstance(limit, int) else str(text)


def _pad(text: object, before: object, after: object) -> str:
    if not text or not isinstance(before, int) or not isinstance(after, int):
        return str(text)
    return " " * before + str(text) + " " * after


def _escaper(table: dict[str, str]) -> Callable[[object], str]:
    codes = {ord(sign): text for sign, text in table.items()}
    return lambda value: go_text(value).translate(codes)


def _url_query(value: object) -> str:
    from urllib.parse import quote_plus

    return quote_plus(go_text(value))


_HTML = {"&": "&amp;", "'": "&#39;", "<": "&lt;", ">": "&gt;", '"': "&#34;"}
_JAVASCRIPT = {"\\": "\\\\", "'": "\\'", '"': '\\"'} | {
    sign: f"\\u{ord(sign):04X}" for sign in "<>&="
}

FUNCTIONS: dict[str, Callable[..., object]] = {
    "json": to_json,
    "split": lambda text, separator: str(text).split(separator),
    "join": _join,
    "title": lambda text: str(text).title(),
    "lower": lambda text: str(text).lower(),
    "upper": lambda text: str(text).upper(),
    "pad": _pad,
    "truncate": _truncate,
    "print": _print,
    "println": lambda *values: " ".join(go_text(value) for value in values) + "\n",
    "printf": format_text,
    "html": _escaper(_HTML),
    "js": _escaper(_JAVASCRIPT),
    "urlquery": _url_query,
    "len": _length,
    "index": index,
    "slice": _slice,
    "not": lambda value: not value,
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lt": _compare("lt", lambda one, other: one < other),  # type: ignore[operator]
    "le": _compare("le", lambda one, other: one <= other),  # type: ignore[operator]
    "gt": _compare("gt", lambda one, other: one > other),  # type: ignore[operator]
    "ge": _compare("ge", lambda one, other: one >= other),  # type: ignore[operator]
}
