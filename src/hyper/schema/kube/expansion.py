"""Owns $(NAME) in commands, arguments and values.

As kubernetes third_party/forked/golang/expansion/expand.go: $(NAME) of a known variable is its
value, of an unknown one stays, $$ is a dollar sign.
"""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with its references replaced; what they stand for is not expanded again."""

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text)


def escape(text: str) -> str:
    """Return a text that `expand` turns into `text`, whatever variables there are."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text
