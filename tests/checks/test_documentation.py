"""Documentation says what is: targets, commands and docstrings exist and are plain text."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hyper.cli import registry
from tests.checks import tree

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
# Public names without a docstring, per package. Only ever lower a number.
UNDOCUMENTED_MOST = 0
_TARGET = re.compile(r"^([a-z][a-z-]*):(?:[^=]|$)", re.MULTILINE)
_DOCUMENTED_TARGET = re.compile(r"^([a-z][a-z-]*):.*## \S", re.MULTILINE)
_CODE_BLOCK = re.compile(r"^```(?:sh|console|bash)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NO_DOCSTRING_NEEDED = re.compile(r"_|test_|main$|visit_")
# Box drawing, arrows and dashes used in documents and help texts; everything else is junk.
_ALLOWED_BEYOND_ASCII = set("├─└│┌┐┘┤┬┴┼→←↑↓…µ█▏▎▍▌▋▊▉░")


def _documents() -> list[Path]:
    return [tree.CHECKOUT / name for name in DOCUMENTS if (tree.CHECKOUT / name).exists()]


def _makefile_targets() -> set[str]:
    return set(_TARGET.findall((tree.CHECKOUT / "Makefile").read_text()))


def _commands(document: Path) -> Iterator[str]:
    """Return the command lines of the code blocks, without prompts and continuation lines."""
    for block in _CODE_BLOCK.findall(document.read_text()):
        prompted = any(line.startswith("$ ") for line in block.splitlines())
        for line in block.splitlines():
            if prompted and not line.startswith("$ "):
                continue
            yield line.removeprefix("$ ").split(" #")[0].strip()


def _cli_commands() -> set[str]:
    groups = {name for name, _, _ in (*registry.COMMON, *registry.PLAIN)}
    return groups | set(registry.GROUPS)


def test_every_make_target_says_what_it_does() -> None:
    text = (tree.CHECKOUT / "Makefile").read_text()
    assert _makefile_targets() == set(_DOCUMENTED_TARGET.findall(text))


def test_documents_name_only_make_targets_that_exist() -> None:
    problems = []
    for document in _documents():
        named = set(re.findall(r"`make ([a-z-]+)", document.read_text()))
        for command in _commands(document):
            if match := re.match(r"make ([a-z-]+)", command):
                named.add(match[1])
        unknown = named - _makefile_targets()
        problems += [f"{document.name}: make {target}" for target in sorted(unknown)]
    tree.report(problems, "a document names a make target that does not exist")


def test_documents_name_only_hyper_commands_that_exist() -> None:
    known = _cli_commands()
    problems = []
    for document in _documents():
        for command in _commands(document):
            match = re.match(r"(?:\.venv/bin/)?hyper ([a-z]+)", command)
            if match and match[1] not in known:
                problems.append(f"{document.name}: {command}")
    tree.report(problems, "a document shows a hyper command that does not exist")


def test_readme_starts_with_the_two_commands() -> None:
    blocks = _CODE_BLOCK.findall((tree.CHECKOUT / "README.md").read_text())
    assert [line.split("#")[0].strip() for line in blocks[0].splitlines()] == [
        "make run",
        "make test",
    ]


def _public_names_without_docstring(path: Path) -> Iterator[str]:
    module = tree.parsed(path)
    if ast.get_docstring(module) is None and module.body:
        yield f"{tree.shown(path)}: the module"
    for node in module.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if _NO_DOCSTRING_NEEDED.match(node.name):
            continue
        if ast.get_docstring(node) is None:
            yield f"{tree.shown(path)}:{node.lineno}: {node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _methods_without_docstring(path, node)


def _methods_without_docstring(path: Path, owner: ast.ClassDef) -> Iterator[str]:
    # What a base class or a Protocol of the same file documents is documented.
    inherited = bool(owner.bases)
    for node in owner.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if _NO_DOCSTRING_NEEDED.match(node.name) or inherited or tree.is_overload(node):
            continue
        if ast.get_docstring(node) is None:
            yield f"{tree.shown(path)}:{node.lineno}: {owner.name}.{node.name}"


def test_public_names_have_docstrings() -> None:
    missing = [
        name
        for path in tree.python_files("src", "tools", "protocol")
        if not tree.is_generated(path)
        for name in _public_names_without_docstring(path)
    ]
    if len(missing) > UNDOCUMENTED_MOST:
        tree.report(missing, f"public names without a docstring, at most {UNDOCUMENTED_MOST}")


def test_text_is_plain() -> None:
    problems = []
    sources = tree.files("*.py", "*.c", "*.h", "*.toml", "*.config", "Makefile", "*.md")
    for path in [*sources, *_documents(), tree.CHECKOUT / "Makefile"]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            junk = {x for x in line if ord(x) > 126 and x not in _ALLOWED_BEYOND_ASCII}
            if junk and "tests/" not in tree.shown(path):
                problems.append(f"{tree.shown(path)}:{number}: {' '.join(sorted(junk))!a}")
    tree.report(problems, "plain ASCII, apart from the characters listed in this file")
