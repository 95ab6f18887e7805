"""Image references as users write them (distribution/reference, familiar names). Contacts
nobody."""

from hyper.core.errors import InvalidArgument

HUB = "docker.io"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


class Reference:
    """A reference in parts: `name` as written, `tag` or `digest` (both "" when there is
    neither)."""

    __slots__ = ("digest", "name", "tag")

    def __init__(self, name: str, tag: str, digest: str) -> None:
        self.name = name
        self.tag = tag
        self.digest = digest

    @property
    def domain(self) -> str:
        """Return the registry's host."""
        first, separator, _ = self.name.partition("/")
        if separator and ("." in first or ":" in first or first == "localhost"):
            return HUB if first == "index.docker.io" else first
        return HUB

    @property
    def canonical(self) -> str:
        """Return the full form: docker.io/library/busybox:latest."""
        path = self.name
        if self.domain == HUB:
            path = path.removeprefix("index.docker.io/").removeprefix("docker.io/")
            path = f"{HUB}/{path if '/' in path else 'library/' + path}"
        return path + self.suffix

    @property
    def suffix(self) -> str:
        """Return the tag with its colon, the digest with its at sign, or both."""
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str, default_tag: str = "") -> Reference:
    """Return the parts of `text`; `default_tag` is used when it has neither tag nor digest.

    Raises InvalidArgument with docker's text.
    """
    rest, _, digest = text.partition("@")
    name, separator, tag = rest.rpartition(":")
    if not separator or "/" in tag:
        name, tag = rest, ""
    path = name.rpartition("/")[2]
    if not path or path[0] not in _LETTERS or path != path.lower():
        if path != path.lower():
            full = name if "/" in name else f"library/{name}"
            raise InvalidArgument(
                f"invalid reference format: repository name ({full}) must be lowercase"
            )
        raise InvalidArgument("invalid reference format")
    if (separator and not tag and not digest and "/" not in rest.rpartition(":")[2]) or " " in text:
        raise InvalidArgument("invalid reference format")
    return Reference(name, tag or ("" if digest else default_tag), digest)
