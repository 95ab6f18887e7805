"""Identifiers and names of containers, pods, execs and volumes, in Docker's form."""

import re
import secrets

from hyper.core.errors import InvalidArgument

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_SHORT_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_HOST_LABEL = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?")
_LEFT = (
    "agile bold brave bright calm clever crisp eager early fair fast fine firm fleet fresh "
    "gentle glad "
    "grand happy keen kind lively lucid lucky merry mild neat nimble noble plucky polite proud "
    "quick quiet "
    "ready sharp shy silent sleek smart snug solid spry steady stoic sunny swift tidy vivid "
    "warm wise witty"
).split()
_RIGHT = (
    "ada aiken babbage backus bardeen bell boole brooks cerf church codd conway curie dijkstra "
    "easley "
    "engelbart euler faraday fermat feynman floyd franklin gauss goldberg hamilton hamming "
    "hoare holberton "
    "hopper huffman karp kay kernighan kilby knuth lamarr lamport liskov lovelace maxwell "
    "mccarthy meitner "
    "milner moore naur neumann noether noyce perlman ritchie shannon stroustrup tarjan "
    "thompson turing wirth"
).split()


def new_id() -> str:
    """Return 64 random hexadecimal digits, Docker's form of an object's id."""
    return secrets.token_hex(32)


def short(identifier: str) -> str:
    """Return the 12 digits Docker shows of an id, without a digest's algorithm."""
    return identifier.rpartition(":")[2][:12]


def new_name() -> str:
    """Return a random name a person can remember, for a container that was given none."""
    return f"{secrets.choice(_LEFT)}_{secrets.choice(_RIGHT)}"


def check_name(name: str, kind: str = "container") -> str:
    """Return `name` if Docker would accept it for an object of `kind`; a container's may have a /.

    Raises InvalidArgument with Docker's text.
    """
    if kind == "volume" and len(name) == 1:
        raise InvalidArgument(
            f"create {name}: volume name is too short, "
            "names should be at least two alphanumeric characters"
        )
    if kind == "volume" and not _NAME.fullmatch(name):
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )
    if not _NAME.fullmatch(name.removeprefix("/")):
        raise InvalidArgument(
            f"Invalid {kind} name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return name


def check_short_name(name: str, kind: str) -> str:
    """Return `name` if it can be that of a pod or of something in one: a single letter will do.

    Raises InvalidArgument.
    """
    if not _SHORT_NAME.fullmatch(name):
        raise InvalidArgument(
            f"Invalid {kind} name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return name


def check_hostname(hostname: str) -> str:
    """Return `hostname` if it is a host name of RFC 1123 that Linux can hold (64 bytes).

    It may have underscores as well: docker takes them, and Compose files have them.
    Raises InvalidArgument.
    """
    if len(hostname) > 64:
        raise InvalidArgument(f"invalid hostname: {hostname[:70]}: longer than 64 characters")
    if not all(_HOST_LABEL.fullmatch(label) for label in hostname.split(".")):
        raise InvalidArgument(
            f"invalid hostname: {hostname!r}: only letters, digits, '-', '_' and '.' are allowed "
            f"(RFC 1123)"
        )
    return hostname
