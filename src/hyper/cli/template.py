"""Go templates for --format: parsing and rendering (pkg.go.dev/text/template).

A subset: fields, variables, pipelines, if/else, with, range, break, continue and the functions of
template_functions.py. No {{define}} or {{template}}.
"""

from collections.abc import Callable, Mapping
from types import NoneType

from hyper.cli.template_functions import FUNCTIONS, NO_VALUE, go_text
from hyper.cli.template_lex import Action, TemplateError, Token, split_actions, unquote

__all__ = ["Template", "TemplateError", "compile_template"]

_Value = Callable[["_Scope"], object]
_Node = Callable[["_Scope"], None]
_OPENERS = ("if", "with", "range")


class _Scope:
    """What an action sees: the dot, the variables, where output goes.

    In a condition (`lenient`) a missing entry is false instead of an error: docker's own structures
    have all their fields, ours are JSON with the empty ones left out.
    """

    __slots__ = ("dot", "lenient", "output", "variables")

    def __init__(self, dot: object, variables: dict[str, object], output: list[str]) -> None:
        self.dot = dot
        self.variables = variables
        self.output = output
        self.lenient = False

    def inner(self, dot: object) -> "_Scope":
        return _Scope(dot, dict(self.variables), self.output)


class _LoopEnd(Exception):
    """{{break}} or {{continue}}."""

    def __init__(self, stop: bool) -> None:
        self.stop = stop


class Template:
    """A compiled template."""

    __slots__ = ("_nodes",)

    def __init__(self, nodes: list[_Node]) -> None:
        self._nodes = nodes

    def render(self, value: object) -> str:
        """Return the text for `value`. Raises TemplateError."""
        scope = _Scope(value, {"$": value}, [])
        for node in self._nodes:
            node(scope)
        return "".join(scope.output)


def compile_template(source: str) -> Template:
    r"""Return the template `source` is; \t and \n mean tab and newline, as in docker.

    Raises TemplateError.
    """
    actions = split_actions(source.replace("\\t", "\t").replace("\\n", "\n"))
    nodes, ending = _parse_block(actions)
    if ending:
        raise TemplateError(f"template: :1: unexpected {{{{{ending[0].text}}}}}")
    return Template(nodes)


def _parse_block(actions: list[Action]) -> tuple[list[_Node], list[Token]]:
    """Return the nodes up to an {{end}} or {{else}}, and that action's tokens."""
    nodes: list[_Node] = []
    while actions:
        action = actions.pop(0)
        if action.tokens is None:
            nodes.append(_literal(action.text))
            continue
        tokens = action.tokens
        word = tokens[0].text if tokens and tokens[0].kind == "word" else ""
        if not tokens:
            raise TemplateError("template: :1: missing value for command")
        if word in ("end", "else"):
            return nodes, tokens
        if word in _OPENERS:
            nodes.append(_parse_control(word, tokens[1:], actions))
        elif word in ("break", "continue"):
            nodes.append(_loop_end(word == "break"))
        elif word in ("define", "template", "block"):
            raise TemplateError(f"template: :1: {{{{{word}}}}} is not supported")
        else:
            nodes.append(_output(tokens))
    return nodes, []


def _literal(text: str) -> _Node:
    return lambda scope: scope.output.append(text)


def _loop_end(stop: bool) -> _Node:
    def end(scope: _Scope) -> None:
        raise _LoopEnd(stop)

    return end


def _output(tokens: list[Token]) -> _Node:
    names, declares, value = _parse_declaration(tokens)

    def put(scope: _Scope) -> None:
        result = value(scope)
        if names:
            if not declares and names[0] not in scope.variables:
                raise TemplateError(f"template: :1: undefined variable: {names[0]}")
            scope.variables[names[0]] = result
        else:
            scope.output.append(go_text(result))

    return put


def _parse_declaration(tokens: list[Token]) -> tuple[list[str], bool, _Value]:
    """Return the variables an action sets, whether it declares them, and the value."""
    for position, token in enumerate(tokens):
        if token.kind == "sign" and token.text in (":=", "="):
            names = [t.text for t in tokens[:position] if t.kind == "variable"]
            return names, token.text == ":=", _parse_pipeline(tokens[position + 1 :])
    return [], False, _parse_pipeline(tokens)


def _parse_control(word: str, tokens: list[Token], actions: list[Action]) -> _Node:
    if not tokens:
        raise TemplateError(f"template: :1: missing value for {word}")
    names, _, value = _parse_declaration(tokens)
    body, ending = _parse_block(actions)
    otherwise: list[_Node] = []
    if ending and ending[0].text == "else":
        if len(ending) > 1 and ending[1].text in _OPENERS:
            otherwise = [_parse_control(ending[1].text, ending[2:], actions)]
        else:
            otherwise, ending = _parse_block(actions)
            if ending and ending[0].text == "else":
                raise TemplateError("template: :1: unexpected {{else}}")
    if not ending:
        raise TemplateError("template: :1: unexpected EOF")
    if word == "range":
        return _range(names, value, body, otherwise)
    return _condition(word == "with", names, value, body, otherwise)


def _condition(
    moves_dot: bool, names: list[str], value: _Value, body: list[_Node], otherwise: list[_Node]
) -> _Node:
    def choose(scope: _Scope) -> None:
        scope.lenient = True
        result = value(scope)
        scope.lenient = False
        inner = scope.inner(result if moves_dot and result else scope.dot)
        if names:
            inner.variables[names[0]] = result
        for node in body if result else otherwise:
            node(inner)
        _assign_back(scope, inner)

    return choose


def _assign_back(scope: _Scope, inner: _Scope) -> None:
    """Keep what was assigned (=) to outer variables."""
    for name in scope.variables:
        scope.variables[name] = inner.variables[name]


def _range(names: list[str], value: _Value, body: list[_Node], otherwise: list[_Node]) -> _Node:
    def loop(scope: _Scope) -> None:
        items = _items(value(scope))
        if not items:
            for node in otherwise:
                node(scope)
        for key, item in items:
            inner = scope.inner(item)
            if len(names) > 1:
                inner.variables[names[0]] = key
            if names:
                inner.variables[names[-1]] = item
            try:
                for node in body:
                    node(inner)
            except _LoopEnd as end:
                if end.stop:
                    break
            finally:
                _assign_back(scope, inner)

    return loop


def _items(value: object) -> list[tuple[object, object]]:
    if isinstance(value, Mapping):
        return sorted(value.items(), key=lambda pair: str(pair[0]))
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(value)]
    if value is None or value is NO_VALUE:
        return []
    raise TemplateError(f"template: :1: range can't iterate over {go_text(value)}")


def _parse_pipeline(tokens: list[Token]) -> _Value:
    commands: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        if token.kind == "sign" and token.text == "|" and not depth:
            commands.append([])
        else:
            commands[-1].append(token)
    if depth or not all(commands):
        wrong = "unclosed left paren" if depth > 0 else "missing value for command"
        raise TemplateError(f"template: :1: {wrong}")
    value = _parse_command(commands[0], None)
    for command in commands[1:]:
        value = _parse_command(command, value)
    return value


def _parse_command(tokens: list[Token], piped: _Value | None) -> _Value:
    first = tokens[0]
    operands = _parse_operands(tokens[1:] if first.kind == "word" else tokens)
    if first.kind == "word" and first.text not in ("true", "false", "nil"):
        return _call(first, operands, piped)
    if first.kind == "word":
        constant = {"true": True, "false": False, "nil": None}[first.text]
        return lambda scope: constant
    if len(operands) == 1 and piped is None:
        return operands[0]
    return _call_field(operands, piped)


def _call(name: Token, operands: list[_Value], piped: _Value | None) -> _Value:
    values = [*operands, piped] if piped else operands
    if name.text in ("and", "or"):
        return _short_circuit(name.text == "or", values)
    function = FUNCTIONS.get(name.text)
    if function is None:
        raise TemplateError(f'template: :1: function "{name.text}" not defined')

    def call(scope: _Scope) -> object:
        given = [value(scope) for value in values]
        try:
            return function(*given)
        except TypeError as err:
            raise TemplateError(
                f'template: :1:{name.start}: executing "" at <{name.text}>: '
                f"wrong number of args for {name.text}"
            ) from err

    return call


def _short_circuit(stop_at: bool, values: list[_Value]) -> _Value:
    def evaluate(scope: _Scope) -> object:
        result: object = None
        for value in values:
            result = value(scope)
            if bool(result) is stop_at:
                break
        return result

    return evaluate


def _call_field(operands: list[_Value], piped: _Value | None) -> _Value:
    """Return the call of a method such as .Label "x"."""

    def call(scope: _Scope) -> object:
        function = operands[0](scope)
        if not callable(function):
            raise TemplateError("template: :1: can't give argument to non-function")
        given = [operand(scope) for operand in operands[1:]]
        return function(*given, *([piped(scope)] if piped else []))

    return call


def _parse_operands(tokens: list[Token]) -> list[_Value]:
    result: list[_Value] = []
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token.kind == "sign" and token.text == "(":
            inner = _parse_pipeline(_until_closed(rest))
            path = rest.pop(0) if rest and rest[0].kind == "field" else None
            result.append(_path(inner, path.text, path) if path else inner)
        else:
            result.append(_parse_operand(token))
    return result


def _until_closed(rest: list[Token]) -> list[Token]:
    inside: list[Token] = []
    depth = 1
    while rest:
        token = rest.pop(0)
        if token.kind == "sign":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        if not depth:
            return inside
        inside.append(token)
    raise TemplateError("template: :1: unclosed left paren")


def _parse_operand(token: Token) -> _Value:
    match token.kind:
        case "string":
            text = unquote(token.text)
            return lambda scope: text
        case "number":
            number = float(token.text) if "." in token.text else int(token.text)
            return lambda scope: number
        case "field":
            return _path(lambda scope: scope.dot, token.text, token)
        case "variable":
            name, _, path = token.text.partition(".")
            return _path(_variable(name), "." + path, token) if path else _variable(name)
        case "word":
            if token.text in ("true", "false", "nil"):
                return lambda scope: {"true": True, "false": False}.get(token.text)
            return _call(token, [], None)
    if token.text == ".":
        return lambda scope: scope.dot
    raise TemplateError(f'template: :1: unexpected "{token.text}" in operand')


def _variable(name: str) -> _Value:
    def value(scope: _Scope) -> object:
        if name not in scope.variables:
            raise TemplateError(f'template: :1: undefined variable "{name}"')
        return scope.variables[name]

    return value


# What Docker's types (api/types) have as map[string]...: a key missing there is no error but <no
# value>, and so is what is below it. Not Ports and the like: nat.Port is no string to Go.
_MAPS = frozenset(
    "Annotations Attributes AuxiliaryAddresses Containers Data DriverOpts IndexConfigs Labels "
    "LogConfig.Config Networks Options Runtimes Status StorageOpt Sysctls Tmpfs Volumes".split()
)


class _GoMap(dict[str, object]):
    """An object whose keys are the user's, wherever the template has it by now."""


def _path(start: _Value, path: str, token: Token) -> _Value:
    names = path.split(".")[1:]

    def value(scope: _Scope) -> object:
        found = start(scope)
        is_map = isinstance(found, _GoMap)
        for name, above in zip(names, ("", *names), strict=False):
            if isinstance(found, Mapping) and name in found:
                found = found[name]
                is_map = name in _MAPS or f"{above}.{name}" in _MAPS
                if is_map and isinstance(found, dict):
                    found = _GoMap(found)
            elif (is_map and isinstance(found, dict | NoneType)) or scope.lenient:
                return NO_VALUE
            else:
                raise TemplateError(_missing(found, name, token))
        return found

    return value


def _missing(value: object, name: str, token: Token) -> str:
    where = f'template: :1:{token.start}: executing "" at <{token.text}>: '
    if isinstance(value, Mapping):
        return where + f'map has no entry for key "{name}"'
    if value is None or value is NO_VALUE:
        return where + f"nil data; no entry for key {name!r}".replace("'", '"')
    return where + f"can't evaluate field {name} in type {type(value).__name__}"
