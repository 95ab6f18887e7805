"""Generated files are what their generators write today."""

import sys

from tests.checks import tree


def test_protocol_code_is_current() -> None:
    tree.run(sys.executable, "protocol/generate.py", "--check")
