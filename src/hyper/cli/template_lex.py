"""The text of a Go template as tokens (text/template/parse lex.go). Gives them no meaning."""

import re

from hyper.core.errors import HyperError

_ACTION = re.compile(r"\{\{(- )?\s*(.*?)\s*?( -)?\}\}", re.DOTALL)
_COMMENT = re.compile(r"\{\{(- )?/\*.*?\*/( -)?\}\}", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`')
_QUOTE = re.compile(r'["`]')
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)+')
  | (?P<number>[+-]?\d+(?:\.\d+)?)
  | (?P<field>(?:\.[A-Za-z_]\w*)+)
  | (?P<variable>\$\w*(?:\.[A-Za-z_]\w*)*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<sign>:=|[().|,=])
    """,
    re.VERBOSE,
)


class TemplateError(HyperError):
    """The template is wrong, or does not fit what it is applied to; in Go's words."""


class Token:
    """A piece of an action: its kind, its text, where it begins in the template."""

    __slots__ = ("kind", "start", "text")

    def __init__(self, kind: str, text: str, start: int) -> None:
        self.kind = kind
        self.text = text
        self.start = start


class Action:
    """A piece of a template: literal `text`, or `tokens` of an action."""

    __slots__ = ("text", "tokens")

    def __init__(self, text: str, tokens: list[Token] | None) -> None:
        self.text = text
        self.tokens = tokens


def split_actions(source: str) -> list[Action]:
    """Return the literals and actions of a template. Raises TemplateError."""
    result: list[Action] = []
    position = 0
    trim = False
    while position < len(source):
        start = source.find("{{", position)
        literal = source[position:] if start < 0 else source[position:start]
        if trim:
            literal = literal.lstrip()
        if start < 0:
            result.append(Action(literal, None))
            break
        found = _COMMENT.match(source, start)
        tokens = None
        if found:
            trim_before, trim = bool(found[1]), bool(found[2])
        else:
            found = _match_action(source, start)
            trim_before, trim = bool(found[1]), bool(found[3])
            tokens = _tokens(found[2], found.start(2))
        result.append(Action(literal.rstrip() if trim_before else literal, None))
        if tokens is not None:
            result.append(Action("", tokens))
        position = found.end()
    return result


def _match_action(source: str, start: int) -> re.Match[str]:
    """Return the action at `start`; a }} within a string does not end it."""
    end = start
    while (end := source.find("}}", end)) >= 0:
        found = _ACTION.fullmatch(source, start, end + 2)
        if found and not _QUOTE.search(_STRING.sub("", found[2])):
            return found
        end += 2
    line = source.count("\n", 0, start) + 1
    raise TemplateError(f"template: :{line}: unclosed action")


def _tokens(text: str, offset: int) -> list[Token]:
    result = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found or not found.lastgroup:
            raise TemplateError(f"template: :1: unexpected {text[position]!r} in command")
        if found.lastgroup != "space":
            result.append(Token(found.lastgroup, found[0], offset + position))
        position = found.end()
    return result


def unquote(text: str) -> str:
    """Return the value of a Go string literal."""
    if text[0] == "`":
        return text[1:-1]
    import json

    body = text[1:-1]
    if text[0] == "'":
        body = body.replace('"', '\\"').replace("\\'", "'")
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except ValueError as err:
        raise TemplateError(f"template: :1: bad string: {text}") from err
