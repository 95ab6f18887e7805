"""The guest's C compiles without a warning, with the warnings that find real mistakes."""

import subprocess

from tests.checks import tree

_WARNINGS = (
    "-Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wpointer-arith -Wstrict-prototypes "
    "-Wmissing-prototypes -Wvla -Wformat=2 -Wimplicit-fallthrough"
).split()
_FLAGS = ("-std=gnu11", "-fsyntax-only", "-Werror", "-D_GNU_SOURCE")
_FOLDER = tree.CHECKOUT / "guest" / "hyperstart"


def test_hyperstart_compiles_without_warnings() -> None:
    compiler = tree.need_tool("musl-gcc")
    problems = []
    for path in sorted(_FOLDER.glob("*.c")):
        argv = [compiler, *_FLAGS, *_WARNINGS, f"-I{_FOLDER}", str(path)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            problems.append(f"{tree.shown(path)}:\n{done.stderr}")
    tree.report(problems, f"hyperstart compiles cleanly with {' '.join(_WARNINGS)}")


def test_no_c_file_calls_what_pid_1_must_not() -> None:
    banned = ("system(", "popen(", "strcpy(", "strcat(", "sprintf(", "gets(", "alloca(")
    problems = []
    for path in sorted(_FOLDER.glob("*.c")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            code = line.split("//")[0]
            words = code.replace("\t", " ")
            for call in banned:
                position = words.find(call)
                before = words[position - 1 : position]
                if position >= 0 and not (before.isalnum() or before == "_"):
                    problems.append(f"{tree.shown(path)}:{number}: {call})")
    tree.report(problems, "PID 1 does not fork shells and knows the size of every buffer")
