"""Names of images as people and registries write them: parsing, normalising, familiar forms.

Does not look anything up. Grammar: distribution/reference, "regexp.go" and "normalize.go".
"""

import re
from dataclasses import dataclass, replace

from hyper.core.errors import InvalidArgument

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_NAME_LIMIT = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?:[a-fA-F0-9:]+)\])"
_DOMAIN = re.compile(rf"{_HOST}(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ANY_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_HEX_64 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised name: `domain`/`path`, with a tag, a digest, both or neither."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The repository in full: docker.io/library/busybox."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as Docker shows it: busybox."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        rest = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in rest else rest

    def familiar(self) -> str:
        """The whole name as Docker shows it: busybox:latest."""
        return self.familiar_name + self._suffix()

    def tagged(self) -> "Reference":
        """Return this name with the tag `latest` if it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def with_digest(self, digest: str) -> "Reference":
        """Return the repository's name with this digest alone."""
        return replace(self, tag="", digest=digest)

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix()


def is_domain(text: str) -> bool:
    """Return whether this can be the host, and port, of a registry."""
    return _DOMAIN.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """Return the normalised form of a name such as busybox, host:5000/a/b:tag or x@sha256:...

    Raises InvalidArgument with Docker's text.
    """
    if _HEX_64.fullmatch(text):
        raise InvalidArgument(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    rest, at, digest = text.partition("@")
    if at:
        check_digest(digest)
    domain, path = _split_domain(rest)
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise InvalidArgument("invalid reference format")
    if path != path.lower() and _PATH.fullmatch(path.lower()):
        raise InvalidArgument(
            f"invalid reference format: repository name ({path}) must be lowercase"
        )
    if not _PATH.fullmatch(path) or not is_domain(domain):
        raise InvalidArgument("invalid reference format")
    if len(domain) + 1 + len(path) > _NAME_LIMIT:
        raise InvalidArgument(f"repository name must not be more than {_NAME_LIMIT} characters")
    return Reference(domain, path, tag, digest)


def parse_tag(text: str) -> Reference:
    """Return the normalised form of a name to give: it has a tag and no digest.

    Raises InvalidArgument.
    """
    name = parse(text)
    if name.digest:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    return name.tagged()


def parse_repository(text: str) -> Reference:
    """Return the normalised form of a repository's name, with a tag or none.

    Raises InvalidArgument.
    """
    name = parse(text)
    if name.digest:
        raise InvalidArgument("cannot push a digest reference")
    return name


def familiar(text: str) -> str:
    """Return a full name as Docker shows it."""
    return parse(text).familiar()


def is_tag(text: str) -> bool:
    """Tell whether this can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Tell whether this is a digest we can verify: sha256 in lower-case hexadecimal."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(text: str) -> str:
    """Return `text` if it is a sha256 digest. Raises InvalidArgument."""
    if is_digest(text):
        return text
    if _ANY_DIGEST.fullmatch(text) and not text.startswith("sha256:"):
        raise InvalidArgument(f"unsupported digest algorithm: {text.partition(':')[0]}")
    raise InvalidArgument("invalid reference format")


def _split_domain(name: str) -> tuple[str, str]:
    """Split off the registry: a first part with a dot, a colon or a capital, or `localhost`."""
    first, slash, rest = name.partition("/")
    if slash and (any(c in first for c in ".:") or first == "localhost" or first != first.lower()):
        domain, path = first, rest
    else:
        domain, path = DEFAULT_DOMAIN, name
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path
