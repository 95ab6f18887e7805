"""Sizes: no file, function or class grows beyond what a reader holds in mind."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.checks import tree

MODULE_LINES = 600
FUNCTION_LINES = 80
CLASS_PUBLIC_METHODS = 12
C_FILE_LINES = 600

# "file" or "file:name" -> why it may be larger. Never more than three.
EXEMPT: dict[str, str] = {}


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree.parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = {ast.unparse(decorator).split("(")[0] for decorator in function.decorator_list}
    return bool(names & {"property", "cached_property", "functools.cached_property"})


def _public_methods(node: ast.ClassDef) -> list[str]:
    return [
        child.name
        for child in node.body
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        and not child.name.startswith("_")
        and not _is_property(child)
        and not tree.is_overload(child)
    ]


def test_exemptions_are_few_and_current() -> None:
    assert len(EXEMPT) <= 3
    known = {tree.shown(path) for path in tree.files("*.py", "*.c")}
    assert all(entry.split(":")[0] in known for entry in EXEMPT)


def test_no_module_is_too_long() -> None:
    problems = []
    for path in tree.python_files():
        lines = len(path.read_text().splitlines())
        if lines > MODULE_LINES and tree.shown(path) not in EXEMPT and not tree.is_generated(path):
            problems.append(f"{tree.shown(path)}: {lines} lines")
    tree.report(problems, f"a module has at most {MODULE_LINES} lines, better 400")


def test_no_function_is_too_long() -> None:
    problems = []
    for path in tree.python_files():
        if tree.is_generated(path):
            continue
        for function in _functions(path):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            place = f"{tree.shown(path)}:{function.name}"
            if lines > FUNCTION_LINES and place not in EXEMPT:
                problems.append(f"{place}: {lines} lines")
    tree.report(problems, f"a function has at most {FUNCTION_LINES} lines, better 40")


def test_no_class_has_too_many_public_methods() -> None:
    problems = []
    for path in tree.python_files("src", "tools", "protocol"):
        for node in ast.walk(tree.parsed(path)):
            if not isinstance(node, ast.ClassDef):
                continue
            count = len(_public_methods(node))
            place = f"{tree.shown(path)}:{node.name}"
            if count > CLASS_PUBLIC_METHODS and place not in EXEMPT:
                problems.append(f"{place}: {count} public methods")
    tree.report(problems, f"a class has at most {CLASS_PUBLIC_METHODS} public methods")


def test_no_c_file_is_too_long() -> None:
    problems = []
    for path in tree.files("*.c", "*.h", roots=("guest", "host")):
        lines = len(path.read_text().splitlines())
        if lines > C_FILE_LINES and tree.shown(path) not in EXEMPT and not tree.is_generated(path):
            problems.append(f"{tree.shown(path)}: {lines} lines")
    tree.report(problems, f"a C file has at most {C_FILE_LINES} lines, better 400")
