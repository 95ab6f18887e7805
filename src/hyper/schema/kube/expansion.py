"""Owns $(NAME) in commands, arguments and values.

As kubernetes third_party/forked/golang/expansion/expand.go: $(NAME) of a known variable is its
value, of an unknown one stays, $$ is a dollar sign.
"""

import re
from collections.abc import Mapping

# linux/binfmts.h: MAX_ARG_STRLEN, what one argument or variable may have
MAXIMUM_BYTES = 131072
_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with its references replaced; what they stand for is not expanded again.

    Raises ValueError when that is longer than a process can be given: references to references
    would otherwise fill the memory.
    """
    parts: list[str] = []
    size = end = 0
    for match in _REFERENCE.finditer(text):
        value = "$" if match[1] == "$" else variables.get(match[2], match[0])
        parts += (text[end : match.start()], value)
        size += match.start() - end + len(value)
        end = match.end()
        if size > MAXIMUM_BYTES:
            break
    parts.append(text[end:])
    if size + len(text) - end > MAXIMUM_BYTES:
        raise ValueError(f"longer than {MAXIMUM_BYTES} bytes when its references are replaced")
    return "".join(parts)


def escape(text: str) -> str:
    """Return a text that `expand` turns into `text`, whatever variables there are."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text
