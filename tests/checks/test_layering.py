"""The arrow of imports (ARCHITECTURE.md): each package imports only what stands below it."""

import ast
import sys
from pathlib import Path

from tests.checks import tree

# cli -> sdk ~HTTP~> api -> engine -> {the five leaves} -> host -> core; both ends may use schema.
_LEAVES = {"agent", "hypervisor", "images", "network", "storage"}
_BELOW_LEAF = {"core", "host"}
_BELOW_ENGINE = _LEAVES | _BELOW_LEAF
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "schema": {"core"},
    "host": {"core"},
    **{leaf: _BELOW_LEAF for leaf in _LEAVES},
    "engine": _BELOW_ENGINE,
    "api": {"engine", "schema"} | _BELOW_ENGINE,
    "sdk": {"schema", "core"},
    "cli": {"sdk", "schema", "core"},
}
# Modules that wire packages together; nothing imports them.
_COMPOSITION_ROOTS = {"daemon"}


def _imported_modules(node: ast.AST, package: str) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, level=0, names=names) if module == "hyper":
            return [f"hyper.{alias.name}" for alias in names]
        case ast.ImportFrom(module=module, level=0):
            return [module or ""]
        case ast.ImportFrom(module=module):
            return [f"hyper.{package}.{module or ''}"]
    return []


def _package_of(path: Path) -> str:
    first = path.relative_to(tree.PACKAGE).parts[0]
    return first.removesuffix(".py")


def _crossings(path: Path) -> list[tuple[int, str]]:
    """Return (line, package) of each import of another package of hyper."""
    package = _package_of(path)
    found = []
    for node in ast.walk(tree.parsed(path)):
        for name in _imported_modules(node, package):
            parts = name.split(".")
            if parts[0] == "hyper" and len(parts) > 1 and parts[1] != package:
                found.append((getattr(node, "lineno", 0), parts[1]))
    return found


def test_imports_follow_the_arrow() -> None:
    problems = []
    for path in tree.python_files("src"):
        package = _package_of(path)
        if package in _COMPOSITION_ROOTS or package == "__init__":
            continue
        for line, target in _crossings(path):
            if target not in ALLOWED.get(package, set()):
                problems.append(f"{tree.shown(path)}:{line}: {package} imports {target}")
    tree.report(problems, "an import against the arrow of ARCHITECTURE.md")


def test_every_package_has_its_place_in_the_arrow() -> None:
    packages = {path.name for path in tree.PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert packages <= set(ALLOWED), f"not in ALLOWED: {sorted(packages - set(ALLOWED))}"


def test_the_command_line_imports_only_the_standard_library_and_hyper() -> None:
    problems = []
    for path in tree.python_files("src/hyper/cli"):
        for node in ast.walk(tree.parsed(path)):
            for name in _imported_modules(node, "cli"):
                top = name.split(".")[0]
                # rich draws progress and tables; only on a terminal and only when it is there.
                if top not in sys.stdlib_module_names | {"hyper", "rich"}:
                    problems.append(
                        f"{tree.shown(path)}:{getattr(node, 'lineno', 0)}: imports {top}"
                    )
    tree.report(problems, "hyper.cli starts fast: the standard library only")
