"""Linters and types: ruff, mypy and shellcheck find nothing."""

import pytest

from tests.checks import tree


def test_ruff_finds_nothing() -> None:
    tree.run(tree.need_tool("ruff"), "check", "--quiet", ".")


def test_python_is_formatted() -> None:
    tree.run(tree.need_tool("ruff"), "format", "--check", "--quiet", "--diff", ".")


@pytest.mark.parametrize("part", ["src", "tools", "protocol", "tests/checks", "tests/bench"])
def test_types_are_strict(part: str) -> None:
    tree.run(tree.need_tool("mypy"), part)


def test_shell_scripts_are_clean() -> None:
    scripts = [
        tree.CHECKOUT / ".ci" / "run",
        *tree.files("*.sh", roots=(*tree.PYTHON_ROOTS, ".ci")),
    ]
    tree.run(tree.need_tool("shellcheck"), *map(str, scripts))
