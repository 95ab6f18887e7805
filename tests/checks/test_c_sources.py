"""All C compiles without a warning, with the warnings its Makefiles ask for."""

import platform

import pytest

from tests.checks import tree

_FOLDER = tree.CHECKOUT / "guest" / "hyperstart"
_VMFORK = tree.CHECKOUT / "host" / "vmfork"
_BANNED = ("system", "popen", "strcpy", "strcat", "sprintf", "gets", "alloca")


def test_hyperstart_compiles_without_warnings() -> None:
    tree.need_tool("musl-gcc")
    out = tree.CHECKOUT / "build" / "checks" / "hyperstart"
    tree.run("make", "--silent", "-C", str(_FOLDER), f"OUT={out}", "all")


def test_vmfork_compiles_without_warnings() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("vmfork is for x86-64")
    tree.need_tool("gcc")
    out = tree.CHECKOUT / "build" / "checks" / "vmfork"
    tree.run("make", "--silent", "-C", str(_VMFORK), f"OUT={out}", "all")


def _calls(line: str, name: str) -> bool:
    at = line.find(f"{name}(")
    before = line[at - 1 : at] if at > 0 else " "
    return at >= 0 and not (before.isalnum() or before == "_")


def test_no_c_file_calls_what_pid_1_must_not() -> None:
    problems = [
        f"{tree.shown(path)}:{number}: {name}()"
        for path in sorted([*_FOLDER.glob("*.c"), *_VMFORK.glob("*.c")])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for name in _BANNED
        if _calls(line.split("//")[0], name)
    ]
    tree.report(problems, "PID 1 does not fork shells and knows the size of every buffer")
