#!/usr/bin/env python3
"""Owns the list of files made from agent.toml: writes them, or with --check compares them.

The translation itself is in schema.py (reading), python_output.py and c_output.py.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from c_output import c_header, c_source
from python_output import python_module
from schema import load

ROOT = Path(__file__).resolve().parent.parent


def outputs() -> dict[Path, str]:
    """Return the text of every generated file."""
    schema = load(ROOT / "protocol/agent.toml")
    return {
        ROOT / "src/hyper/agent/messages.py": python_module(schema),
        ROOT / "guest/hyperstart/messages.h": c_header(schema),
        ROOT / "guest/hyperstart/messages.c": c_source(schema),
    }


def main() -> int:
    """Write what changed; with --check only say what would, and fail if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on differences")
    check = parser.parse_args().check
    stale = [
        (path, text)
        for path, text in outputs().items()
        if not path.exists() or path.read_text() != text
    ]
    for path, text in stale:
        print(f"{path.relative_to(ROOT)}: " + ("differs from agent.toml" if check else "written"))
        if not check:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
