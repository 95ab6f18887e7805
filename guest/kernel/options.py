"""Owns the kernel's options as data: fragments, allow-list, what was lost, the name in the cache.

Runs no command and builds nothing (build.py does).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

OPTION_LINE = re.compile(r"(CONFIG_\w+)=(.*)")
UNSET_LINE = re.compile(r"# (CONFIG_\w+) is not set")


class BuildError(Exception):
    """Say what failed, why, and what to do, in that order."""

    def __init__(self, what: str, why: str, hint: str) -> None:
        super().__init__(f"{what}: {why}\n{hint}")


@dataclass(frozen=True, slots=True)
class Loss:
    """One option whose requested value is not in the final configuration."""

    option: str
    requested: str
    final: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that decides what the built kernel is."""

    fragments: Mapping[str, str]
    patches: Mapping[str, str]
    allow_list: str
    source: str
    compiler: str
    arch: str
    recipe: int

    def fingerprint(self) -> str:
        """Return the name of this kernel in the cache: a better comment does not change it."""
        text = json.dumps(
            {
                **asdict(self),
                "fragments": [parse_config(text) for text in self.fragments.values()],
                "patches": [text.partition("\n--- ")[2] for text in self.patches.values()],
                "allow_list": sorted(parse_allow_list(self.allow_list)),
            },
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_config(text: str) -> dict[str, str]:
    """Return the options of a fragment or .config; an option that is not set has the value "n"."""
    options = {}
    for line in text.splitlines():
        if match := OPTION_LINE.fullmatch(line.strip()):
            options[match[1]] = match[2]
        elif match := UNSET_LINE.fullmatch(line.strip()):
            options[match[1]] = "n"
    return options


def read_texts(folder: Path, pattern: str) -> dict[str, str]:
    """Return the files of a folder by name, in the order in which they apply."""
    return {path.name: path.read_text() for path in sorted(folder.glob(pattern))}


def requested_options(fragments: Mapping[str, str]) -> dict[str, str]:
    """Return what all fragments ask for.

    Raises BuildError when two of them want different values for one option.
    """
    wanted: dict[str, str] = {}
    for name, text in fragments.items():
        for option, value in parse_config(text).items():
            if wanted.setdefault(option, value) != value:
                raise BuildError(
                    f"fragment {name} asks for {option}={value}",
                    f"an earlier fragment asks for {option}={wanted[option]}",
                    "Keep one of the two lines.",
                )
    return wanted


def parse_allow_list(text: str) -> dict[str, str]:
    """Return option -> reason. Raises BuildError for an entry without a reason."""
    reasons = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        option, _, reason = line.partition(" ")
        if not option.startswith("CONFIG_") or not reason.strip():
            raise BuildError(
                f"allow-list line {line!r} is not usable",
                "it must be an option followed by the reason why it may be missing",
                "Write the reason on the same line.",
            )
        reasons[option] = reason.strip()
    return reasons


def find_losses(
    wanted: Mapping[str, str], final: Mapping[str, str], allowed: Mapping[str, str]
) -> list[Loss]:
    """Return the options that did not survive the merge and are not allowed to be missing."""
    return [
        Loss(option, value, final.get(option, "absent"))
        for option, value in sorted(wanted.items())
        if final.get(option, "n") != value and option not in allowed
    ]
