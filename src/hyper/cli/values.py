"""Values of flags that need more than a conversion: environment, labels, hosts, maps, files."""

import os

from hyper.core.errors import InvalidArgument
from hyper.sdk.words import check_ip


def read_lines(path: str) -> list[str]:
    """Return the lines of a user's file, without comments and empty ones. Raises
    InvalidArgument."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as source:
            lines = [line.rstrip("\r\n").lstrip() for line in source]
    except OSError as err:
        raise InvalidArgument(f"open {path}: {(err.strerror or str(err)).lower()}") from err
    return [line for line in lines if line and not line.startswith("#")]


def environment(files: list[str], given: list[str]) -> list[str]:
    """Return NAME=VALUE of --env-file and -e; a bare NAME is taken from our own environment.

    A bare NAME that is not set stays bare: the daemon removes it from the image's. Raises
    InvalidArgument.
    """
    words = [_checked(line, "environment") for path in files for line in read_lines(path)] + given
    result = []
    for word in words:
        if "=" in word or word not in os.environ:
            result.append(word)
        else:
            result.append(f"{word}={os.environ[word]}")
    return result


def _checked(line: str, what: str) -> str:
    name = line.partition("=")[0]
    if not name:
        raise InvalidArgument(f"no variable name on line '{line}'")
    if any(letter.isspace() for letter in name):
        raise InvalidArgument(f"poorly formatted {what}: variable '{name}' contains whitespaces")
    return line


def pairs(words: list[str]) -> dict[str, str]:
    """Return KEY=VALUE words as a dict; a bare KEY has the value ""."""
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def labels(files: list[str], given: list[str]) -> dict[str, str]:
    """Return the labels of --label-file and --label. Raises InvalidArgument."""
    return pairs([_checked(line, "label") for path in files for line in read_lines(path)] + given)


def parse_extra_host(text: str) -> str:
    """Return an --add-host in the API's form, host:ip. Raises InvalidArgument."""
    name, separator, address = text.partition("=")
    if not separator:
        name, separator, address = text.partition(":")
    if not separator or not name:
        raise InvalidArgument(f'bad format for add-host: "{text}"')
    if address != "host-gateway":
        address = address.removeprefix("[").removesuffix("]")
        try:
            check_ip(address)
        except InvalidArgument as err:
            raise InvalidArgument(f'invalid IP address in add-host: "{address}"') from err
    return f"{name}:{address}"


def platform_object(text: str) -> dict[str, str]:
    """Return os[/arch[/variant]] as the API's platform. Raises InvalidArgument."""
    parts = text.split("/")
    if len(parts) > 3 or not all(parts):
        raise InvalidArgument(f'"{text}" is an invalid OS component')
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))
