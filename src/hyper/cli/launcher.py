"""Writes the `hyper` program: a script that starts Python without `site`. Runs no command.

A console script of pip starts with `site` and its .pth files (16 ms and more) and is several times
slower than `python -I -S`. So an installation ends with `python -m hyper.cli.launcher DIRECTORY`,
which puts `hyper` there: three lines that add this package's folder to sys.path and nothing else.
"""

import os
import sys

_SHEBANG_LIMIT_BYTES = 255  # linux/binfmts.h BINPRM_BUF_SIZE, without the end
_SCRIPT = """\
#!{python} -IS
import sys

sys.path.append({source!r})
from hyper.cli.__main__ import main

main()
"""
_TRAMPOLINE = """\
#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
"""


def script(python: str, source: str) -> str:
    """Return the program's text for an interpreter and the folder that has the package."""
    text = _SCRIPT.format(python=python, source=source)
    if len(text.split("\n", 1)[0]) > _SHEBANG_LIMIT_BYTES or " " in python:
        text = _TRAMPOLINE.format(python=python) + text.split("\n", 1)[1]
    return text


def install(directory: str) -> str:
    """Write DIRECTORY/hyper for this interpreter and this package; return its path."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.path.join(directory, "hyper")
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as target:
        target.write(script(sys.executable, source))
        os.fchmod(target.fileno(), 0o755)
    os.replace(temporary, path)
    return path


def main() -> None:
    """Install into the directory given, by default where this interpreter is; compile ahead."""
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(sys.executable)
    import compileall

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    compileall.compile_dir(package, quiet=2)
    print(install(directory))


if __name__ == "__main__":
    main()
