"""Linters and types: ruff, mypy and shellcheck find nothing."""

from tests.checks import tree


def test_ruff_finds_nothing() -> None:
    tree.run(tree.need_tool("ruff"), "check", "--quiet", ".")


def test_python_is_formatted() -> None:
    tree.run(tree.need_tool("ruff"), "format", "--check", "--quiet", "--diff", ".")


def test_types_are_strict() -> None:
    parts = ["src", "tools", "protocol", "guest/kernel", "tests/checks", "tests/bench"]
    existing = [part for part in parts if any((tree.CHECKOUT / part).rglob("*.py"))]
    tree.run(tree.need_tool("mypy"), "--cache-dir", "build/mypy", *existing)


def test_shell_scripts_are_clean() -> None:
    scripts = [
        tree.CHECKOUT / ".ci" / "run",
        *tree.files("*.sh", roots=(*tree.PYTHON_ROOTS, ".ci")),
    ]
    tree.run(tree.need_tool("shellcheck"), *map(str, scripts))
